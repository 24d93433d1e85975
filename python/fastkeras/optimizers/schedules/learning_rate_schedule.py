"""`LearningRateSchedule`, the base class of learning rates that change with the training step."""

from __future__ import annotations

from typing import Any

from fastkeras import ops


class LearningRateSchedule:
    """A learning rate as a function of the training step; pass one to an optimizer as its `learning_rate`.

    A subclass implements `__call__(step)` with ops (the step is a scalar integer tensor without a value while
    the training step is traced, so a Python `if` on it fails) and, to be saved, `get_config`.

    Example:

    ```python
    class HalfEvery(fastkeras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, steps):
            self.steps = steps

        def __call__(self, step):
            return 0.1 * 0.5 ** (ops.cast(step, "float32") / self.steps)

        def get_config(self):
            return {"steps": self.steps}
    ```
    """

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(
            f"Learning rate schedule {self.__class__.__name__!r} must implement __call__(step)."
        )

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"Learning rate schedule {self.__class__.__name__!r} must implement get_config() to be saved."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        return cls(**config)


def as_rate(learning_rate: Any) -> Any:
    """A learning rate as a tensor: of its own dtype if it is one, of `floatx()` if it is a Python number."""
    if isinstance(learning_rate, (int, float)):
        return ops.convert_to_tensor(float(learning_rate))
    return ops.convert_to_tensor(learning_rate)


def check_positive(owner: Any, argument: str, value: Any) -> None:
    """Raise `ValueError` unless a number of steps is positive."""
    if value <= 0:
        raise ValueError(
            f"{owner.__class__.__name__}: `{argument}` must be > 0. Received: {argument}={value}"
        )
