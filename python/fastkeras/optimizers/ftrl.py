"""FTRL-proximal: follow the regularized leader, for large sparse linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import initializers, ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Ftrl(Optimizer):
    """FTRL (McMahan et al. 2013): well suited to shallow models with large and sparse features.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        learning_rate_power: how the rate falls with the accumulated squares; at most 0, and 0 is a fixed
            rate.
        initial_accumulator_value: what the sums of squares start at; at least 0.
        l1_regularization_strength: at least 0.
        l2_regularization_strength: at least 0; a stabilising penalty.
        l2_shrinkage_regularization_strength: at least 0; a penalty on the magnitude of the variables.
        beta: the beta of the paper.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        for argument in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            if locals()[argument] < 0.0:
                raise ValueError(
                    f"`{argument}` needs to be positive or zero. Received: {argument}={locals()[argument]}."
                )
        if learning_rate_power > 0.0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        start = initializers.Constant(self.initial_accumulator_value)
        self._accumulators, self._linears = self.add_optimizer_variables(
            var_list, ["accumulator", "linear"], initializer=[start, "zeros"]
        )

    def _rates(self, dtype: str, learning_rate: Any) -> tuple[Any, Any]:
        """The learning rate, and the L2 term that `beta` adds to."""
        l2 = self.l2_regularization_strength
        return learning_rate, 2.0 * (l2 + self.beta / (2.0 * learning_rate)) if self.beta else 2.0 * l2

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate, l2 = self._shared(self._rates, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        value, total = variable.value, self._accumulators[i].value
        power = -self.learning_rate_power

        new_total = total + ops.square(gradient)
        new_root = ops.power(new_total, power)
        shrunk = gradient + 2.0 * self.l2_shrinkage_regularization_strength * value
        linear = self._linears[i].value + shrunk - (new_root - ops.power(total, power)) / rate * value
        self.assign(self._linears[i], linear)
        l1 = self.l1_regularization_strength
        self.assign(variable, (ops.clip(linear, -l1, l1) - linear) / (new_root / rate + l2))
        self.assign(self._accumulators[i], new_total)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
