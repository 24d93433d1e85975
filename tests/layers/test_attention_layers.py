"""Attention layers against Keras'.

Tolerances: float32 products and softmaxes in another order of summation differ by a few units in the last
place, 1e-5 with the small sizes used here; gradients pass through three products in a row, and get ten times
that. Half types keep 11 or 8 bits, and both libraries round after other steps.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import fastkeras
import numpy as np
import pytest
from fastkeras import _engine, layers, ops
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from layer_harness import (
    assert_close,
    assert_same_config,
    assert_same_weights,
    case_id,
    check_round_trips,
    flat,
    jax,
    keras,
    make,
    quiet,
    randomize_weights,
    run_layer_test,
)

RTOL, ATOL = 1e-5, 1e-5
MASK = np.array([[1, 1, 1, 0], [1, 0, 1, 1]], bool)
SOURCE_MASK = np.array([[1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]], bool)
# Of shapes (target length, source length), (batch, target, source) and with heads.
FREE = np.random.default_rng(5).random((2, 2, 4, 6)) < 0.6
HEADS = ("MultiHeadAttention", "GroupQueryAttention")
SMALL = {
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 3},
    "GroupQueryAttention": {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
}


def sequences(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype("float32") for s in shapes]


Q, V, K = sequences((2, 4, 8), (2, 6, 8), (2, 6, 8))


def call(layer: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    """`Attention` takes its inputs in a list, the layers with heads by themselves."""
    if type(layer).__name__ in ("Attention", "AdditiveAttention"):
        return layer(list(inputs), **options)
    return layer(*inputs, **options)


def compare(
    name: str,
    kwargs: dict[str, Any],
    inputs: list[np.ndarray],
    *,
    masks: list[Any] | None = None,
    gradients: bool = True,
    rtol: float = RTOL,
    atol: float = ATOL,
    **options: Any,
) -> Any:
    """Configuration, weights, outputs, masks, symbolic shapes and gradients of both libraries' layers.

    Args:
        masks: what the inputs carry. Gradients are then not compared: JAX attaches no mask to what it traces.
        options: further arguments of the call.
    """
    mine, theirs = make(layers, name, kwargs), make(keras.layers, name, kwargs)
    assert_same_config(mine.get_config(), theirs.get_config(), "before build")
    with quiet():
        call(theirs, inputs, options)
        call(mine, inputs, options)
    assert_same_weights(mine, theirs)
    assert paths(mine) == paths(theirs)
    assert_same_config(mine.get_config(), theirs.get_config(), "after build")
    check_round_trips(mine, theirs)
    randomize_weights(theirs, np.random.default_rng(1))
    mine.set_weights([np.asarray(w) for w in theirs.weights])
    if masks is not None:
        compare_with_masks(mine, theirs, inputs, masks, options, rtol, atol)
        return mine

    with quiet():
        got = call(mine, inputs, options)
        wanted = call(theirs, inputs, options)
        added = [np.asarray(x) for x in mine.losses]
    assert_close(got, wanted, rtol, atol, "output")
    np.testing.assert_allclose(added, [np.asarray(x) for x in theirs.losses], rtol=rtol)
    check_symbolic(name, kwargs, inputs, got, options)
    if gradients:
        compare_gradients(mine, theirs, inputs, wanted, options, rtol, atol)
    return mine


def paths(layer: Any) -> list[str]:
    """Paths of all variables inside the layer, without the counters that automatic names have."""
    return [re.sub(r"_\d+(?=/)", "", w.path.split("/", 1)[1]) for w in layer.variables]


def compare_with_masks(
    mine: Any, theirs: Any, inputs: Any, masks: Any, options: Any, rtol: float, atol: float
) -> None:
    from keras.src.backend import get_keras_mask as keras_mask
    from keras.src.backend import set_keras_mask as set_on_keras

    ours = [ops.convert_to_tensor(x) for x in inputs]
    others = [keras.ops.convert_to_tensor(x) for x in inputs]
    for a, b, mask in zip(ours, others, masks, strict=True):
        if mask is not None:
            set_keras_mask(a, ops.convert_to_tensor(mask))
            set_on_keras(b, keras.ops.convert_to_tensor(mask))
    with quiet():
        got, wanted = flat(call(mine, ours, options)), flat(call(theirs, others, options))
    assert_close(got, wanted, rtol, atol, "output")
    # Those of the outputs, and what is left of those of the inputs.
    for a, b in zip([*got, *ours], [*wanted, *others], strict=True):
        m, k = get_keras_mask(a), keras_mask(b)
        assert (m is None) == (k is None), f"mask is {m}, in Keras {k}"
        if m is not None:
            np.testing.assert_array_equal(np.asarray(m), np.asarray(k))


def check_symbolic(name: str, kwargs: Any, inputs: Any, real: Any, options: Any) -> None:
    """Shapes inferred without data contain the real ones, with batch and lengths unknown too."""
    plain = {k: v for k, v in options.items() if not isinstance(v, np.ndarray)}
    for unknown in (0,), tuple(range(inputs[0].ndim - 1)):
        shapes = [tuple(None if i in unknown else n for i, n in enumerate(x.shape)) for x in inputs]
        made = call(make(layers, name, kwargs), [fastkeras.Input(batch_shape=s) for s in shapes], plain)
        for a, b in zip(flat(made), flat(real), strict=True):
            assert len(a.shape) == len(b.shape) and a.dtype == b.dtype
            assert all(m in (None, n) for m, n in zip(a.shape, b.shape, strict=True)), (a.shape, b.shape)
            assert a.shape[0] is None


def compare_gradients(
    mine: Any, theirs: Any, inputs: Any, wanted: Any, options: Any, rtol: float, atol: float
) -> None:
    """Those of sum(output * noise), for weights and inputs, compiled as in a training step."""
    rng = np.random.default_rng(2)
    noise = [rng.standard_normal(tuple(x.shape)).astype("float32") for x in flat(wanted)]

    def run(weights: Any, arrays: Any) -> Any:
        with keras.StatelessScope(zip(theirs.trainable_variables, weights, strict=True)):
            out = flat(call(theirs, arrays, options))
        return sum(keras.ops.sum(keras.ops.cast(y, "float32") * n) for y, n in zip(out, noise, strict=True))

    found = jax.jit(jax.grad(run, argnums=(0, 1)))(
        [w.value for w in theirs.trainable_variables], [jax.numpy.asarray(x) for x in inputs]
    )
    with _engine.Trace() as trace:
        traced = [trace.input(x.shape, x.dtype.name) for x in inputs]
        out = flat(call(mine, traced, options))
        total = sum(ops.sum(ops.multiply(ops.cast(y, "float32"), n)) for y, n in zip(out, noise, strict=True))
        sources = [*mine.trainable_variables, *traced]
        grads = _engine.gradients([total], sources)
        program = trace.compile([*out, *(g for g in grads if g is not None)])
    values = [np.asarray(v) for v in program(*inputs)]
    assert_close([ops.convert_to_tensor(v) for v in values[: len(out)]], flat(wanted), rtol, atol, "traced")
    rest = iter(values[len(out) :])
    labels = [w.path for w in mine.trainable_variables] + [f"input {i}" for i in range(len(inputs))]
    for label, g, b in zip(labels, grads, itertools.chain(*found), strict=True):
        b = np.asarray(b).astype("float64")
        a = np.zeros(b.shape) if g is None else next(rest).astype("float64")
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=rtol * 10, atol=atol * scale, err_msg=label)


# Attention and AdditiveAttention.

PLAIN = ("Attention", "AdditiveAttention")
OPTIONS = [
    {},
    {"return_attention_scores": True},
    {"use_causal_mask": True},
    {"mask": [MASK, None]},
    {"mask": [None, SOURCE_MASK]},
    {"mask": [MASK, SOURCE_MASK], "use_causal_mask": True, "return_attention_scores": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=case_id)
@pytest.mark.parametrize("name", PLAIN)
def test_attention(name, options):
    compare(name, {}, [Q, V], **options)
    compare(name, {"use_scale": True}, [Q, V, K], **options)


@pytest.mark.parametrize("use_scale", [False, True])
def test_attention_with_concatenated_scores(use_scale):
    compare("Attention", {"score_mode": "concat", "use_scale": use_scale}, [Q, V], use_causal_mask=True)


def test_additive_attention_without_scale():
    compare("AdditiveAttention", {"use_scale": False}, [Q, V])


@pytest.mark.parametrize("name", PLAIN)
def test_attention_with_values_of_another_size(name):
    compare(name, {}, [Q, *sequences((2, 6, 5), (2, 6, 8))], return_attention_scores=True)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("masks", [(MASK, SOURCE_MASK), (None, SOURCE_MASK), (MASK, None)], ids=str)
def test_masks_that_the_inputs_of_attention_carry(name, masks):
    compare(name, {}, [Q, V], masks=list(masks))
    compare(name, {}, [Q, V, K], masks=[*masks, None], use_causal_mask=True, return_attention_scores=True)


@pytest.mark.parametrize("name", PLAIN)
def test_attention_in_the_harness(name):
    run_layer_test(name, {"use_scale": True}, [(2, 4, 8), (2, 6, 8)], unknown=(1,))
    run_layer_test(name, {}, [(2, 4, 8), (2, 6, 8)], mask=[MASK, SOURCE_MASK])


@pytest.mark.parametrize("name", PLAIN)
def test_attention_sees_nothing(name):
    """A position with every source hidden gets the mean of all values, as in Keras."""
    compare(name, {}, [Q, V], mask=[None, np.zeros((2, 6), bool)], return_attention_scores=True)


# The layers with heads.


def fresh_options() -> list[dict[str, Any]]:
    return [
        {},
        {"return_attention_scores": True},
        {"use_causal_mask": True},
        {"use_causal_mask": True, "return_attention_scores": True},
        {"value_mask": SOURCE_MASK},
        {"key_mask": SOURCE_MASK, "use_causal_mask": True},
        {"value_mask": SOURCE_MASK, "key_mask": ~SOURCE_MASK, "return_attention_scores": True},
        {"query_mask": MASK},
        {"attention_mask": FREE[0, 0]},
        {"attention_mask": FREE[:, 0]},
        {"attention_mask": FREE[:, 0].astype("int32"), "value_mask": SOURCE_MASK},
        {"attention_mask": FREE[:1, 0], "use_causal_mask": True, "return_attention_scores": True},
        {"attention_mask": FREE[:, :1], "return_attention_scores": True},
        {"attention_mask": FREE[:, :1], "use_causal_mask": True},
    ]


@pytest.mark.parametrize("options", fresh_options(), ids=case_id)
@pytest.mark.parametrize("name", HEADS)
def test_heads(name, options):
    compare(name, SMALL[name], [Q, V], **options)


@pytest.mark.parametrize("name", HEADS)
def test_a_key_of_its_own(name):
    compare(name, SMALL[name], [Q, V, K])
    compare(name, SMALL[name], [Q, V, K], value_mask=SOURCE_MASK, return_attention_scores=True)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"use_bias": False},
        {"use_gate": True},
        {"use_gate": True, "use_bias": False},
        {"sliding_window": 2},
        {"sliding_window": 1},
        {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": "l2"},
        {"kernel_initializer": "he_normal", "bias_initializer": "ones", "kernel_constraint": "max_norm"},
        {"trainable": False},
        {"dropout": 0.3, "seed": 3},
    ],
    ids=case_id,
)
@pytest.mark.parametrize("name", HEADS)
def test_options(name, kwargs):
    for options in {}, {"use_causal_mask": True}, {"return_attention_scores": True}:
        compare(name, {**SMALL[name], **kwargs}, [Q, V], **options)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", [*PLAIN, *HEADS])
def test_half_types(name, policy):
    # Values reach 5 and sums 15, of which both types keep 11 or 8 bits.
    tolerance = 1e-2 if policy == "mixed_float16" else 1e-1
    kwargs = {**SMALL.get(name, {}), "dtype": policy}
    options: dict[str, Any] = {"gradients": False, "rtol": tolerance, "atol": tolerance}
    compare(name, kwargs, [Q, V], **options)
    compare(name, kwargs, [Q, V], **options, use_causal_mask=True, return_attention_scores=True)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"output_shape": 5}, None),
        ({"output_shape": (5, 2)}, None),
        ({"value_dim": 4}, None),
        ({"value_dim": 4, "use_gate": True, "output_shape": [3]}, None),
        ({"attention_axes": 1}, None),
        ({}, (2, 3, 4, 8)),
        ({"attention_axes": (2,)}, (2, 3, 4, 8)),
        ({"attention_axes": [1]}, (2, 3, 4, 8)),
        ({"attention_axes": (-2,), "use_gate": True}, (2, 3, 4, 8)),
        ({"attention_axes": (1, 3), "value_dim": 2}, (2, 2, 3, 4, 6)),
    ],
    ids=case_id,
)
def test_shapes_of_multi_head_attention(kwargs, shape):
    inputs = [Q, V] if shape is None else sequences(shape, shape)
    kwargs = {**SMALL["MultiHeadAttention"], **kwargs}
    layer = compare("MultiHeadAttention", kwargs, inputs, return_attention_scores=True)
    if shape is None and "value_dim" in kwargs:
        # JAX's attention, which Keras uses where the scores are not asked for, wants values as long as keys.
        with_scores = layer(*inputs, return_attention_scores=True)[0]
        np.testing.assert_allclose(np.asarray(layer(*inputs)), np.asarray(with_scores), rtol=1e-5, atol=1e-6)
    else:
        compare("MultiHeadAttention", kwargs, inputs)


def test_masks_over_two_attended_axes():
    inputs = sequences((2, 3, 4, 8), (2, 3, 4, 8))
    mask = np.random.default_rng(0).random((2, 3, 4, 3, 4)) < 0.7
    for scores in False, True:
        compare(
            "MultiHeadAttention", SMALL["MultiHeadAttention"], inputs, attention_mask=mask,
            return_attention_scores=scores,
        )  # fmt: skip


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 1), (6, 3), (1, 1)])
def test_groups(heads, groups):
    kwargs = {"head_dim": 4, "num_query_heads": heads, "num_key_value_heads": groups}
    for options in {}, {"value_mask": SOURCE_MASK}, {"return_attention_scores": True}:
        compare("GroupQueryAttention", kwargs, [Q, V], **options)


@pytest.mark.parametrize("masks", [(MASK, SOURCE_MASK), (None, SOURCE_MASK), (MASK, None)], ids=str)
@pytest.mark.parametrize("name", HEADS)
def test_masks_that_the_inputs_carry(name, masks):
    compare(name, SMALL[name], [Q, V], masks=list(masks))
    compare(name, SMALL[name], [Q, V, K], masks=[*masks, ~SOURCE_MASK], use_causal_mask=True)
    compare(name, SMALL[name], [Q, V], masks=list(masks), return_attention_scores=True)


@pytest.mark.parametrize("name", HEADS)
def test_a_mask_per_head_meets_the_inputs_masks(name):
    """In Keras such masks do not broadcast unless the batch has one sample, or, wrongly, as many as heads."""
    layer = make(layers, name, SMALL[name])
    heads = SMALL[name].get("num_heads", 4)
    free = np.random.default_rng(3).random((2, heads, 4, 6)) < 0.6
    _, scores = layer(Q, V, attention_mask=free, value_mask=SOURCE_MASK, return_attention_scores=True)
    hidden = ~(free & SOURCE_MASK[:, None, None])
    assert np.all(np.asarray(scores)[hidden] == 0)
    assert np.all(np.asarray(scores)[~hidden] > 0)


@pytest.mark.parametrize("name", HEADS)
def test_an_embedding_hides_its_padding(name):
    """In models, eagerly and compiled; the second layer on the same tensor sees what Keras' does."""

    def build(k):
        x = k.Input((None,), dtype="int32")
        h = k.layers.Embedding(10, 8, mask_zero=True)(x)
        attention = getattr(k.layers, name)
        first = attention(**SMALL[name])(h, h)
        second = attention(**SMALL[name])(h, first, use_causal_mask=True)
        third = k.layers.Attention()([h, second])
        return k.Model(x, [first, second, third])

    theirs, mine = build(keras), build(fastkeras)
    randomize_weights(theirs, np.random.default_rng(0))
    mine.set_weights(theirs.get_weights())
    for tokens in [[1, 2, 0, 0], [3, 4, 5, 0]], [[1, 0, 6, 2, 0, 7]]:
        tokens = np.array(tokens, "int32")
        with quiet():
            wanted = theirs(tokens)
            for got in mine(tokens), mine.predict(tokens, verbose=0):
                for a, b in zip(got, wanted, strict=True):
                    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_no_warning_about_masks_that_are_used(name, recwarn):
    x = ops.convert_to_tensor(Q)
    set_keras_mask(x, ops.convert_to_tensor(MASK))
    make(layers, name, SMALL[name])(x, x)
    assert not [w for w in recwarn if "mask" in str(w.message)]


# Lengths that are not known, training, files.


def transformer(k: Any, dropout: float = 0.0, length: int | None = None) -> Any:
    """A block of a decoder over tokens, with padding and a causal mask."""
    L = k.layers  # noqa: N806
    x = k.Input((length, 16), name="x")
    h = L.LayerNormalization()(x)
    h = L.MultiHeadAttention(4, 4, dropout=dropout, seed=1)(h, h, use_causal_mask=True)
    x1 = L.Add()([x, h])
    h = L.Dense(32, activation="gelu")(L.LayerNormalization()(x1))
    x2 = L.Add()([x1, L.Dense(16)(h)])
    h = L.GroupQueryAttention(4, 4, 2, use_gate=True)(L.LayerNormalization()(x2), x2)
    model = k.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(h)))
    model.compile(
        k.optimizers.SGD(0.1, momentum=0.9),
        k.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def batches(n: int, length: int = 7) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((8, length, 16)).astype("float32"), rng.integers(0, 3, 8)) for _ in range(n)]


@pytest.mark.parametrize("length", [7, None])
def test_five_steps_of_a_transformer_block(length):
    theirs, mine = transformer(keras, length=length), transformer(fastkeras, length=length)
    mine.set_weights(theirs.get_weights())
    assert [w.path.rpartition("/")[2] for w in mine.weights] == [w.name for w in theirs.weights]
    for x, y in batches(5):
        a, b = theirs.train_on_batch(x, y), mine.train_on_batch(x, y)
        np.testing.assert_allclose(b, a, rtol=1e-4)
    # Rounding of five steps adds up.
    for a, b in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=2e-5, err_msg=a.path)
    if length is None:
        for n in (1, 3, 12):
            x = batches(1, n)[0][0]
            got, wanted = mine.predict(x, verbose=0), theirs.predict(x, verbose=0)
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_training_with_dropout_learns():
    model = transformer(fastkeras, dropout=0.2)
    x, y = batches(1)[0]
    first = model.evaluate(x, y, verbose=0)[0]
    model.fit(x, y, epochs=30, batch_size=8, verbose=0)
    assert model.evaluate(x, y, verbose=0)[0] < 0.5 * first


@pytest.mark.parametrize("name", [*PLAIN, *HEADS])
def test_dropout(name):
    """In training a share of the weights is 0, the seed decides which, and the mean stays."""
    kwargs = {**SMALL.get(name, {}), "dropout": 0.4, "seed": 7}
    inputs = sequences((4, 30, 8), (4, 40, 8))
    made = [make(layers, name, kwargs) for _ in range(2)]
    call(made[0], inputs, {})
    call(made[1], inputs, {})
    made[1].set_weights(made[0].get_weights())
    outputs = [np.asarray(call(m, inputs, {"training": True})) for m in made]
    np.testing.assert_array_equal(*outputs)
    still = np.asarray(call(made[0], inputs, {"training": False}))
    assert not np.allclose(outputs[0], still)
    if name in PLAIN:
        # These show the weights after dropout, the others before.
        scores = call(made[0], inputs, {"training": True, "return_attention_scores": True})[1]
        # 4800 draws: the share is off by less than 5 standard deviations of 0.007.
        assert abs(np.mean(np.asarray(scores) == 0) - 0.4) < 0.035
    mean = np.mean([np.asarray(call(made[0], inputs, {"training": True})) for _ in range(200)], axis=0)
    # A draw has a standard deviation of at most 1, their mean of 0.07; there are about 1000 outputs.
    assert np.abs(mean - still).max() < 0.35


def everything(k: Any) -> Any:
    L = k.layers  # noqa: N806
    x, y = k.Input((4, 8), name="x"), k.Input((None, 8), name="y")
    a = L.MultiHeadAttention(2, 3, dropout=0.1, use_gate=True, sliding_window=3, name="mha")(x, y)
    b = L.GroupQueryAttention(4, 4, 2, use_gate=True)(x, y, use_causal_mask=True)
    c = L.Attention(use_scale=True, score_mode="concat", dropout=0.1)([x, y])
    d, _ = L.AdditiveAttention()([x, y], return_attention_scores=True)
    shown = L.MultiHeadAttention(2, 3, output_shape=6, name="shown")
    e, scores = shown(x, y, return_attention_scores=True)
    return k.Model([x, y], [L.Add()([a, b, c, d]), e, scores])


@pytest.mark.parametrize(("there", "here"), [(keras, fastkeras), (fastkeras, keras), (fastkeras, fastkeras)])
def test_files(there, here, tmp_path):
    model = everything(there)
    randomize_weights(model, np.random.default_rng(4))
    model.save(tmp_path / "model.keras")
    loaded = here.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for a, b in zip(model.weights, loaded.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    for a, b in zip(model.predict([Q, V], verbose=0), loaded.predict([Q, V], verbose=0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    again = everything(here)
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_files_have_the_same_layout(tmp_path):
    import h5py

    found = []
    for k in keras, fastkeras:
        model = everything(k)
        path = tmp_path / f"{k.__name__}.weights.h5"
        model.save_weights(path)
        names: list[Any] = []
        with h5py.File(path) as f:
            f.visititems(lambda name, x, names=names: names.append((name, getattr(x, "shape", None))))
        found.append(names)
    assert found[0] == found[1]


def test_a_subclass_with_its_own_attention():
    """`_compute_attention` gets keys and values for every head of the query, and the causal mask made."""

    class Shown(layers.GroupQueryAttention):
        def _compute_attention(self, query, key, value, attention_mask=None, training=None):
            self.__dict__["seen"] = (query.shape, key.shape, value.shape, tuple(attention_mask.shape))
            return super()._compute_attention(query, key, value, attention_mask, training)

    kwargs = SMALL["GroupQueryAttention"]
    layer, plain = Shown(**kwargs), layers.GroupQueryAttention(**kwargs)
    layer(Q, V, use_causal_mask=True)
    plain(Q, V)
    plain.set_weights(layer.get_weights())
    got, wanted = layer(Q, V, use_causal_mask=True), plain(Q, V, use_causal_mask=True)
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-5, atol=1e-6)
    assert layer.seen == ((2, 4, 4, 3), (2, 6, 4, 3), (2, 6, 4, 3), (1, 4, 6))
    assert layer.name.startswith("shown")


def test_names():
    assert layers.GroupQueryAttention(2, 2, 1).name.startswith("grouped_query_attention")
    assert layers.GroupQueryAttention(2, 2, 1, name="mine").name == "mine"


# Errors.


def build_errors() -> list[tuple[str, dict[str, Any], Any, str]]:
    mha, gqa = SMALL["MultiHeadAttention"], SMALL["GroupQueryAttention"]
    return [
        ("Attention", {"score_mode": "sum"}, ValueError, "'dot' or 'concat'"),
        ("Attention", {"dropout": 2.0}, ValueError, "from 0 to 1"),
        ("MultiHeadAttention", {**mha, "num_heads": 0}, ValueError, "`num_heads` must be a positive"),
        ("MultiHeadAttention", {**mha, "key_dim": 1.5}, ValueError, "`key_dim` must be a positive"),
        ("MultiHeadAttention", {**mha, "value_dim": -1}, ValueError, "`value_dim` must be a positive"),
        ("MultiHeadAttention", {**mha, "output_shape": "x"}, ValueError, "`output_shape` must be"),
        ("MultiHeadAttention", {**mha, "attention_axes": "1"}, ValueError, "`attention_axes` must be"),
        ("MultiHeadAttention", {**mha, "sliding_window": 0}, ValueError, "`sliding_window` must be"),
        ("MultiHeadAttention", {**mha, "flash_attention": True}, NotImplementedError, "engine decides"),
        (
            "MultiHeadAttention",
            {**mha, "flash_attention": True, "dropout": 0.1},
            ValueError,
            "flash attention has no dropout",
        ),
        ("GroupQueryAttention", {**gqa, "num_query_heads": 3}, ValueError, "must be a multiple"),
        ("GroupQueryAttention", {**gqa, "head_dim": 0}, ValueError, "`head_dim` must be a positive"),
        ("GroupQueryAttention", {**gqa, "sliding_window": "2"}, ValueError, "`sliding_window` must be"),
    ]


@pytest.mark.parametrize(("name", "kwargs", "error", "message"), build_errors(), ids=case_id)
def test_wrong_arguments(name, kwargs, error, message):
    with pytest.raises(error, match=message):
        getattr(layers, name)(**kwargs)


@pytest.mark.parametrize("name", PLAIN)
def test_wrong_inputs_of_attention(name):
    layer = getattr(layers, name)()
    with pytest.raises(ValueError, match=r"must be a list, \[query, value\]"):
        layer(Q)
    with pytest.raises(ValueError, match="a list of 4"):
        layer([Q, V, K, K])
    with pytest.raises(ValueError, match="`mask` must be a list"):
        layer([Q, V], mask=MASK)
    with pytest.raises(ValueError, match="a list of 1"):
        layer([Q, V], mask=[MASK])


def test_wrong_shapes():
    layer = layers.MultiHeadAttention(2, 3)
    with pytest.raises(ValueError, match="value and key must have the same shape"):
        layer(Q, V, V[:, :3])
    with pytest.raises(ValueError, match="same number of dimensions"):
        layer(Q, V[:, 0])
    with pytest.raises(ValueError, match="between the batch and the features"):
        layers.MultiHeadAttention(2, 3, attention_axes=(3,))(Q, V)
    grouped = layers.GroupQueryAttention(2, 2, 1)
    with pytest.raises(ValueError, match="must have 3 dimensions"):
        grouped(Q[0], V[0])
    with pytest.raises(ValueError, match="same last dimension"):
        grouped(fastkeras.Input((4, 8)), fastkeras.Input((6, 5)))
    with pytest.raises(ValueError, match="must be known"):
        layers.AdditiveAttention().build([(None, 4, None), (None, 6, None)])


def test_flash_attention_is_a_preference():
    fastkeras.config.enable_flash_attention()
    try:
        layer = layers.MultiHeadAttention(2, 3)
        assert layer(Q, V).shape == (2, 4, 8)
        with pytest.raises(ValueError, match="does not give the attention scores"):
            layer(Q, V, return_attention_scores=True)
        with pytest.raises(ValueError, match="flash attention has no dropout"):
            layers.MultiHeadAttention(2, 3, dropout=0.1)
    finally:
        fastkeras.config.disable_flash_attention()
    fastkeras.core.config._FLASH_ATTENTION = None
