"""Stochastic gradient descent, with momentum and Nesterov momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class SGD(Optimizer):
    """Gradient descent: `variable -= learning_rate * gradient`.

    With momentum: `velocity = momentum * velocity - learning_rate * gradient`, then `variable += velocity`,
    or, with Nesterov momentum, `variable += momentum * velocity - learning_rate * gradient`.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        momentum: a float in [0, 1]; 0.0 is plain gradient descent.
        nesterov: whether to use Nesterov momentum.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.

    Raises:
        ValueError: if `momentum` is not a float in [0, 1].

    Example:

    >>> v = fastkeras.Variable(1.0)
    >>> SGD(learning_rate=0.5).apply([2.0], [v])
    >>> float(v)
    0.0
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}")
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums: list[Variable] = []
        if self.momentum != 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate = self._shared(self._rate, variable, learning_rate)
        step = ops.cast(gradient, variable.dtype) * rate
        if self.momentum == 0:
            self.assign_sub(variable, step)
            return
        slot = self.momentums[self._get_variable_index(variable)]
        velocity = slot.value * self.momentum - step
        self.assign(slot, velocity)
        self.assign_add(variable, velocity * self.momentum - step if self.nesterov else velocity)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
