"""Schedules that decay: exponentially, with inverse time, polynomially, or in given steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.optimizers.schedules.learning_rate_schedule import (
    LearningRateSchedule,
    as_rate,
    check_positive,
)


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: number of steps in which the rate is multiplied by `decay_rate` once; positive.
        decay_rate: the factor.
        staircase: whether `step / decay_steps` is rounded down, so that the rate changes every `decay_steps`
            steps.
        name: name of the schedule.

    Raises:
        ValueError: if `decay_steps` is not positive.

    Example:

    >>> schedule = ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
    >>> round(float(schedule(200)), 4)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        check_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> Any:
        rate = as_rate(self.initial_learning_rate)
        p = ops.cast(step, rate.dtype) / self.decay_steps
        if self.staircase:
            p = ops.floor(p)
        return rate * ops.power(ops.cast(self.decay_rate, rate.dtype), p)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(LearningRateSchedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: how often the decay is applied; positive.
        decay_rate: the decay.
        staircase: whether `step / decay_steps` is rounded down.
        name: name of the schedule.

    Raises:
        ValueError: if `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        check_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> Any:
        rate = as_rate(self.initial_learning_rate)
        p = ops.cast(step, rate.dtype) / self.decay_steps
        if self.staircase:
            p = ops.floor(p)
        return rate / (1.0 + self.decay_rate * p)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class PolynomialDecay(LearningRateSchedule):
    """`(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the step at which `end_learning_rate` is reached; positive.
        end_learning_rate: the last rate.
        power: the power; 1 is a straight line.
        cycle: whether to start again after `decay_steps`, each time with a longer decay (to the next multiple
            of `decay_steps`), rather than to stay at `end_learning_rate`.
        name: name of the schedule.

    Raises:
        ValueError: if `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        check_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> Any:
        rate = as_rate(self.initial_learning_rate)
        step = ops.cast(step, rate.dtype)
        if self.cycle:
            # At step 0 the first cycle begins; ceil alone would make it last 0 steps.
            cycles = ops.where(ops.equal(step, 0), 1.0, ops.ceil(step / self.decay_steps))
            p = step / (self.decay_steps * cycles)
        else:
            p = ops.minimum(step, self.decay_steps) / self.decay_steps
        return (rate - self.end_learning_rate) * ops.power(1.0 - p, self.power) + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[0]` up to and including step `boundaries[0]`, then `values[1]` up to `boundaries[1]`, and so
    on.

    Args:
        boundaries: increasing step numbers.
        values: rates of the intervals, one more than `boundaries`.
        name: name of the schedule.

    Raises:
        ValueError: if the lengths do not fit.

    Example:

    >>> schedule = PiecewiseConstantDecay([1000, 1100], [1.0, 0.5, 0.1])
    >>> float(schedule(1000)), float(schedule(1001))
    (1.0, 0.5)
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "PiecewiseConstantDecay: values must be one more than boundaries. Received: "
                f"boundaries={boundaries} of length {len(boundaries)} and values={values} of length "
                f"{len(values)}."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.convert_to_tensor(step)
        # Compared in the dtype of the step: a step is an integer, and a boundary of 10.5 counts as 10.
        limits = [ops.cast(b, step.dtype) for b in self.boundaries]
        rate = as_rate(self.values[-1])
        # From the last interval backwards: the first limit that the step does not exceed decides.
        for limit, value in zip(reversed(limits), list(self.values)[-2::-1]):
            rate = ops.where(step <= limit, as_rate(value), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}
