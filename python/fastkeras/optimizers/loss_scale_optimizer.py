"""`LossScaleOptimizer`: dynamic loss scaling around another optimizer, for float16 training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import initializers, ops
from fastkeras.core.tracking import no_automatic_dependency_tracking
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import KeepUnless, Optimizer

# What older files pass: only these values mean anything here.
_IGNORED_DEFAULTS = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Scales the loss up before, and gradients down after differentiation, so that small gradients do not
    vanish.

    A step with an infinite or undefined gradient is skipped and halves the scale; `dynamic_growth_steps` good
    steps in a row double it.

    Args:
        inner_optimizer: the optimizer that updates the variables.
        initial_scale: the scale to begin with; better too high than too low, as it falls faster than it
            rises.
        dynamic_growth_steps: number of good steps before the scale is doubled.
        name: name of the optimizer.
        **kwargs: none, apart from the defaults that older configurations contain.

    Raises:
        ValueError: for any other argument: set it on `inner_optimizer`.

    Example:

    ```python
    optimizer = LossScaleOptimizer(fastkeras.optimizers.Adam())
    scaled_loss = optimizer.scale_loss(loss)
    ```
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set "
                "`loss_scale_factor` "
                "directly on the `inner_optimizer`."
            )
        for argument, default in _IGNORED_DEFAULTS.items():
            if argument in kwargs and kwargs.pop(argument) != default:
                raise ValueError(
                    f"LossScaleOptimizer does not support `{argument}`. Instead, set `{argument}` on the "
                    "`inner_optimizer`."
                )
        if kwargs:
            raise ValueError(f"LossScaleOptimizer does not support arguments: `{'`, `'.join(kwargs)}`.")
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        # Gradients must not be unscaled twice.
        self.inner_optimizer.loss_scale_factor = None
        self.inner_optimizer._runs_pending = False

    @no_automatic_dependency_tracking
    def build(self, var_list: Sequence[Variable]) -> None:
        self.step_counter = self.add_variable((), initializers.Zeros(), dtype="int32", name="step_counter")
        self.dynamic_scale = self.add_variable(
            (), initializers.Constant(self.initial_scale), dtype="float32", name="dynamic_scale"
        )
        self.inner_optimizer.build(var_list)
        super().build(var_list)

    def _extend(self, new: list[Variable]) -> None:
        self.inner_optimizer.extend(new)
        for variable in new:
            self._trainable_variables_indices[self._var_key(variable)] = len(self._trainable_variables)
            self._trainable_variables.append(variable)

    @property
    def variables(self) -> list[Variable]:
        return self._variables + self.inner_optimizer.variables

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        finite = self.check_finite(grads)
        scale = self.dynamic_scale.value
        # A factor that is known only after the check keeps the update in one loop that reads each gradient once more;
        # otherwise the loop of the check would begin it, and store what it cannot finish.
        inverse = ops.where(finite, 1.0 / scale, 1.0)
        unscaled = [
            g
            if g is None or self._overwrite_variable_with_gradient(v)
            else ops.convert_to_tensor(g) * inverse
            for g, v in zip(grads, variables)
        ]
        # Always computed; kept only if it was right.
        with KeepUnless(finite, [*variables, *self.inner_optimizer.variables]):
            self.inner_optimizer.apply(unscaled, variables)

        counter = self.step_counter.value
        grow = ops.logical_and(finite, ops.equal(counter, self.dynamic_growth_steps - 1))
        restart = ops.logical_or(grow, ops.logical_not(finite))
        self.step_counter.assign(ops.where(restart, ops.zeros_like(counter), counter + 1))
        self.dynamic_scale.assign(scale * ops.where(finite, ops.where(grow, 2.0, 1.0), 0.5))
        self._run_pending()

    def check_finite(self, grads: Sequence[Any]) -> Any:
        """Whether all gradients are finite everywhere, as a scalar boolean tensor.

        Args:
            grads: gradients; None entries are passed over.
        """
        finite = None
        for g in grads:
            if g is not None:
                ok = ops.all(ops.isfinite(g))
                finite = ok if finite is None else ops.logical_and(finite, ok)
        return ops.convert_to_tensor(True) if finite is None else finite

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """`loss` multiplied by the present scale."""
        return loss * (self.dynamic_scale.value if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving import serialize_keras_object

        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> LossScaleOptimizer:
        from fastkeras.saving import deserialize_keras_object

        config = dict(config)
        inner = deserialize_keras_object(config.pop("inner_optimizer"), custom_objects=custom_objects)
        return cls(inner, **config)
