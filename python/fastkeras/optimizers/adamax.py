"""Adamax: the variant of Adam with the infinity norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Adamax(Optimizer):
    """Adamax: Adam with a decaying maximum of the absolute gradient in place of the second moment.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        beta_1: decay of the first moment.
        beta_2: decay of the maximum.
        epsilon: added to the maximum, for stability.
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
        self._m, self._u = self.add_optimizer_variables(var_list, ["momentum", "norm"])

    def _step_size(self, dtype: str, learning_rate: Any) -> Any:
        """The learning rate with the bias correction of the first moment."""
        step = ops.cast(self.iterations + 1, dtype)
        return learning_rate / (1.0 - ops.power(ops.cast(self.beta_1, dtype), step))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        step_size = self._shared(self._step_size, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)

        m = self._m[i].value
        m = m + (gradient - m) * (1.0 - self.beta_1)
        self.assign(self._m[i], m)
        u = ops.maximum(self.beta_2 * self._u[i].value, ops.abs(gradient))
        self.assign(self._u[i], u)
        self.assign_sub(variable, step_size * m / (u + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
