"""RMSprop: gradients divided by a running root mean square of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012): divides the gradient by the root of a moving average of its square.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        rho: decay of the moving averages.
        momentum: momentum of the updates; 0.0 for none.
        epsilon: added to the average, for stability.
        centered: whether to divide by the estimated variance, rather than by the second moment.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._velocities = self.add_optimizer_variables(var_list, "velocity")
        self._momentums: list[Variable] = []
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(var_list, "momentum")
        self._average_gradients: list[Variable] = []
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(var_list, "average_gradient")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate = self._shared(self._rate, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        rho = self.rho

        velocity = rho * self._velocities[i].value + (1.0 - rho) * ops.square(gradient)
        self.assign(self._velocities[i], velocity)
        if self.centered:
            average = rho * self._average_gradients[i].value + (1.0 - rho) * gradient
            self.assign(self._average_gradients[i], average)
            velocity = velocity - ops.square(average)
        increment = rate * gradient / ops.sqrt(velocity + self.epsilon)
        if self.momentum > 0:
            increment = self.momentum * self._momentums[i].value + increment
            self.assign(self._momentums[i], increment)
        self.assign_sub(variable, increment)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
