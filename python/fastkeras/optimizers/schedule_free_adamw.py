"""Schedule-free AdamW: averaging of the iterates in place of a learning-rate schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class ScheduleFreeAdamW(Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024, https://arxiv.org/abs/2405.15682).

    It needs no schedule, and so not the number of steps either: the model's variables are an interpolation
    between the iterates and their average.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        beta_1: weight of the average in the interpolation.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment, for stability.
        warmup_steps: number of steps over which the rate rises linearly.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**shared_arguments(locals()))
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        # The iterates start where the model does.
        for slot, variable in zip(self._momentums, var_list):
            if slot is not None:
                self.assign(slot, variable.value)

    def _factors(self, dtype: str, learning_rate: Any) -> tuple[Any, Any, Any]:
        """The learning rate (warmed up), the bias correction and the weight of the new iterate in the
        average.
        """
        step = ops.cast(self.iterations + 1, dtype)
        if self.warmup_steps > 0:
            learning_rate = learning_rate * ops.minimum(step / self.warmup_steps, 1.0)
        correction = 1.0 / (1.0 - ops.power(ops.cast(self.beta_2, dtype), step))
        return learning_rate, correction, 1.0 / step

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate, correction, weight = self._shared(self._factors, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        beta_1 = self.beta_1

        v = self._velocities[i].value
        v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        self.assign(self._velocities[i], v)
        old = self._momentums[i].value
        new = old - rate * gradient / (ops.sqrt(v * correction) + self.epsilon)
        self.assign(self._momentums[i], new)
        # The average is not stored: it is what, interpolated with the old iterate, gave the variable.
        average = (variable.value - (1.0 - beta_1) * old) / beta_1
        average = (1.0 - weight) * average + weight * new
        self.assign(variable, (1.0 - beta_1) * new + beta_1 * average)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
