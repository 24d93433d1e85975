"""LAMB: Adam's step, scaled for each variable by the norm of the variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Lamb(Optimizer):
    """LAMB (You et al. 2019, https://arxiv.org/abs/1904.00962): Adam for large batches.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment, for stability.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])

    def _corrections(self, dtype: str, learning_rate: Any) -> tuple[Any, Any, Any]:
        """The learning rate and the bias corrections of both moments."""
        step = ops.cast(self.iterations + 1, dtype)
        power_1 = ops.power(ops.cast(self.beta_1, dtype), step)
        power_2 = ops.power(ops.cast(self.beta_2, dtype), step)
        return learning_rate, 1.0 / (1.0 - power_1), 1.0 / (1.0 - power_2)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate, correction_1, correction_2 = self._shared(self._corrections, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)

        m = self._momentums[i].value
        m = m + (gradient - m) * (1.0 - self.beta_1)
        self.assign(self._momentums[i], m)
        v = self._velocities[i].value
        v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        self.assign(self._velocities[i], v)
        update = m * correction_1 / (ops.sqrt(v * correction_2) + self.epsilon)

        w_norm = ops.sqrt(ops.sum(ops.square(variable.value)))
        u_norm = ops.sqrt(ops.sum(ops.square(update)))
        both = ops.logical_and(w_norm > 0, u_norm > 0)
        trust = ops.where(both, w_norm / u_norm, 1.0)
        self.assign_sub(variable, trust * rate * update)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
