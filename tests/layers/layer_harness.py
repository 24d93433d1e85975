"""Checks a fastkeras layer against the Keras layer of the same name, with the same weights.

`run_layer_test` builds both, compares configurations, weights, outputs, shapes, masks and gradients. Keras
runs on JAX, and is only needed by these tests.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
# Compiling for speed takes longer than these programs run.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import fastkeras
import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras import layers as fk_layers

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

RTOL = 1e-5


def case_id(value: Any) -> str:
    """A test's name for a parameter: the same in every process, whatever addresses objects have there."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:70]


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
    check_symbolic(name, kwargs, theirs, inputs, unknown, call_kwargs)
    with quiet():
        mine(inputs, **call_kwargs)
    assert_same_weights(mine, theirs)
    randomize_weights(theirs, rng)
    assert_same_config(mine.get_config(), theirs.get_config(), "after build")
    check_round_trips(mine, theirs)

    modes = ((False, True) if training else (False,)) if takes_training(theirs) else (None,)
    for mode in modes:
        options = dict(call_kwargs) if mode is None else {**call_kwargs, "training": mode}
        mine.set_weights([np.asarray(w) for w in theirs.weights])
        if mask is not None:
            compare_masked_call(mine, theirs, inputs, mask, options, rtol, atol)
        else:
            compare(mine, theirs, inputs, options, gradients, rng, rtol, atol)
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
            # Names carry a counter of how many layers were made before, and the two layers are built in two
            # ways.
            if key not in ("name", "build_config"):
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


def check_round_trips(mine: Any, theirs: Any) -> None:
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


def compare_masked_call(
    mine: Any, theirs: Any, inputs: Any, mask: Any, options: dict[str, Any], rtol: float, atol: float
) -> None:
    """Outputs and output masks, op by op: JAX cannot attach a mask to what it traces."""
    from fastkeras.core.masking import get_keras_mask
    from keras.src.backend import get_keras_mask as keras_mask

    with quiet():
        wanted = theirs(keras_inputs(inputs, mask), **options)
        got = mine(fk_inputs(inputs, mask), **options)
    assert_close(got, wanted, rtol, atol, f"output with {options}")
    assert_same_state(mine, theirs.non_trainable_weights, options, rtol, atol)
    for a, b in zip(flat(got), flat(wanted), strict=True):
        m, k = get_keras_mask(a), keras_mask(b)
        assert (m is None) == (k is None), f"output mask is {m}, in Keras {k}"
        if m is not None:
            np.testing.assert_array_equal(np.asarray(m), np.asarray(k), err_msg="output mask")


def compare(
    mine: Any,
    theirs: Any,
    inputs: Any,
    options: dict[str, Any],
    gradients: bool,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
) -> None:
    """Outputs, losses, updated weights, and the gradients of `sum(output * noise)`: eagerly and traced."""
    arrays = flat(inputs)
    is_list = isinstance(inputs, (list, tuple))
    wrt = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    with quiet():
        before = [np.asarray(w) for w in mine.weights]
        got = mine(inputs, **options)
        losses = [np.asarray(x) for x in mine.losses]
        after = [np.asarray(w) for w in mine.non_trainable_weights]
        mine.set_weights(before)
    noise = rng.standard_normal(tuple(got.shape)).astype("float32")

    def run(weights: Any, floats: Any, state: Any) -> Any:
        full: list[Any] = list(arrays)
        for i, x in zip(wrt, floats, strict=True):
            full[i] = x
        variables = theirs.trainable_variables + theirs.non_trainable_variables
        # Not stateless_call(), which skips what a layer's __call__ does around its call.
        with keras.StatelessScope(zip(variables, weights + state, strict=True), collect_losses=True) as scope:
            out = theirs(full if is_list else full[0], **options)
            added = theirs.losses
        updated = [scope.get_current_value(v) for v in theirs.non_trainable_variables]
        return keras.ops.sum(keras.ops.cast(out, "float32") * noise), (out, updated, added)

    weights = [w.value for w in theirs.trainable_variables]
    state = [w.value for w in theirs.non_trainable_variables]
    floats = [jax.numpy.asarray(arrays[i]) for i in wrt]
    if gradients:
        program = jax.jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))
        (_, (wanted, updated, added)), (wanted_w, wanted_x) = program(weights, floats, state)
    else:
        _, (wanted, updated, added) = run(weights, floats, state)
    assert_close(got, wanted, rtol, atol, f"output with {options}")
    names = [w.path for w in theirs.non_trainable_variables]
    updated = [w for w, name in zip(updated, names, strict=True) if "seed_generator" not in name]
    for w, a, b in zip(mine.non_trainable_weights, after, updated, strict=True):
        np.testing.assert_allclose(
            a, np.asarray(b), rtol=rtol, atol=atol, err_msg=f"{w.path} after {options}"
        )
    assert len(losses) == len(added)
    for a, b in zip(losses, added, strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=rtol, err_msg="added loss")
    if gradients:
        traced_out, found = traced_gradients(mine, arrays, is_list, wrt, noise, options)
        assert_close(traced_out, wanted, rtol, atol, f"traced output with {options}")
        labels = [w.path for w in mine.trainable_variables] + [f"input {i}" for i in wrt]
        for label, a, b in zip(labels, found, [*wanted_w, *wanted_x], strict=True):
            b = np.asarray(b).astype("float64")
            a = np.zeros(b.shape) if a is None else a.astype("float64")
            scale = max(1.0, float(np.abs(b).max(initial=0.0)))
            message = f"gradient of {label}, {options}"
            np.testing.assert_allclose(a, b, rtol=rtol * 10, atol=atol * scale, err_msg=message)


def traced_gradients(
    mine: Any, arrays: list[Any], is_list: bool, wrt: list[int], noise: np.ndarray, options: dict[str, Any]
) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """The output and the gradients of weights and inputs, compiled as one program like a training step."""
    with quiet(), _engine.Trace() as trace:
        traced = [trace.input(x.shape, x.dtype.name) for x in arrays]
        y = mine(traced if is_list else traced[0], **options)
        total = ops.sum(ops.multiply(ops.cast(y, "float32"), noise))
        sources = list(mine.trainable_variables) + [traced[i] for i in wrt]
        found = _engine.gradients([total], sources) if sources else []
        program = trace.compile([y, *(g for g in found if g is not None)])
    values = program(*[np.ascontiguousarray(x) for x in arrays])
    rest = iter(values[1:])
    return values[0], [None if g is None else np.asarray(next(rest)) for g in found]


def assert_same_state(mine: Any, wanted: Any, options: dict[str, Any], rtol: float, atol: float) -> None:
    for a, b in zip(mine.non_trainable_weights, wanted, strict=True):
        message = f"{a.path} after {options}"
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol, err_msg=message)


def assert_close(got: Any, wanted: Any, rtol: float, atol: float, what: str) -> None:
    for a, b in zip(flat(got), flat(wanted), strict=True):
        assert tuple(a.shape) == tuple(b.shape), f"shape of {what}"
        dtype = b.dtype.name if hasattr(b.dtype, "name") else str(b.dtype)
        assert a.dtype == dtype, f"dtype of {what}: {a.dtype}, in Keras {dtype}"
        np.testing.assert_allclose(
            np.asarray(a).astype("float64"),
            np.asarray(b).astype("float64"),
            rtol=rtol,
            atol=atol,
            err_msg=what,
        )


def check_symbolic(
    name: str, kwargs: Any, theirs: Any, inputs: Any, unknown: Any, call_kwargs: dict[str, Any]
) -> None:
    """Shapes and types inferred by a layer that has never seen data. Builds `theirs`."""
    is_list = isinstance(inputs, (list, tuple))
    with quiet():
        real = flat(make(fk_layers, name, kwargs)(inputs, **call_kwargs))
    for axes in (0,), (0, *(unknown or ())):
        specs = [
            (tuple(None if i in axes else n for i, n in enumerate(x.shape)), x.dtype.name)
            for x in flat(inputs)
        ]

        def symbolic(lib: Any, specs: Any = specs) -> Any:
            made = [lib.Input(batch_shape=s, dtype=d) for s, d in specs]
            return made if is_list else made[0]

        mine = make(fk_layers, name, kwargs)
        with quiet():
            wanted = flat(theirs(symbolic(keras), **call_kwargs))
            got = flat(mine(symbolic(fastkeras), **call_kwargs))
        for a, b, c in zip(got, wanted, real, strict=True):
            fits = [m in (None, n) for n, m in zip(a.shape, b.shape, strict=True)]
            assert all(fits), f"symbolic shape {a.shape} for {specs}, in Keras {b.shape}"
            assert all(n in (None, m) for n, m in zip(a.shape, c.shape, strict=True))
            assert a.dtype == c.dtype, f"symbolic dtype {a.dtype}, eager {c.dtype}"
            # An unknown batch stays unknown.
            assert not a.shape or a.shape[0] is None
        if len(got) == 1 and not call_kwargs:
            shapes = [s for s, _ in specs]
            shape = make(fk_layers, name, kwargs).compute_output_shape(shapes if is_list else shapes[0])
            assert tuple(shape) == tuple(got[0].shape)
