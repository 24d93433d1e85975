"""CompileLoss: the loss given to `compile()`, brought to one function of all outputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import losses as losses_module
from fastkeras import metrics as metrics_module
from fastkeras.core import tree
from fastkeras.core.naming import get_object_name
from fastkeras.training.structures import Path, align, output_paths


class _Term:
    """The loss of one output: its function, its weight in the sum and the metric that shows it."""

    __slots__ = ("index", "loss", "weight", "tracker")

    def __init__(self, index: int, loss: Any, weight: float | None, tracker: Any) -> None:
        self.index = index
        self.loss = loss
        self.weight = weight
        self.tracker = tracker


class CompileLoss:
    """Weighted sum of the losses of all outputs.

    With several outputs the unweighted loss of each is tracked in a metric named `<output>_loss`.

    Args:
        loss: a loss (name, function, `Loss`) for every output, or a nest of them as the outputs are.
        loss_weights: numbers, nested or flat like `loss`; or one number if there is one loss.
        output_names: names of the outputs, if the model has them.

    Raises:
        ValueError: for a loss that does not exist, or a nest that does not fit the outputs.
    """

    def __init__(
        self, loss: Any, loss_weights: Any = None, output_names: Sequence[str] | None = None
    ) -> None:
        self._user_loss = loss
        self._user_loss_weights = loss_weights
        self.output_names = list(output_names) if output_names else None
        # Unknown names are the user's mistake at compile(), not something to find out at the first batch.
        for identifier in tree.flatten(loss) if not _is_loss(loss) else [loss]:
            if isinstance(identifier, str):
                losses_module.get(identifier)
        self.name = "compile_loss"
        self.built = False
        self._terms: list[_Term] = []

    @property
    def metrics(self) -> list[Any]:
        """The trackers of the outputs' losses; empty for a single loss."""
        return [t.tracker for t in self._terms if t.tracker is not None]

    @property
    def variables(self) -> list[Any]:
        """The variables of `metrics`."""
        return [v for m in self.metrics for v in m.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Matches the losses to the outputs and makes the trackers."""
        outputs = output_paths(y_pred)
        loss = self._user_loss
        if _is_loss(loss):
            identifiers: list[Any] = [loss] * len(outputs)
        else:
            identifiers = align(loss, y_pred, self.output_names, "loss", _is_loss)
        for identifier, (path, _) in zip(identifiers, outputs):
            if identifier is not None and not _is_loss(identifier):
                raise ValueError(
                    f"`loss` holds {identifier!r} for the output {self._output_label(path)}, which is a "
                    "single tensor. Pass one loss for it: a name, a function or a Loss."
                )
        used = [i for i, identifier in enumerate(identifiers) if identifier is not None]
        weights = self._weights(used, y_pred, len(outputs))
        terms: list[_Term] = []
        names: set[str] = set()
        for i in used:
            tracker = None
            if len(used) > 1:
                name = self._tracker_name(i, outputs[i][0], identifiers[i], names)
                tracker = metrics_module.Mean(name=name)
            terms.append(_Term(i, _standardize_loss(identifiers[i]), weights[i], tracker))
        if not terms:
            raise ValueError(
                "`loss` names no loss for any output of the model. Pass a loss for at least one. Received: "
                f"loss={loss}"
            )
        if isinstance(loss, dict) and isinstance(y_pred, dict):
            # Results are listed in the order in which the user names the losses.
            position = {key: i for i, key in enumerate(loss)}
            terms.sort(key=lambda term: position.get(outputs[term.index][0][0], 0))
        self._terms = terms
        self.built = True

    def _weights(self, used: list[int], y_pred: Any, n_outputs: int) -> list[float | None]:
        weights = self._user_loss_weights
        if weights is None:
            return [None] * n_outputs
        if isinstance(weights, (int, float)):
            if len(used) != 1:
                raise ValueError(
                    f"`loss_weights` is the single number {weights}, but there are {len(used)} losses. "
                    "Pass one weight per loss, as a list or a dict by output name."
                )
            return [weights] * n_outputs
        flat = tree.flatten(weights)
        for weight in flat:
            if weight is not None and (isinstance(weight, bool) or not isinstance(weight, (int, float))):
                raise TypeError(
                    f"`loss_weights` must hold Python numbers, but received {weight!r} of type "
                    f"{type(weight)}."
                )
        if len(flat) not in (len(used), n_outputs):
            raise ValueError(
                f"`loss_weights` must match the number of losses, got {len(used)} losses and {len(flat)} "
                f"weights. Received: loss_weights={weights}"
            )
        if len(flat) == n_outputs or isinstance(weights, dict):
            return align(weights, y_pred, self.output_names, "loss_weights", _is_weight)
        by_output: list[float | None] = [None] * n_outputs
        for i, weight in zip(used, flat):
            by_output[i] = weight
        return by_output

    def _output_label(self, path: Path) -> str:
        return "/".join(map(str, path)) or "of the model"

    def _tracker_name(self, index: int, path: Path, identifier: Any, taken: set[str]) -> str:
        """`<output>_loss`: by output name, by dict keys, or by the loss where outputs have no names."""
        if (
            self.output_names
            and len(path) == 1
            and isinstance(path[0], int)
            and index < len(self.output_names)
        ):
            base = self.output_names[index]
        elif path and isinstance(path[-1], str):
            base = "/".join(map(str, path))
        else:
            own = identifier if isinstance(identifier, str) else get_object_name(identifier)
            base = "/".join([*map(str, path[:-1]), own])
        name, i = f"{base}_loss", 0
        while name in taken:
            i += 1
            name = f"{base}_loss_{i}"
        taken.add(name)
        return name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the total loss, a scalar, and updates the trackers.

        Args:
            y_true: targets: nested as the outputs, a dict by output name, or a flat list.
            y_pred: outputs of the model.
            sample_weight: None, one array for all outputs, or a nest like that of the targets.
        """
        if not self.built:
            self.build(y_true, y_pred)
        predictions = tree.flatten(y_pred)
        targets = self._targets(y_true, y_pred, len(predictions))
        weights = self._sample_weights(sample_weight, y_pred, len(predictions))
        total = None
        for term in self._terms:
            i = term.index
            if targets[i] is None:
                raise ValueError(
                    f"There is a loss for output {i} of the model, but no targets for it. Pass them in `y`, "
                    "or pass None as the loss of this output."
                )
            value = term.loss(targets[i], predictions[i], weights[i])
            if term.tracker is not None:
                # Each batch counts by its size, so that the epoch's value is the mean over its samples.
                term.tracker.update_state(value, sample_weight=predictions[i].shape[0])
            if term.weight is not None:
                value = value * term.weight
            total = value if total is None else total + value
        return total

    call = __call__

    def _targets(self, y_true: Any, y_pred: Any, n: int) -> list[Any]:
        if n == 1:
            flat = tree.flatten(y_true)
            if len(flat) == 1:
                return flat
        if not tree.is_nested(y_true):
            raise ValueError(
                f"The model has {n} outputs, but `y` is a single array. Pass one array of targets per "
                "output, as a list or a dict by output name."
            )
        return align(y_true, y_pred, self.output_names, "y", _is_array)

    def _sample_weights(self, sample_weight: Any, y_pred: Any, n: int) -> list[Any]:
        if sample_weight is None:
            return [None] * n
        if not tree.is_nested(sample_weight):
            return [sample_weight] * n
        flat = tree.flatten(sample_weight)
        if len(flat) == 1 and n == 1:
            return flat
        return align(sample_weight, y_pred, self.output_names, "sample_weight", _is_array)

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized."""
        from fastkeras.saving import serialize_keras_object

        return {
            "loss": serialize_keras_object(self._user_loss),
            "loss_weights": serialize_keras_object(self._user_loss_weights),
        }


def _is_loss(x: Any) -> bool:
    return (
        x is not None and not isinstance(x, (list, tuple)) and (not isinstance(x, dict) or "class_name" in x)
    )


def _is_weight(x: Any) -> bool:
    return isinstance(x, (int, float))


def _is_array(x: Any) -> bool:
    return x is not None and not tree.is_nested(x)


def _standardize_loss(identifier: Any) -> Any:
    loss = losses_module.get(identifier)
    if isinstance(loss, losses_module.Loss):
        return loss
    return losses_module.LossFunctionWrapper(loss, name=get_object_name(loss))
