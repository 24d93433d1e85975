"""Muon: orthogonalised momentum for matrices, AdamW for everything else."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.optimizer_state import shared_arguments


class Muon(Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    The momentum of each weight matrix is replaced by the nearest orthogonal matrix (approximately, by
    Newton-Schulz iterations). Variables that are not matrices, embeddings and excluded layers are updated by
    AdamW.

    Args:
        learning_rate: a float, a `LearningRateSchedule` or a callable without arguments.
        adam_beta_1, adam_beta_2, epsilon: see `Adam`; for the variables updated by AdamW.
        adam_weight_decay: weight decay of the variables updated by AdamW.
        weight_decay: weight decay of the matrices.
        exclude_layers: patterns of variable paths that AdamW updates.
        exclude_embeddings: whether AdamW updates variables with "embedding" in their path.
        muon_a, muon_b, muon_c: coefficients of the iterations.
        adam_lr_ratio: learning rate of AdamW relative to `learning_rate`.
        momentum: decay of the momentum of the matrices.
        ns_steps: number of iterations.
        nesterov: whether to use Nesterov momentum.
        rms_rate: steps are scaled by `rms_rate * sqrt(max(rows, columns))`, so that rates chosen for Adam
            fit; None for no scaling.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**shared_arguments(locals()))
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.exclude_embeddings = exclude_embeddings
        self.adam_weight_decay = adam_weight_decay
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable: Variable) -> bool:
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self.momentums: list[Variable | None] = [None] * len(var_list)
        # Only variables updated by AdamW have one.
        self.adam_velocities: list[Variable | None] = [None] * len(var_list)
        for i, variable in enumerate(var_list):
            if self._overwrite_variable_with_gradient(variable):
                continue
            self.momentums[i] = self.add_variable_from_reference(variable, name="momentum")
            if self._should_use_adamw(variable):
                self.adam_velocities[i] = self.add_variable_from_reference(variable, name="velocity")

    def _adam_step_size(self, dtype: str, learning_rate: Any) -> Any:
        """The learning rate of AdamW with the bias corrections of both moments."""
        step = ops.cast(self.iterations + 1, dtype)
        power_1 = ops.power(ops.cast(self.adam_beta_1, dtype), step)
        power_2 = ops.power(ops.cast(self.adam_beta_2, dtype), step)
        return learning_rate * self.adam_lr_ratio * ops.sqrt(1.0 - power_2) / (1.0 - power_1)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        i = self._get_variable_index(variable)
        gradient = ops.cast(gradient, variable.dtype)
        if self.adam_velocities[i] is not None:
            self._adamw_update(gradient, variable, learning_rate, i)
            return
        m = gradient + self.momentum * self.momentums[i].value
        self.assign(self.momentums[i], m)
        direction = gradient + self.momentum * m if self.nesterov else m
        update = self.zeropower_via_newtonschulz5(direction, self.ns_steps)
        self.assign_sub(variable, self.lr_adjust(self._shared(self._rate, variable, learning_rate) * update))

    def _adamw_update(self, gradient: Any, variable: Variable, learning_rate: Any, i: int) -> None:
        step_size = self._shared(self._adam_step_size, variable, learning_rate)
        m = self.momentums[i].value
        m = m + (gradient - m) * (1.0 - self.adam_beta_1)
        self.assign(self.momentums[i], m)
        v = self.adam_velocities[i].value
        v = v + (ops.square(gradient) - v) * (1.0 - self.adam_beta_2)
        self.assign(self.adam_velocities[i], v)
        self.assign_sub(variable, m * step_size / (ops.sqrt(v) + self.epsilon))

    def transpose_last_axis(self, X: Any) -> Any:  # noqa: N803 - Keras' name
        """`X` with its last two axes exchanged."""
        return ops.swapaxes(X, -1, -2)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update of a matrix, so that learning rates and weight decays chosen for Adam fit.

        See https://arxiv.org/abs/2502.16982.
        """
        if self.rms_rate is None:
            return x
        return x * (math.sqrt(max(x.shape[0], x.shape[1])) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """The orthogonal matrix nearest to `x`, roughly: `steps` iterations of a quintic with a steep slope
        at 0.

        Args:
            x: tensor of rank 2 or more; its last two axes are the matrix.
            steps: number of iterations.

        Raises:
            ValueError: if `x` has rank less than 2.
        """
        if len(x.shape) < 2:
            raise ValueError(
                "Expected gradient or momentum to have at least 2 dimensions. Received: "
                f"shape={tuple(x.shape)}"
            )
        tall = x.shape[-2] > x.shape[-1]
        if tall:
            # The products below are cheaper on the side with fewer rows.
            x = self.transpose_last_axis(x)
        x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True)) + 1e-7)
        for _ in range(steps):
            square = ops.matmul(x, self.transpose_last_axis(x))
            polynomial = self.muon_b * square + self.muon_c * ops.matmul(square, square)
            x = self.muon_a * x + ops.matmul(polynomial, x)
        return self.transpose_last_axis(x) if tall else x

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        rate = self.learning_rate
        for variable in variables:
            decay = self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay
            if decay is not None and self._use_weight_decay(variable):
                factor = self._shared(self._rate, variable, rate) * decay
                variable.assign(variable.value - variable.value * factor)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }
