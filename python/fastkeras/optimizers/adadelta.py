"""Adadelta: steps scaled by running averages of past steps and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, https://arxiv.org/abs/1212.5701).

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments; the paper has 1.0.
        rho: decay of the averages.
        epsilon: added to the averages, for stability.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
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
        self.rho = rho
        self.epsilon = epsilon

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            var_list, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(self, grad: Any, variable: Variable, learning_rate: Any) -> None:
        rate = self._shared(self._rate, variable, learning_rate)
        grad = ops.cast(grad, variable.dtype)
        i = self._get_variable_index(variable)
        rho = self.rho

        grads = rho * self._accumulated_grads[i].value + (1.0 - rho) * ops.square(grad)
        self.assign(self._accumulated_grads[i], grads)
        deltas = self._accumulated_delta_vars[i].value
        delta = ops.sqrt(deltas + self.epsilon) * grad / ops.sqrt(grads + self.epsilon)
        self.assign(self._accumulated_delta_vars[i], rho * deltas + (1.0 - rho) * ops.square(delta))
        self.assign_sub(variable, rate * delta)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}
