"""Schedules that follow a cosine: once, with an optional warm-up, or with warm restarts."""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops
from fastkeras.optimizers.schedules.learning_rate_schedule import (
    LearningRateSchedule,
    as_rate,
    check_positive,
)


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to `alpha` times it, after an optional linear warm-up.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: number of steps of the decay; positive.
        alpha: last rate as a fraction of the rate at which the decay begins.
        name: name of the schedule.
        warmup_target: rate reached by the warm-up, from which the decay begins; None: no warm-up.
        warmup_steps: number of steps of the warm-up.

    Raises:
        ValueError: if `decay_steps` is not positive.

    Example:

    >>> schedule = CosineDecay(0.0, decay_steps=1000, warmup_target=0.1, warmup_steps=100)
    >>> round(float(schedule(50)), 4)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_steps = warmup_steps
        self.warmup_target = warmup_target
        check_positive(self, "decay_steps", decay_steps)

    def _decayed(self, step: Any, rate: Any) -> Any:
        wave = 0.5 * (1.0 + ops.cos(math.pi * (step / self.decay_steps)))
        return rate * ((1.0 - self.alpha) * wave + self.alpha)

    def __call__(self, step: Any) -> Any:
        rate = as_rate(self.initial_learning_rate)
        step = ops.cast(step, rate.dtype)
        if self.warmup_target is None:
            return self._decayed(ops.minimum(step, self.decay_steps), rate)
        target = ops.cast(self.warmup_target, rate.dtype)
        decayed = self._decayed(ops.minimum(step - self.warmup_steps, self.decay_steps), target)
        if not self.warmup_steps:
            return decayed
        warming = (target - rate) * (step / self.warmup_steps) + rate
        return ops.where(step < self.warmup_steps, warming, decayed)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again, each time `t_mul` times as long and from `m_mul` times the rate (SGDR).

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: number of steps of the first decay; positive.
        t_mul: length of a decay relative to the one before.
        m_mul: initial rate of a decay relative to the one before.
        alpha: last rate of a decay as a fraction of `initial_learning_rate`.
        name: name of the schedule.

    Raises:
        ValueError: if `first_decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name
        check_positive(self, "first_decay_steps", first_decay_steps)

    def __call__(self, step: Any) -> Any:
        rate = as_rate(self.initial_learning_rate)
        dtype = rate.dtype
        # Measured in lengths of the first decay.
        done = ops.cast(step, dtype) / self.first_decay_steps
        if self._t_mul == 1.0:
            restart = ops.floor(done)
            done = done - restart
        else:
            # Decay i begins at (1 - t**i) / (1 - t) and lasts t**i: solve for i, then measure within it.
            t_mul = ops.cast(self._t_mul, dtype)
            restart = ops.floor(ops.log(1.0 - done * (1.0 - t_mul)) / ops.log(t_mul))
            length = ops.power(t_mul, restart)
            done = (done - (1.0 - length) / (1.0 - t_mul)) / length
        wave = 0.5 * ops.power(ops.cast(self._m_mul, dtype), restart) * (1.0 + ops.cos(math.pi * done))
        return rate * ((1.0 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }
