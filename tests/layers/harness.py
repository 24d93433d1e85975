"""Checks a fastkeras layer against the Keras layer of the same name, with the same weights.

`run_layer_test` builds both, compares configurations, weights, outputs, shapes, masks and gradients. Keras runs on
JAX, and is only needed by these tests.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import numpy as np
import pytest

import fastkeras
from fastkeras import _engine, ops
from fastkeras import layers as fk_layers

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

RTOL = 1e-5


def run_layer_test(
    name: str,
    kwargs: Any = None,
    input_shape: Any = None,
    *,
    inputs: Any = None,
    input_dtype: str = "float32",
    mask: Any = None,
    training: bool = True,
    gradients: bool = True,
    unknown: Any = None,
    call_kwargs: dict[str, Any] | None = None,
    integer_high: int = 5,
    rtol: float = RTOL,
    atol: float = 1e-5,
    seed: int = 0,
) -> Any:
    """Compares the layers called `name` of both libraries, and returns fastkeras' one.

    Args:
        name: the class' public name.
        kwargs: constructor arguments; a function of a `layers` namespace where they hold layers.
        input_shape: shape of the input with its batch axis, or a list of shapes.
        inputs: the input itself, instead of random numbers of `input_shape`.
        mask: a mask attached to the input, or one per input.
        training: whether to compare `training=True` too; False for layers that draw random numbers.
        gradients: whether to compare gradients of inputs and weights.
        unknown: axes, besides the batch, to leave unknown in a second check of the symbolic shape.
        call_kwargs: further arguments of the call.
    """
    rng = np.random.default_rng(seed)
    call_kwargs = call_kwargs or {}
    mine, theirs = make(fk_layers, name, kwargs), make(keras.layers, name, kwargs)
    assert_same_config(mine.get_config(), theirs.get_config(), "before build")

    if inputs is None:
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        values = [random_array(rng, s, input_dtype, integer_high) for s in shapes]
        inputs = values if isinstance(input_shape, list) else values[0]
    with quiet():
        theirs(inputs, **call_kwargs)
        mine(inputs, **call_kwargs)
    assert_same_weights(mine, theirs)
    randomize_weights(theirs, rng)
    mine.set_weights([np.asarray(w) for w in theirs.weights])
    assert_same_config(mine.get_config(), theirs.get_config(), "after build")
    check_round_trips(name, mine, theirs)

    for mode in (None, False, True) if training else (None, False):
        options = dict(call_kwargs)
        if mode is not None and takes_training(theirs):
            options["training"] = mode
        compare_call(mine, theirs, inputs, mask, options, rtol, atol)
    check_symbolic(name, kwargs, mine, theirs, inputs, unknown, call_kwargs)
    if gradients:
        modes = (False, True) if training and takes_training(theirs) else (None,)
        for mode in modes:
            compare_gradients(mine, theirs, inputs, mask, call_kwargs, mode, rng, rtol, atol)
    return mine


def make(namespace: Any, name: str, kwargs: Any) -> Any:
    kwargs = kwargs(namespace) if callable(kwargs) else dict(kwargs or {})
    with quiet():
        return getattr(namespace, name)(**kwargs)


class quiet(warnings.catch_warnings):
    """Both libraries warn that some layers drop masks; the tests compare that, and need no warning."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")


def random_array(rng: np.random.Generator, shape: Any, dtype: str, high: int) -> np.ndarray:
    if dtype.startswith(("int", "uint")):
        return rng.integers(0, high, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def takes_training(layer: Any) -> bool:
    return bool(layer._call_has_training_arg)


def randomize_weights(layer: Any, rng: np.random.Generator) -> None:
    values = []
    for w in layer.weights:
        positive = any(part in w.name for part in ("variance", "stddev"))
        draw = rng.uniform(0.5, 1.5, w.shape) if positive else rng.standard_normal(w.shape) * 0.5
        values.append(draw.astype(w.dtype))
    layer.set_weights(values)


# Configurations.


def plain(x: Any) -> Any:
    """Tuples as lists, so that configurations compare as they do in files."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return x


def assert_same_config(mine: Any, theirs: Any, where: str, path: str = "config") -> None:
    if path == "config":
        mine, theirs = plain(mine), plain(theirs)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        assert sorted(mine) == sorted(theirs), f"{where}: keys of {path} differ"
        for key in mine:
            # Names carry a counter of how many layers were made before.
            if key != "name":
                assert_same_config(mine[key], theirs[key], where, f"{path}[{key!r}]")
    elif isinstance(mine, list) and isinstance(theirs, list):
        assert len(mine) == len(theirs), f"{where}: {path} is {mine}, in Keras {theirs}"
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            assert_same_config(a, b, where, f"{path}[{i}]")
    elif isinstance(mine, float) or isinstance(theirs, float):
        # Keras keeps some factors in float32.
        assert math.isclose(mine, theirs, rel_tol=1e-6), f"{where}: {path} is {mine}, in Keras {theirs}"
    else:
        assert type(mine) is type(theirs), f"{where}: {path} is {mine!r}, in Keras {theirs!r}"
        assert mine == theirs, f"{where}: {path} is {mine!r}, in Keras {theirs!r}"


def check_round_trips(name: str, mine: Any, theirs: Any) -> None:
    cls, keras_cls = type(mine), type(theirs)
    again = cls.from_config(mine.get_config())
    assert_same_config(again.get_config(), mine.get_config(), "after from_config")
    from_keras = cls.from_config(plain(theirs.get_config()))
    assert_same_config(from_keras.get_config(), mine.get_config(), "from Keras' configuration")
    to_keras = keras_cls.from_config(plain(mine.get_config()))
    assert_same_config(mine.get_config(), to_keras.get_config(), "as read by Keras")


# Weights.


def assert_same_weights(mine: Any, theirs: Any) -> None:
    def describe(layer: Any) -> list[Any]:
        return [(w.name, tuple(w.shape), w.dtype, w.trainable) for w in layer.weights]

    assert describe(mine) == describe(theirs)
    assert mine.count_params() == theirs.count_params()
    assert len(mine.trainable_weights) == len(theirs.trainable_weights)
    assert len(mine.non_trainable_weights) == len(theirs.non_trainable_weights)
    assert mine.supports_masking == theirs.supports_masking


# Values.


def flat(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def attach_masks(convert: Any, attach: Any, inputs: Any, mask: Any) -> Any:
    tensors = [convert(x) for x in flat(inputs)]
    if mask is not None:
        for t, m in zip(tensors, flat(mask), strict=True):
            if m is not None:
                attach(t, convert(m))
    return tensors if isinstance(inputs, (list, tuple)) else tensors[0]


def fk_inputs(inputs: Any, mask: Any) -> Any:
    from fastkeras.core.masking import set_keras_mask

    return attach_masks(ops.convert_to_tensor, set_keras_mask, inputs, mask)


def keras_inputs(inputs: Any, mask: Any) -> Any:
    from keras.src.backend import set_keras_mask

    return attach_masks(keras.ops.convert_to_tensor, set_keras_mask, inputs, mask)


def compare_call(
    mine: Any, theirs: Any, inputs: Any, mask: Any, options: dict[str, Any], rtol: float, atol: float
) -> None:
    from keras.src.backend import get_keras_mask as keras_mask

    from fastkeras.core.masking import get_keras_mask

    with quiet():
        wanted = theirs(keras_inputs(inputs, mask), **options)
        got = mine(fk_inputs(inputs, mask), **options)
    assert_close(got, wanted, rtol, atol, f"output with {options}")
    for w_mine, w_theirs in zip(mine.non_trainable_weights, theirs.non_trainable_weights, strict=True):
        np.testing.assert_allclose(
            np.asarray(w_mine), np.asarray(w_theirs), rtol=rtol, atol=atol, err_msg=f"{w_mine.path} after {options}"
        )
    assert len(mine.losses) == len(theirs.losses)
    for a, b in zip(mine.losses, theirs.losses, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, err_msg="added loss")
    if mask is not None:
        for a, b in zip(flat(got), flat(wanted), strict=True):
            m, k = get_keras_mask(a), keras_mask(b)
            assert (m is None) == (k is None), f"output mask is {m}, in Keras {k}"
            if m is not None:
                np.testing.assert_array_equal(np.asarray(m), np.asarray(k), err_msg="output mask")


def assert_close(got: Any, wanted: Any, rtol: float, atol: float, what: str) -> None:
    for a, b in zip(flat(got), flat(wanted), strict=True):
        assert tuple(a.shape) == tuple(b.shape), f"shape of {what}"
        dtype = b.dtype.name if hasattr(b.dtype, "name") else str(b.dtype)
        assert a.dtype == dtype, f"dtype of {what}: {a.dtype}, in Keras {dtype}"
        np.testing.assert_allclose(
            np.asarray(a).astype("float64"), np.asarray(b).astype("float64"), rtol=rtol, atol=atol, err_msg=what
        )


def check_symbolic(
    name: str, kwargs: Any, mine: Any, theirs: Any, inputs: Any, unknown: Any, call_kwargs: dict[str, Any]
) -> None:
    for axes in (0,), (0, *(unknown or ())):
        specs = [(tuple(None if i in axes else n for i, n in enumerate(x.shape)), x.dtype.name) for x in flat(inputs)]

        def symbolic(lib: Any, specs: Any = specs) -> Any:
            made = [lib.Input(batch_shape=s, dtype=d) for s, d in specs]
            return made if isinstance(inputs, (list, tuple)) else made[0]

        with quiet():
            wanted = flat(theirs(symbolic(keras), **call_kwargs))
            got = flat(mine(symbolic(fastkeras), **call_kwargs))
            real = flat(mine(inputs, **call_kwargs))
        for a, b, c in zip(got, wanted, real, strict=True):
            assert tuple(a.shape) == tuple(b.shape), f"symbolic shape for {specs}"
            assert len(a.shape) == len(c.shape)
            assert all(n in (None, m) for n, m in zip(a.shape, c.shape, strict=True))
            assert a.dtype == c.dtype, f"symbolic dtype {a.dtype}, eager {c.dtype}"
        # A fresh layer must infer the same without ever having seen data.
        fresh = make(fk_layers, name, kwargs)
        with quiet():
            again = flat(fresh(symbolic(fastkeras), **call_kwargs))
        assert [tuple(a.shape) for a in again] == [tuple(b.shape) for b in wanted]
        if len(wanted) == 1 and not call_kwargs:
            shapes = [s for s, _ in specs]
            shape = fresh.compute_output_shape(shapes if isinstance(inputs, (list, tuple)) else shapes[0])
            assert tuple(shape) == tuple(wanted[0].shape)


def compare_gradients(
    mine: Any,
    theirs: Any,
    inputs: Any,
    mask: Any,
    call_kwargs: dict[str, Any],
    training: bool | None,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
) -> None:
    """The gradient of `sum(output * noise)` with respect to floating-point inputs and trainable weights."""
    options = dict(call_kwargs) if training is None else {**call_kwargs, "training": training}
    arrays = flat(inputs)
    wrt = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    is_list = isinstance(inputs, (list, tuple))
    with quiet():
        shape = tuple(theirs(keras_inputs(inputs, mask), **options).shape)
    noise = rng.standard_normal(shape).astype("float32")
    mine.set_weights([np.asarray(w) for w in theirs.weights])
    state = [w.value for w in theirs.non_trainable_variables]

    def loss(weights: Any, floats: Any) -> Any:
        full = list(arrays)
        for i, x in zip(wrt, floats, strict=True):
            full[i] = x
        x = keras_inputs(full if is_list else full[0], mask)
        with quiet():
            out, _ = theirs.stateless_call(weights, state, x, **options)
        return keras.ops.sum(keras.ops.cast(out, "float32") * noise)

    weights = [w.value for w in theirs.trainable_variables]
    wanted_w, wanted_x = jax.grad(loss, argnums=(0, 1))(weights, [jax.numpy.asarray(arrays[i]) for i in wrt])

    with quiet(), _engine.Trace() as trace:
        traced = [trace.input(x.shape, x.dtype.name) for x in arrays]
        y = mine(fk_inputs(traced if is_list else traced[0], mask), **options)
        total = ops.sum(ops.multiply(ops.cast(y, "float32"), noise))
        sources = list(mine.trainable_variables) + [traced[i] for i in wrt]
        if not sources:
            return
        found = _engine.gradients([total], sources)
        outputs = [g for g in found if g is not None]
        run = trace.compile(outputs)
    values = iter(run(*[np.ascontiguousarray(x) for x in arrays]))
    names = [w.path for w in mine.trainable_variables] + [f"input {i}" for i in wrt]
    for label, g, b in zip(names, found, [*wanted_w, *wanted_x], strict=True):
        a = np.zeros(b.shape) if g is None else np.asarray(next(values)).astype("float64")
        b = np.asarray(b).astype("float64")
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=rtol * 10, atol=atol * scale, err_msg=f"gradient of {label}, {options}")
