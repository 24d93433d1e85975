"""Adam: steps scaled by running estimates of the first and second moments of the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import _engine, ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import KeepUnless, Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Adam(Optimizer):
    """Adam (Kingma & Ba 2014, https://arxiv.org/abs/1412.6980).

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment ("epsilon hat" in the paper).
        amsgrad: whether to divide by the largest second moment so far (AMSGrad).
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.

    Example:

    ```python
    model.compile(optimizer=fastkeras.optimizers.Adam(1e-3), loss="mse")
    ```
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.amsgrad = amsgrad

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(var_list, "velocity_hat")

    def _step_size(self, dtype: str, learning_rate: Any) -> Any:
        """The learning rate with the bias corrections of both moments."""
        step = ops.cast(self.iterations + 1, dtype)
        power_1 = ops.power(ops.cast(self.beta_1, dtype), step)
        power_2 = ops.power(ops.cast(self.beta_2, dtype), step)
        return learning_rate * ops.sqrt(1.0 - power_2) / (1.0 - power_1)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        step_size = self._shared(self._step_size, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)

        slots = [self._momentums[i], self._velocities[i]]
        if not self.amsgrad and not KeepUnless.is_open():
            new = _engine.call(
                "adam_update",
                variable.value,
                *(slot.value for slot in slots),
                gradient,
                ops.cast(step_size, variable.dtype),
                rate_1=1.0 - self.beta_1,
                rate_2=1.0 - self.beta_2,
                epsilon=self.epsilon,
            )
            for target, value in zip([variable, *slots], new):
                self.assign(target, value)
            return
        m, v = (slot.value for slot in slots)
        m = m + (gradient - m) * (1.0 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        for target, value in zip(slots, (m, v)):
            self.assign(target, value)
        if self.amsgrad:
            v = ops.maximum(self._velocity_hats[i].value, v)
            self.assign(self._velocity_hats[i], v)
        self.assign_sub(variable, m * step_size / (ops.sqrt(v) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }
