"""TerminateOnNaN: ends training at the first NaN or infinite loss."""

from __future__ import annotations

import math
from typing import Any

from fastkeras.callbacks.callback import Callback
from fastkeras.utils import io_utils


class TerminateOnNaN(Callback):
    """Stops training when a NaN or infinite loss is met.

    Args:
        raise_error: whether to raise a RuntimeError at once instead of stopping training in an orderly way.

    Example:
        >>> model.fit(x, y, callbacks=[fastkeras.callbacks.TerminateOnNaN()])
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training "
                "immediately."
            )
        io_utils.print_msg(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
