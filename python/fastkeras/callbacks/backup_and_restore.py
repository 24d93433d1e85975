"""BackupAndRestore: goes on with a training run that was interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from typing import Any

from fastkeras.callbacks.callback import Callback

_METADATA = "training_metadata.json"


class BackupAndRestore(Callback):
    """Backs the training state up and restores it when `fit` is called again after an interruption.

    The weights and the optimizer's state are written to a new file each time. A small file that names it is
    then replaced in one step, so that whenever the process is killed, the directory holds a whole backup.
    Training goes on with the epoch after the last one backed up.

    Args:
        backup_dir: directory for the backups, used by this callback alone.
        save_freq: `"epoch"`, or a number of batches after which to back up as well (an interrupted epoch is
            begun again, from the weights of the backup).
        double_checkpoint: whether to keep the backup before the last one, to fall back on if the last is
            damaged.
        delete_checkpoint: whether to delete the backups when training has ended normally.

    Example:
        >>> backup = fastkeras.callbacks.BackupAndRestore("/tmp/backup")
        >>> model.fit(x, y, epochs=100, callbacks=[backup])
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError(
                f"`backup_dir` must not be empty. Pass the path of a directory. Received: {backup_dir!r}"
            )
        if save_freq != "epoch" and (
            isinstance(save_freq, (bool, str)) or not isinstance(save_freq, int) or save_freq < 1
        ):
            raise ValueError(
                f"Invalid value for argument `save_freq`: {save_freq!r}. Expected 'epoch' or a positive "
                "integer."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._epoch = 0
        self._batches_since_save = 0
        self._last_batch_seen = 0
        self._saves = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        backups = self._backups()
        if not backups:
            return
        model = self.model
        if not model.built:
            raise ValueError(
                "To restore a backup, BackupAndRestore needs a model that has its variables, but this one is "
                "not built. Call the model on data, or `model.build(...)`, before `fit()`."
            )
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        error: Exception | None = None
        for backup in backups:
            try:
                model.load_weights(os.path.join(self.backup_dir, backup["file"]))
            except (OSError, ValueError, KeyError) as e:
                warnings.warn(
                    f"The backup {backup['file']} in {self.backup_dir} cannot be read: {e}", stacklevel=2
                )
                error = e
                continue
            self._saves = backup["save"]
            model._initial_epoch = backup["epoch"]
            return
        raise ValueError(
            f"No backup in {self.backup_dir} can be read. To begin anew, delete that directory."
        ) from error

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        # With steps_per_execution > 1 several batches pass between calls.
        passed = batch + 1 if batch <= self._last_batch_seen else batch - self._last_batch_seen
        self._batches_since_save += passed
        self._last_batch_seen = batch
        assert isinstance(self.save_freq, int)
        if self._batches_since_save >= self.save_freq:
            self._batches_since_save = 0
            self._save(self._epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.delete_checkpoint:
            shutil.rmtree(self.backup_dir, ignore_errors=True)

    def _backups(self) -> list[dict[str, Any]]:
        """What the metadata names, the newest first."""
        path = os.path.join(self.backup_dir, _METADATA)
        try:
            with open(path, encoding="utf-8") as f:
                backups = json.load(f)["backups"]
            for backup in backups:
                # Names only: a path in that file must not lead out of the directory.
                if os.path.basename(backup["file"]) != backup["file"]:
                    raise ValueError(f"unexpected file name {backup['file']!r}")
                backup["epoch"], backup["save"] = int(backup["epoch"]), int(backup["save"])
            return backups
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"The list of backups {path} cannot be read: {error}. To begin anew, delete that directory."
            ) from error

    def _save(self, next_epoch: int) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        previous = self._backups()
        self._saves += 1
        name = f"backup-{self._saves:06d}.weights.h5"
        self.model.save_weights(os.path.join(self.backup_dir, name), overwrite=True)
        kept = [{"file": name, "epoch": next_epoch, "save": self._saves}]
        if self.double_checkpoint:
            kept += previous[:1]
        path = os.path.join(self.backup_dir, _METADATA)
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump({"backups": kept}, f)
            f.flush()
            os.fsync(f.fileno())
        # The one step that makes the new backup count.
        os.replace(path + ".new", path)
        names = {backup["file"] for backup in kept}
        for backup in previous:
            if backup["file"] not in names:
                with contextlib.suppress(OSError):
                    os.remove(os.path.join(self.backup_dir, backup["file"]))
