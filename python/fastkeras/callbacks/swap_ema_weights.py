"""SwapEMAWeights: evaluates and saves a model with the averaged weights its optimizer keeps."""

from __future__ import annotations

from typing import Any

from fastkeras.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Swaps the model's weights with the optimizer's exponential moving averages for evaluation and
    prediction.

    The weights are swapped back afterwards. The optimizer must have been made with `use_ema=True`.

    Args:
        swap_on_epoch: whether to swap at the end of each epoch as well, so that callbacks such as
            ModelCheckpoint placed after this one save the averages; place a second `SwapEMAWeights` after
            those to swap back.

    Example:
        >>> model.compile(optimizer=fastkeras.optimizers.Adam(use_ema=True), loss="mse")
        >>> model.fit(x, y, callbacks=[fastkeras.callbacks.SwapEMAWeights()])
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _averages(self) -> list[tuple[Any, Any]]:
        optimizer = getattr(self.model, "optimizer", None)
        # A LossScaleOptimizer wraps the one that averages.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "SwapEMAWeights must be used when the model's optimizer has `use_ema=True`, but the "
                f"optimizer is {optimizer!r}. Compile the model with e.g. optimizers.Adam(use_ema=True)."
            )
        averages = getattr(optimizer, "_model_variables_moving_average", None)
        if not averages:
            raise ValueError(
                "SwapEMAWeights found no averaged weights: the optimizer has not taken a step yet. "
                "Train the model first."
            )
        return [
            (v, average)
            for v, average in zip(optimizer._trainable_variables, averages)
            if average is not None
        ]

    def _swap(self) -> None:
        for variable, average in self._averages():
            # Both values are read before either is written.
            present, mean = variable.numpy(), average.numpy()
            variable.assign(mean)
            average.assign(present)
        self._swapped = not self._swapped

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch and self._swapped:
            self._swap()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch and not self._swapped:
            self._swap()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swap()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._swap()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swap()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._swap()
