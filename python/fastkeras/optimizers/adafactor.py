"""Adafactor: second moments stored as row and column means, for large models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Adafactor(Optimizer):
    """Adafactor (Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235).

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        beta_2_decay: exponent of the decay of the second moment with the step.
        epsilon_1: added to squared gradients.
        epsilon_2: smallest root mean square of a variable that its steps are relative to.
        clip_threshold: root mean square above which a step is scaled down.
        relative_step: stored as Keras does; the rate is capped at `1 / sqrt(step)` either way, as there.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._r: list[Variable | None] = []
        self._c: list[Variable | None] = []
        self._v: list[Variable | None] = []
        for variable in var_list:
            shape, dtype, name = tuple(variable.shape), variable.dtype, variable.name
            overwritten = self._overwrite_variable_with_gradient(variable)
            if len(shape) < 2:
                # Vectors are not factored. Keras stores a scalar in the place of each factor, and so do its
                # files.
                self._r.append(Variable(0, dtype="int32", name=name, trainable=False))
                self._c.append(Variable(0, dtype="int32", name=name, trainable=False))
            elif overwritten:
                self._r.append(None)
                self._c.append(None)
            else:
                self._r.append(self.add_variable(shape[:-1], dtype=dtype, name=name))
                self._c.append(self.add_variable((*shape[:-2], shape[-1]), dtype=dtype, name=name))
            self._v.append(
                None if overwritten else self.add_variable_from_reference(variable, name="velocity")
            )

    def _factors(self, dtype: str, learning_rate: Any) -> tuple[Any, Any]:
        """The relative step size, and the decay of the second moment."""
        step = ops.cast(self.iterations + 1, dtype)
        cap = 1.0 / ops.sqrt(step)
        return ops.minimum(learning_rate, cap), 1.0 - ops.power(step, self.beta_2_decay)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rho, beta_2 = self._shared(self._factors, variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        size = ops.maximum(_root_mean_square(variable.value), self.epsilon_2) * rho
        square = ops.square(gradient) + self.epsilon_1

        if len(variable.shape) >= 2:
            r = beta_2 * self._r[i].value + (1.0 - beta_2) * ops.mean(square, axis=-1)
            c = beta_2 * self._c[i].value + (1.0 - beta_2) * ops.mean(square, axis=-2)
            self.assign(self._r[i], r)
            self.assign(self._c[i], c)
            rows = ops.expand_dims(r / ops.mean(r, axis=-1, keepdims=True), -1)
            v = rows * ops.expand_dims(c, -2)
        else:
            v = beta_2 * self._v[i].value + (1.0 - beta_2) * square
        self.assign(self._v[i], v)
        update = gradient / ops.sqrt(v)
        update = update / ops.maximum(_root_mean_square(update) / self.clip_threshold, 1.0)
        self.assign_sub(variable, size * update)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }


def _root_mean_square(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))
