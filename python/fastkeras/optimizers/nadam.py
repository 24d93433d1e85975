"""Nadam: Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core import config as _config
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Nadam(Optimizer):
    """Nadam (Dozat 2016): Adam with Nesterov momentum, whose momentum grows over the first steps.

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
        # Product of the momenta of all steps so far. It is the last variable, as in Keras' files.
        self._u_product = Variable(1.0, dtype=var_list[0].dtype if var_list else _config.floatx())

    def _momentum_at(self, step: Any, dtype: str) -> Any:
        return self.beta_1 * (1.0 - 0.5 * ops.power(ops.cast(0.96, dtype), step))

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Variable], learning_rate: Any
    ) -> None:
        dtype = self._u_product.dtype
        u = self._momentum_at(ops.cast(self.iterations + 1, dtype), dtype)
        self.assign(self._u_product, self._u_product.value * u)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _factors(self, dtype: str, learning_rate: Any) -> tuple[Any, Any, Any]:
        """Factors of the first moment, of the gradient and of the second moment, with bias corrections."""
        step = ops.cast(self.iterations + 1, dtype)
        u, u_next = self._momentum_at(step, dtype), self._momentum_at(step + 1.0, dtype)
        product = ops.cast(self._u_product.value, dtype)
        of_m = learning_rate * u_next / (1.0 - product * u_next)
        of_gradient = learning_rate * (1.0 - u) / (1.0 - product)
        of_v = 1.0 / (1.0 - ops.power(ops.cast(self.beta_2, dtype), step))
        return of_m, of_gradient, of_v

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        of_m, of_gradient, of_v = self._shared(self._factors, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)

        m = self._momentums[i].value
        m = m + (gradient - m) * (1.0 - self.beta_1)
        self.assign(self._momentums[i], m)
        v = self._velocities[i].value
        v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        self.assign(self._velocities[i], v)
        self.assign_sub(variable, (of_m * m + of_gradient * gradient) / (ops.sqrt(of_v * v) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
