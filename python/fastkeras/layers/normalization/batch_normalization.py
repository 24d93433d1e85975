"""Batch normalisation."""

from __future__ import annotations

from typing import Any

from fastkeras import _engine, constraints, initializers, ops, regularizers
from fastkeras.core import config
from fastkeras.core.dtypes import result_type
from fastkeras.layers.arguments import canonical_axis
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BatchNormalization(Layer):
    """Normalises every channel to mean 0 and variance 1, then scales it by `gamma` and adds `beta`.

    In training, mean and variance are those of the batch, and moving averages of them are kept; elsewhere the
    moving averages are used. A frozen layer (`trainable=False`) always uses the moving averages.

    Args:
        axis: the axis of the channels.
        momentum: how slowly the moving averages follow the batches.
        epsilon: added to the variance.
        center: whether `beta` is added.
        scale: whether `gamma` multiplies.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: of the weights.
        renorm: whether to train with what inference will use, by batch renormalisation (Ioffe, 2017).
        renorm_clipping: with `renorm`, a dictionary of bounds "rmin", "rmax" and "dmax" of the correction.
        renorm_momentum: with `renorm`, how slowly the averages of the correction follow.
        synchronized: whether replicas of a distributed model share their statistics.

    Call arguments:
        inputs: tensor of any rank.
        training: whether to use the batch's statistics.
        mask: booleans of one dimension less than the inputs; only positions where it is True count.

    Shapes: the output has the shape of the input; weights: gamma, beta, moving_mean, moving_variance
    `(channels,)`.

    Raises:
        ValueError: the axis does not exist, or the mask does not fit.

    Example: `fastkeras.layers.BatchNormalization()(numpy.ones((8, 4)), training=True)`.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)
        self.momentum = float(momentum)
        if not 0.0 <= self.momentum <= 1.0:
            raise ValueError(
                f"BatchNormalization: `momentum` must lie in [0, 1]. Received: momentum={momentum}"
            )
        self.epsilon = epsilon
        if self.epsilon < 0.0:
            raise ValueError(f"BatchNormalization: `epsilon` must be >= 0. Received: epsilon={epsilon}")
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.renorm = renorm
        self.renorm_clipping = _checked_clipping(renorm_clipping) if renorm else renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        ndim = len(input_shape)
        axis = canonical_axis(self.axis, ndim, "BatchNormalization")
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"BatchNormalization: the size of axis {self.axis} must be known to create the weights. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.input_spec = InputSpec(ndim=ndim, axes={axis: channels})
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=(channels,),
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=(channels,),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )
        self.moving_mean = self._add_statistic("moving_mean", channels, self.moving_mean_initializer)
        self.moving_variance = self._add_statistic(
            "moving_variance", channels, self.moving_variance_initializer
        )
        if self.renorm:

            def initial_stddev(shape: tuple[int, ...], dtype: str | None = None) -> Any:
                return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

            self.moving_stddev = self._add_statistic("moving_stddev", channels, initial_stddev)
            self.renorm_mean = self._add_statistic("renorm_mean", channels, self.moving_mean_initializer)
            self.renorm_stddev = self._add_statistic("renorm_stddev", channels, initial_stddev)
        self.built = True

    def _add_statistic(self, name: str, channels: int, initializer: Any) -> Any:
        return self.add_weight(
            name=name, shape=(channels,), initializer=initializer, trainable=False, autocast=False
        )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        ndim = len(inputs.shape)
        if mask is not None and len(mask.shape) != ndim - 1:
            raise ValueError(
                "BatchNormalization: the mask must have one dimension less than the inputs. "
                f"Received: a mask of shape {tuple(mask.shape)} for inputs of shape {tuple(inputs.shape)}"
            )
        # Sums of many squares do not fit the short float types, so the arithmetic is in float32 at least.
        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        if not (training and self.trainable):
            outputs = self._affine(x, self.moving_mean, self.moving_variance, self.gamma, self.beta)
        elif self.renorm:
            outputs = self._renormalize(x, mask)
        elif mask is not None or x.dtype != "float32":
            mean, variance = self._moments(x, mask)
            self._update(mean, variance)
            outputs = self._affine(x, mean, variance, self.gamma, self.beta)
        else:
            outputs, mean, variance = self._normalize_batch(x)
            self._update(mean, variance)
        return ops.cast(outputs, self.compute_dtype)

    def _normalize_batch(self, x: Any) -> tuple[Any, Any, Any]:
        """Output, mean and variance by the engine's operation, which takes channels on the last axis."""
        ndim = len(x.shape)
        axis = self.axis % ndim
        order = [i for i in range(ndim) if i != axis] + [axis]
        channels = x.shape[axis]
        gamma = self.gamma if self.gamma is not None else ops.ones((channels,), dtype=x.dtype)
        beta = self.beta if self.beta is not None else ops.zeros((channels,), dtype=x.dtype)
        moved = x if axis == ndim - 1 else ops.transpose(x, order)
        y, mean, variance = _engine.call(
            "batch_norm_train",
            moved,
            ops.cast(gamma, x.dtype),
            ops.cast(beta, x.dtype),
            epsilon=float(self.epsilon),
        )
        if axis != ndim - 1:
            y = ops.transpose(y, [order.index(i) for i in range(ndim)])
        return y, mean, variance

    def _affine(self, x: Any, mean: Any, variance: Any, gamma: Any, beta: Any) -> Any:
        """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, as one multiplication and one addition."""
        dtype = x.dtype
        factor = ops.rsqrt(ops.add(ops.cast(variance, dtype), self.epsilon))
        if gamma is not None:
            factor = ops.multiply(factor, ops.cast(gamma, dtype))
        offset = ops.negative(ops.multiply(ops.cast(mean, dtype), factor))
        if beta is not None:
            offset = ops.add(offset, ops.cast(beta, dtype))
        return ops.add(ops.multiply(x, self._along_axis(factor, x)), self._along_axis(offset, x))

    def _along_axis(self, vector: Any, x: Any) -> Any:
        ndim = len(x.shape)
        axis = self.axis % ndim
        if axis == ndim - 1:
            return vector
        return ops.reshape(vector, tuple(x.shape[axis] if i == axis else 1 for i in range(ndim)))

    def _moments(self, x: Any, mask: Any) -> tuple[Any, Any]:
        ndim = len(x.shape)
        axes = tuple(i for i in range(ndim) if i != self.axis % ndim)
        if mask is None:
            return ops.moments(x, axes=axes)
        weights = ops.broadcast_to(ops.expand_dims(ops.cast(mask, x.dtype), -1), tuple(x.shape))
        # Epsilon keeps a batch that is masked everywhere from dividing by zero.
        total = ops.add(ops.sum(weights, axis=axes), config.epsilon())
        mean = ops.divide(ops.sum(ops.multiply(weights, x), axis=axes), total)
        centered = ops.subtract(x, self._along_axis(mean, x))
        variance = ops.divide(ops.sum(ops.multiply(weights, ops.square(centered)), axis=axes), total)
        return mean, variance

    def _update(self, mean: Any, variance: Any) -> None:
        _follow(self.moving_mean, mean, self.momentum)
        _follow(self.moving_variance, variance, self.momentum)

    def _renormalize(self, x: Any, mask: Any) -> Any:
        mean, variance = self._moments(x, mask)
        dtype = x.dtype
        stddev = ops.sqrt(ops.add(variance, self.epsilon))
        known_mean = ops.cast(self.renorm_mean, dtype)
        known_stddev = ops.maximum(ops.cast(self.renorm_stddev, dtype), self.epsilon**0.5)
        # The correction is a constant of the batch: no gradient flows through it.
        r = ops.stop_gradient(ops.divide(stddev, known_stddev))
        d = ops.stop_gradient(ops.divide(ops.subtract(mean, known_mean), known_stddev))
        bounds = self.renorm_clipping or {}
        if bounds.get("rmin") is not None:
            r = ops.maximum(r, bounds["rmin"])
        if bounds.get("rmax") is not None:
            r = ops.minimum(r, bounds["rmax"])
        if bounds.get("dmax") is not None:
            d = ops.maximum(ops.minimum(d, bounds["dmax"]), -bounds["dmax"])
        gamma, beta = r, d
        if self.gamma is not None:
            gamma, beta = ops.multiply(r, self.gamma), ops.multiply(d, self.gamma)
        if self.beta is not None:
            beta = ops.add(beta, self.beta)
        _follow(self.renorm_mean, mean, self.renorm_momentum)
        _follow(self.renorm_stddev, stddev, self.renorm_momentum)
        _follow(self.moving_mean, mean, self.momentum)
        _follow(self.moving_stddev, stddev, self.momentum)
        # Inference reads the variance, which is kept in step with the averaged deviation.
        moving = ops.subtract(ops.square(self.moving_stddev), self.epsilon)
        self.moving_variance.assign(ops.maximum(moving, 0.0))
        return self._affine(x, mean, variance, gamma, beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        canonical_axis(self.axis, len(input_shape), "BatchNormalization")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
            "synchronized": self.synchronized,
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
        }


def _follow(average: Any, value: Any, momentum: float) -> None:
    """Moves a moving average towards `value`."""
    value = ops.cast(value, average.dtype)
    average.assign(ops.add(ops.multiply(average, momentum), ops.multiply(value, 1.0 - momentum)))


def _checked_clipping(clipping: dict[str, float] | None) -> dict[str, float]:
    clipping = dict(clipping or {})
    names = ("rmax", "rmin", "dmax")
    if set(clipping) - set(names):
        raise ValueError(
            f"BatchNormalization: the keys of `renorm_clipping` must be among {names}. Received: {clipping}"
        )
    rmin, rmax, dmax = (clipping.get(n) for n in ("rmin", "rmax", "dmax"))
    if rmin is not None and rmax is not None and rmax < rmin:
        raise ValueError(
            f"BatchNormalization: in `renorm_clipping`, rmax must be at least rmin. Received: rmax={rmax}, "
            f"rmin={rmin}"
        )
    if dmax is not None and dmax < 0:
        raise ValueError(
            f"BatchNormalization: in `renorm_clipping`, dmax must be >= 0. Received: dmax={dmax}"
        )
    return clipping
