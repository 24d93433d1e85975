"""Recurrent layers against Keras': values, states, gradients, masks, files and training.

Tolerances: a recurrence hands rounding errors on, so values agree to some ulp (6e-8) per step, here 1e-5, and
gradients, which sum over steps and samples, to 1e-4. After training steps, the division by small numbers in Adam
adds to that.
"""

from __future__ import annotations

import copy
import pickle
import zipfile

import fastkeras
import numpy as np
import pytest
from fastkeras import layers, ops
from fastkeras.core.masking import get_keras_mask
from layer_harness import case_id, fk_inputs, flat, keras, keras_inputs, make, quiet, run_layer_test

RTOL, ATOL = 1e-5, 1e-6
SHAPE = (3, 5, 4)
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
KINDS = ("SimpleRNN", "LSTM", "GRU")
RNG = np.random.default_rng(0)
X = RNG.standard_normal(SHAPE).astype("float32")


def each(kwargs, options=None, kinds=KINDS):
    return [(kind, {"units": 3, **kwargs}, SHAPE, dict(options or {})) for kind in kinds]


# Most cases are compared in one mode, and without gradients where others have compared those.
ONCE = {"training": False}
VALUES = {"training": False, "gradients": False}
CASES = [
    *each({}, {"unknown": (1,)}, kinds=("SimpleRNN",)),
    *each({}, {"unknown": (1,), **ONCE}, kinds=("LSTM", "GRU")),
    *each({"return_sequences": True, "go_backwards": True}, ONCE),
    *each({"return_sequences": True}, {"unknown": (1,), **VALUES}),
    *each({"unroll": True, "use_bias": False, "go_backwards": True}, VALUES),
    *each({"return_sequences": True}, {"call_kwargs": {"mask": MASK}, **ONCE}),
    *each({"return_sequences": True, "zero_output_for_mask": True}, {"mask": MASK, **ONCE}),
    *each({"go_backwards": True, "zero_output_for_mask": True}, {"mask": MASK, **ONCE}),
    *each({"return_sequences": True, "return_state": True, "go_backwards": True}, {"mask": MASK, **ONCE}),
    *each({"return_sequences": True, "unroll": True}, {"mask": MASK, **ONCE}),
    *each({"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 3}, VALUES),
    *each(
        {"kernel_regularizer": "l2", "bias_regularizer": "l1", "recurrent_constraint": "max_norm",
         "activation": "relu", "bias_initializer": "ones", "trainable": False}, VALUES
    ),
    # Half precision rounds at every step, in either library its own way.
    *each({"dtype": "mixed_bfloat16", "return_sequences": True}, {"rtol": 3e-2, "atol": 3e-2, **VALUES}),
    *each({"dtype": "mixed_float16"}, {"rtol": 3e-3, "atol": 3e-3, **VALUES}),
    *each({"dtype": "mixed_bfloat16"}, {"rtol": 3e-2, "atol": 5e-2, **ONCE}, kinds=("LSTM",)),
    *each({"activity_regularizer": "l2", "kernel_initializer": "he_normal"}, VALUES, kinds=("LSTM", "GRU")),
    *each({"recurrent_activation": "hard_sigmoid", "activation": None}, VALUES, kinds=("LSTM", "GRU")),
    *each({"implementation": 1, "use_cudnn": False}, VALUES, kinds=("LSTM", "GRU")),
    *each({"unit_forget_bias": False}, VALUES, kinds=("LSTM",)),
    *each({"reset_after": False, "return_sequences": True}, ONCE, kinds=("GRU",)),
    *each({"reset_after": False, "use_bias": False}, VALUES, kinds=("GRU",)),
    *each({"reset_after": False, "implementation": 1}, VALUES, kinds=("GRU",)),
]  # fmt: skip


def cells(*names):
    return lambda ns: {"cell": [getattr(ns, n)(u) for n, u in zip(names, (4, 3, 2))]}


def around(outer, **options):
    """Arguments of a wrapper around a layer made by `outer(namespace)`."""
    return lambda ns: {"layer": outer(ns), **options}


WRAPPED = [
    ("RNN", lambda ns: {"cell": ns.LSTMCell(3)}, SHAPE, VALUES),
    ("RNN", lambda ns: {"cell": ns.GRUCell(3), "return_sequences": True}, SHAPE, {"unknown": (1,), **VALUES}),
    ("RNN", lambda ns: {"cell": ns.SimpleRNNCell(3), "unroll": True}, SHAPE, VALUES),
    ("RNN", cells("LSTMCell", "LSTMCell"), SHAPE, ONCE),
    ("RNN", cells("GRUCell", "LSTMCell", "SimpleRNNCell"), SHAPE, {"unknown": (1,), **ONCE}),
    (
        "RNN",
        lambda ns: {"cell": ns.StackedRNNCells([ns.GRUCell(3), ns.GRUCell(3)]), "return_sequences": True},
        SHAPE,
        {"mask": MASK, **ONCE},
    ),
    ("Bidirectional", around(lambda ns: ns.LSTM(3)), SHAPE, VALUES),
    ("Bidirectional", around(lambda ns: ns.GRU(3, return_sequences=True)), SHAPE, {"unknown": (1,), **ONCE}),
    ("Bidirectional", around(lambda ns: ns.LSTM(3, return_sequences=True), merge_mode="sum"), SHAPE, VALUES),
    ("Bidirectional", around(lambda ns: ns.SimpleRNN(3), merge_mode="ave"), SHAPE, ONCE),
    ("Bidirectional", around(lambda ns: ns.GRU(3, return_sequences=True), merge_mode="mul"), SHAPE, VALUES),
    ("Bidirectional", around(lambda ns: ns.RNN(ns.LSTMCell(3))), SHAPE, VALUES),
    ("Bidirectional", around(lambda ns: ns.LSTM(3, return_sequences=True)), SHAPE, {"mask": MASK, **ONCE}),
    (
        "Bidirectional",
        lambda ns: {
            "layer": ns.LSTM(3, return_sequences=True),
            "backward_layer": ns.GRU(3, return_sequences=True, go_backwards=True),
        },
        SHAPE,
        {"mask": MASK, **ONCE},
    ),
    ("TimeDistributed", around(lambda ns: ns.Dense(3, activation="relu")), SHAPE, {}),
    ("TimeDistributed", around(lambda ns: ns.Dense(3)), SHAPE, {"mask": MASK, **ONCE}),
    ("TimeDistributed", around(lambda ns: ns.Conv2D(2, 3)), (2, 3, 5, 5, 2), ONCE),
    ("TimeDistributed", around(lambda ns: ns.BatchNormalization()), (4, 3, 2), {}),
    ("TimeDistributed", around(lambda ns: ns.LSTM(3)), (2, 3, 4, 2), VALUES),
    ("TimeDistributed", around(lambda ns: ns.Flatten()), (2, 3, 4, 2), {"unknown": (1,)}),
    ("ConvLSTM1D", {"filters": 2, "kernel_size": 3}, (2, 3, 6, 2), VALUES),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 3, "padding": "same", "return_sequences": True},
     (2, 3, 5, 4, 2), ONCE),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": (2, 3), "strides": 2, "go_backwards": True},
     (2, 3, 5, 6, 2), VALUES),
    ("ConvLSTM3D", {"filters": 2, "kernel_size": 2, "recurrent_dropout": 0.2}, (2, 3, 4, 3, 3, 2),
     VALUES),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "options"), WRAPPED, ids=[f"{i}-{c[0]}" for i, c in enumerate(WRAPPED)]
)
def test_wrappers_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


def both(name, kwargs, x=X, **call):
    """The layers of both libraries with the same random weights."""
    mine, theirs = make(layers, name, kwargs), make(keras.layers, name, kwargs)
    with quiet():
        mine(x, **call)
        theirs(x, **call)
    rng = np.random.default_rng(1)
    values = [rng.normal(scale=0.5, size=w.shape).astype("float32") for w in theirs.get_weights()]
    mine.set_weights(values)
    theirs.set_weights(values)
    return mine, theirs


def leaves(x):
    return [np.asarray(t) for t in fastkeras.tree.flatten(list(x) if isinstance(x, tuple) else x)]


def same(got, wanted, rtol=RTOL, atol=ATOL):
    got, wanted = leaves(got), leaves(wanted)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# ------------------------------------------------------------------------------------------------ states


RETURNING = [
    *[(kind, {"units": 3, "return_state": True}, n) for kind, n in zip(KINDS, (1, 2, 1))],
    ("LSTM", {"units": 3, "return_state": True, "return_sequences": True, "go_backwards": True}, 2),
    ("RNN", lambda ns: {"cell": ns.GRUCell(3), "return_state": True}, 1),
    ("Bidirectional", around(lambda ns: ns.LSTM(3, return_state=True)), 4),
    ("Bidirectional", around(lambda ns: ns.GRU(3, return_state=True), merge_mode=None), 2),
    ("Bidirectional", around(lambda ns: ns.GRU(3, return_state=True, return_sequences=True)), 2),
]


@pytest.mark.parametrize(
    ("name", "kwargs", "states"), RETURNING, ids=[f"{i}-{c[0]}" for i, c in enumerate(RETURNING)]
)
def test_initial_and_returned_states(name, kwargs, states):
    mine, theirs = both(name, kwargs)
    first = [RNG.standard_normal((3, 3)).astype("float32") for _ in range(states)]
    with quiet():
        same(mine(X), theirs(X))
        same(mine(X, initial_state=first), theirs(X, initial_state=first))
        symbolic = mine(
            fastkeras.Input((None, 4)), initial_state=[fastkeras.Input((3,)) for _ in range(states)]
        )
    shapes = [t.shape[1:] for t in symbolic]
    assert shapes[-states:] == [(3,)] * states and len(shapes) == len(theirs(X))


def test_states_of_stacked_cells():
    mine, theirs = both("RNN", lambda ns: {**cells("LSTMCell", "LSTMCell")(ns), "return_state": True})
    same(mine(X), theirs(X))
    first = [[RNG.standard_normal((3, n)).astype("float32") for _ in range(2)] for n in (4, 3)]
    wanted = theirs(X, initial_state=first)
    same(mine(X, initial_state=first), wanted)
    same(mine(X, initial_state=[s for pair in first for s in pair]), wanted)


def test_one_cell_in_a_stack():
    layer = layers.RNN([layers.LSTMCell(3)], return_state=True)
    alone = layers.LSTM(3, return_state=True)
    layer.build(SHAPE)
    alone.build(SHAPE)
    alone.set_weights(layer.get_weights())
    same(layer(X), alone(X))


def test_masks_travel_on_with_sequences():
    for lib, inputs, mask_of in (
        (layers, fk_inputs, get_keras_mask),
        (keras.layers, keras_inputs, keras.src.backend.get_keras_mask),
    ):
        x = inputs(X, MASK)
        np.testing.assert_array_equal(np.asarray(mask_of(lib.GRU(3, return_sequences=True)(x))), MASK)
        assert mask_of(lib.GRU(3)(x)) is None
        for y in lib.Bidirectional(lib.GRU(3, return_sequences=True), merge_mode=None)(x):
            np.testing.assert_array_equal(np.asarray(mask_of(y)), MASK)
    y, h, c = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True, return_state=True))(
        fk_inputs(X, MASK)
    )
    assert get_keras_mask(y) is not None and get_keras_mask(h) is None and get_keras_mask(c) is None


def test_masked_steps_do_not_matter():
    """The last state is that of the unmasked steps alone, in a loop and unrolled, in a functional model too."""
    tokens = np.array([[3, 1, 4, 0, 0], [1, 5, 0, 0, 0]])
    for options in ({}, {"unroll": True}, {"zero_output_for_mask": True}):
        x = fastkeras.Input((5,), dtype="int32")
        table = layers.Embedding(6, 4, mask_zero=True)
        lstm = layers.LSTM(3, return_state=True, **options)
        model = fastkeras.Model(x, lstm(table(x))[1])
        got = model.predict(tokens, verbose=0)
        for row, ids in zip(got, ([3, 1, 4], [1, 5])):
            alone = layers.LSTM(3)
            alone.build((1, len(ids), 4))
            alone.set_weights(lstm.get_weights())
            steps = np.asarray(table.embeddings)[None, ids]
            np.testing.assert_allclose(row, np.asarray(alone(steps))[0], rtol=RTOL, atol=ATOL)


class Difference(layers.Layer):
    """A custom cell whose output is no state: what changed."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.output_size = 2 * units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        h = ops.tanh(ops.matmul(inputs, self.kernel) + states[0])
        return ops.concatenate([h - states[0], h], axis=-1), h

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def by_hand(cell, x, mask=None):
    """The outputs and the last state of `Difference`, in NumPy."""
    kernel = np.asarray(cell.kernel)
    h, y = np.zeros((len(x), cell.units)), np.zeros((len(x), 2 * cell.units))
    ys = []
    for t in range(x.shape[1]):
        new = np.tanh(x[:, t] @ kernel + h)
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        y = np.where(keep, np.concatenate([new - h, new], -1), y)
        h = np.where(keep, new, h)
        ys.append(y)
    return np.stack(ys, 1), h


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_custom_cell(unroll, mask):
    layer = layers.RNN(Difference(3), return_sequences=True, return_state=True, unroll=unroll)
    ys, h = layer(X, mask=mask)
    wanted, last = by_hand(layer.cell, X, mask)
    np.testing.assert_allclose(np.asarray(ys), wanted, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(np.asarray(h), last, rtol=RTOL, atol=ATOL)
    short = layers.RNN(layer.cell, unroll=unroll)
    np.testing.assert_allclose(np.asarray(short(X, mask=mask)), wanted[:, -1], rtol=RTOL, atol=ATOL)
    assert short(fastkeras.Input((None, 4))).shape == (None, 6)
    two = layers.Bidirectional(layers.RNN(Difference(3), return_sequences=True))
    assert two(X).shape == (3, 5, 12)


def test_a_cell_that_is_no_layer_or_asks_for_values():
    class Plain:
        state_size = 4

        def call(self, inputs, states):
            h = inputs + states[0]
            return h, [h]

    np.testing.assert_allclose(np.asarray(layers.RNN(Plain())(X)), X.sum(1), rtol=RTOL, atol=ATOL)

    class Branching(layers.Layer):
        state_size = 4

        def call(self, inputs, states):
            h = states[0] + inputs if float(ops.sum(inputs)) > 0 else states[0]
            return h, [h]

    wanted = sum(X[:, t] for t in range(5) if X[:, t].sum() > 0)
    np.testing.assert_allclose(np.asarray(layers.RNN(Branching())(X)), wanted, rtol=RTOL, atol=ATOL)


def test_an_overridden_cell_is_called():
    class Doubled(layers.LSTMCell):
        def call(self, inputs, states, training=False):
            return super().call(2.0 * inputs, states, training)

    layer = layers.RNN(Doubled(3))
    plain = layers.LSTM(3)
    layer.build(SHAPE)
    plain.build(SHAPE)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(layer(X)), np.asarray(plain(2.0 * X)), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("kind", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
def test_cells_alone(kind):
    mine, theirs = getattr(layers, kind)(3), getattr(keras.layers, kind)(3)
    for cell in (mine, theirs):
        cell.build((None, 4))
    mine.set_weights(theirs.get_weights())
    states = [RNG.standard_normal((3, 3)).astype("float32") for _ in theirs.get_initial_state(3)]
    same(list(mine(X[:, 0], states)), list(theirs(X[:, 0], states)))
    same(mine.get_initial_state(3), theirs.get_initial_state(3))
    if len(states) == 1:
        same(list(mine(X[:, 0], states[0])), list(theirs(X[:, 0], states[0])))


# ---------------------------------------------------------------------------------------------- stateful


def zero(states):
    for v in fastkeras.tree.flatten(list(states)):
        v.assign(np.zeros(v.shape))


@pytest.mark.parametrize("name", [*KINDS, "Bidirectional", "RNN"])
def test_stateful_layers(name):
    kwargs = {
        "Bidirectional": around(lambda ns: ns.LSTM(3, stateful=True)),
        "RNN": lambda ns: {**cells("LSTMCell", "GRUCell")(ns), "stateful": True},
    }.get(name, {"units": 3, "stateful": True})
    mine, theirs = both(name, kwargs)
    mine.reset_state()
    # Keras' reset_state() fails for a stack of cells.
    zero(theirs.states)
    for _ in range(3):
        same(mine(X), theirs(X))
    same(list(mine.states), list(theirs.states))
    assert len(mine.weights) == len(theirs.weights) and len(mine.variables) == len(theirs.variables)
    mine.reset_states()
    zero(theirs.states)
    same(mine(X), theirs(X))
    with pytest.raises(ValueError, match="stateful"):
        mine(X[:2])


def test_stateful_in_a_model():
    """Parts of sequences, one batch after the other, in predict and in training, give what the whole gives."""
    whole = layers.GRU(3, return_sequences=True)
    model = fastkeras.Sequential(
        [fastkeras.Input(batch_shape=(3, None, 4)), layers.GRU(3, return_sequences=True, stateful=True)]
    )
    wanted = np.asarray(whole(X))
    model.set_weights(whole.get_weights())
    parts = [model.predict(X[:, i:j], batch_size=3, verbose=0) for i, j in ((0, 2), (2, 5))]
    np.testing.assert_allclose(np.concatenate(parts, 1), wanted, rtol=RTOL, atol=ATOL)
    model.layers[0].reset_state()
    model.compile(fastkeras.optimizers.SGD(0.0), "mse")
    for i, j in ((0, 2), (2, 5)):
        loss = model.train_on_batch(X[:, i:j], np.zeros((3, j - i, 3)))
        np.testing.assert_allclose(loss, np.square(wanted[:, i:j]).mean(), rtol=RTOL)
    np.testing.assert_allclose(np.asarray(model.layers[0].states[0]), wanted[:, -1], rtol=RTOL, atol=ATOL)


# ----------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("options", [{}, {"implementation": 1}, {"unroll": True}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_uses_one_mask_for_all_steps(kind, options):
    if kind == "SimpleRNN" and "implementation" in options:
        pytest.skip("SimpleRNN has no such argument")
    layer = getattr(layers, kind)(
        6, dropout=0.5, return_sequences=True, recurrent_initializer="zeros", seed=1, **options
    )
    x = np.ones((2, 4, 8), "float32")
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(layer(x)))
    a, b = np.asarray(layer(x, training=True)), np.asarray(layer(x, training=True))
    assert np.abs(a - b).max() > 1e-3, "another mask in another call"
    first = np.asarray(layer(x))
    assert np.abs(a - first).max() > 1e-3
    if kind == "SimpleRNN":
        # No state: equal inputs under one mask give equal outputs.
        np.testing.assert_allclose(a, np.repeat(a[:, :1], 4, 1), rtol=RTOL)


@pytest.mark.parametrize("cell", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)], ids=str)
def test_dropout_is_the_same_in_every_way_to_run_a_cell(cell, rates):
    """Hoisted, in a stack (step by step), and by hand with masks fixed: the same numbers from the same seed."""
    if rates == (0.3, 0.4) and cell == "GRUCell":
        extra = {"reset_after": False}
    else:
        extra = {}

    def new():
        return getattr(layers, cell)(3, dropout=rates[0], recurrent_dropout=rates[1], seed=5, **extra)

    hoisted, stacked, unrolled = layers.RNN(new()), layers.RNN([new()]), layers.RNN(new(), unroll=True)
    for layer in (hoisted, stacked, unrolled):
        layer.build(SHAPE)
        layer.set_weights(hoisted.get_weights())
    wanted = np.asarray(hoisted(X, training=True))
    np.testing.assert_allclose(np.asarray(stacked(X, training=True)), wanted, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(np.asarray(unrolled(X, training=True)), wanted, rtol=RTOL, atol=ATOL)
    alone = new()
    alone.build((None, 4))
    alone.set_weights(hoisted.get_weights())
    states = alone.get_initial_state(3)
    alone.get_dropout_mask(ops.convert_to_tensor(X[:, 0]))
    alone.get_recurrent_dropout_mask(states[0])
    for t in range(5):
        y, states = alone(X[:, t], states, training=True)
    np.testing.assert_allclose(np.asarray(y), wanted, rtol=RTOL, atol=ATOL)
    assert np.abs(wanted - np.asarray(hoisted(X))).max() > 1e-3


def test_dropout_keeps_the_mean():
    """Of a linear recurrence without state, the mean over many samples is that without dropout: within 4 sigma."""
    layer = layers.SimpleRNN(
        1, activation=None, dropout=0.5, kernel_initializer="ones", recurrent_initializer="zeros", seed=0
    )
    y = np.asarray(layer(np.ones((4000, 2, 1), "float32"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1.0) < 4 / np.sqrt(4000)


# --------------------------------------------------------------------------------- models, training, files


def sequence_model(k, kind="LSTM"):
    L = k.layers  # noqa: N806
    x = k.Input((None, 4))
    h = L.Bidirectional(getattr(L, kind)(4, return_sequences=True))(x)
    h = L.TimeDistributed(L.Dense(3, activation="tanh"))(h)
    h, *states = L.GRU(3, return_sequences=True, return_state=True, name="encoder")(h)
    h = L.RNN([L.LSTMCell(3), L.SimpleRNNCell(2)])(h)
    return k.Model(x, L.Dense(1)(L.Concatenate()([h, *states])))


def pair(kind="LSTM"):
    theirs, ours = sequence_model(keras, kind), sequence_model(fastkeras, kind)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def test_five_training_steps():
    ours, theirs = pair()
    theirs.compile(keras.optimizers.Adam(0.01), "mse")
    ours.compile(fastkeras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(3).standard_normal((8, 6, 4)).astype("float32")
    y = x.sum((1, 2))[:, None]
    for step in range(5):
        a, b = ours.train_on_batch(x, y), theirs.train_on_batch(x, y)
        np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=f"step {step}")
    assert not ours._train_steps.eager, "compiled as a whole"
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # Another length, the same model.
    same(ours.predict(x[:, :3], verbose=0), theirs.predict(x[:, :3], verbose=0), rtol=1e-4, atol=1e-5)


def test_an_encoder_and_a_decoder():
    def build(k):
        L = k.layers  # noqa: N806
        a, b = k.Input((None, 4)), k.Input((None, 4))
        _, h, c = L.LSTM(3, return_state=True)(a)
        y = L.LSTM(3, return_sequences=True)(b, initial_state=[h, c])
        return k.Model([a, b], L.Dense(2)(y))

    theirs, ours = build(keras), build(fastkeras)
    ours.set_weights(theirs.get_weights())
    inputs = [X, X[:, :3] * 0.5]
    same(ours(inputs), theirs(inputs))
    again = fastkeras.Model.from_config(ours.get_config())
    again.set_weights(ours.get_weights())
    same(again(inputs), theirs(inputs))


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_files_are_exchanged(kind, tmp_path):
    ours, theirs = pair(kind)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    wanted = np.asarray(theirs(X))
    for load, path in (
        (fastkeras, "ours.keras"),
        (fastkeras, "theirs.keras"),
        (keras, "ours.keras"),
    ):
        loaded = load.models.load_model(tmp_path / path)
        np.testing.assert_allclose(np.asarray(loaded(X)), wanted, rtol=RTOL, atol=ATOL)
    names = [zipfile.ZipFile(tmp_path / f).namelist() for f in ("ours.keras", "theirs.keras")]
    assert names[0] == names[1]
    theirs.save_weights(tmp_path / "w.weights.h5")
    fresh = sequence_model(fastkeras, kind)
    fresh.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(np.asarray(fresh(X)), wanted, rtol=RTOL, atol=ATOL)


def test_a_custom_cell_in_a_file(tmp_path):
    model = fastkeras.Sequential([fastkeras.Input((None, 4)), layers.RNN(Difference(3))])
    model.save(tmp_path / "m.keras")
    loaded = fastkeras.models.load_model(tmp_path / "m.keras", custom_objects={"Difference": Difference})
    same(loaded(X), model(X))


def test_copies():
    """Copies and pickles have weights of their own, and states of stateful layers are still no weights."""
    model = fastkeras.Sequential(
        [fastkeras.Input(batch_shape=(3, 5, 4)), layers.LSTM(3, stateful=True), layers.Dense(1)]
    )
    wanted = np.asarray(model(X))
    for other in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        fastkeras.models.clone_model(model),
    ):
        other.set_weights(model.get_weights())
        other.layers[0].reset_state()
        assert len(other.variables) == len(model.variables)
        np.testing.assert_allclose(np.asarray(other(X)), wanted, rtol=RTOL, atol=ATOL)


def test_a_tape_around_a_layer():
    layer = layers.LSTM(3)
    x = ops.convert_to_tensor(X)
    with fastkeras.GradientTape() as tape:
        tape.watch(x)
        loss = ops.sum(ops.square(layer(x)))
    found = tape.gradient(loss, [x, *layer.trainable_variables])
    # Against central differences along a random direction: in float32 a few thousandths.
    direction = RNG.standard_normal(SHAPE).astype("float32")
    eps = 1e-2
    up, down = (float(ops.sum(ops.square(layer(X + s * eps * direction)))) for s in (1, -1))
    np.testing.assert_allclose(
        float(np.sum(found[0].numpy() * direction)), (up - down) / (2 * eps), rtol=2e-2, atol=1e-3
    )
    assert all(g is not None for g in found)


def test_in_a_subclassed_model_and_a_function():
    class Reader(fastkeras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = layers.Bidirectional(layers.GRU(4, dropout=0.2, recurrent_dropout=0.2))
            self.out = layers.Dense(1)

        def call(self, x, training=False):
            return self.out(self.rnn(x, training=training))

    fastkeras.utils.set_random_seed(0)
    model = Reader()
    model.compile(fastkeras.optimizers.Adam(0.02), "mse")
    x = np.random.default_rng(0).standard_normal((64, 5, 4)).astype("float32")
    history = model.fit(x, x.sum((1, 2))[:, None], epochs=20, verbose=0, batch_size=16).history["loss"]
    assert history[-1] < 0.5 * history[0]
    compiled = fastkeras.function(lambda x: model(x))
    same(compiled(X), model(X))


def test_time_distributed_runs_models_and_layers_step_by_step():
    inner = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    layer = layers.TimeDistributed(inner)
    np.testing.assert_allclose(
        np.asarray(layer(X)),
        np.stack([np.asarray(inner(X[:, t])) for t in range(5)], 1),
        rtol=RTOL,
        atol=ATOL,
    )

    class BatchMean(layers.Layer):
        def call(self, x, mask=None, training=False):
            weights = ops.cast(mask, x.dtype)[:, None]
            return (
                ops.sum(x * weights, axis=0, keepdims=True) + ops.zeros_like(x) + (1.0 if training else 0.0)
            )

    y = np.asarray(layers.TimeDistributed(BatchMean())(X, mask=MASK, training=True))
    wanted = (X * MASK[..., None]).sum(0, keepdims=True) + 1.0
    np.testing.assert_allclose(y, np.broadcast_to(wanted, SHAPE), rtol=RTOL, atol=ATOL)


def test_conv_lstm_with_channels_first_states_and_masks():
    x = RNG.standard_normal((2, 3, 2, 5, 5)).astype("float32")
    options = {"filters": 3, "kernel_size": 3, "return_sequences": True, "return_state": True}
    mine, theirs = both("ConvLSTM2D", {**options, "data_format": "channels_first"}, x=x)
    same(mine(x), theirs(x))
    assert tuple(mine.compute_output_shape((2, 3, 2, 5, 5))[0]) == (2, 3, 3, 3, 3)
    # A sample whose last step is masked ends as its first two steps do.
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool)
    ys, h, _ = mine(x, mask=mask)
    _, short, _ = mine(x[:, :2])
    np.testing.assert_allclose(np.asarray(h)[0], np.asarray(short)[0], rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(np.asarray(ys)[0, 2], np.asarray(ys)[0, 1], rtol=RTOL, atol=ATOL)
    dropped = layers.ConvLSTM2D(2, 3, dropout=0.5, recurrent_dropout=0.5, seed=0)
    a = np.asarray(dropped(np.moveaxis(x, 2, -1), training=True))
    assert np.abs(a - np.asarray(dropped(np.moveaxis(x, 2, -1)))).max() > 1e-3


def test_bidirectional_takes_weights_and_drops_state():
    inner = layers.LSTM(3)
    inner.build(SHAPE)
    values = [RNG.standard_normal(w.shape).astype("float32") for w in inner.weights] * 2
    layer = layers.Bidirectional(inner, weights=values)
    layer(X)
    for a, b in zip(layer.get_weights(), values):
        np.testing.assert_array_equal(a, b)
    assert layer.forward_layer.name == f"forward_{inner.name}" and layer.forward_layer is not inner


def test_seeds_repeat():
    runs = []
    for _ in range(2):
        fastkeras.utils.set_random_seed(4)
        layer = layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5)
        runs.append(np.asarray(layer(X, training=True)))
    np.testing.assert_array_equal(*runs)


# ------------------------------------------------------------------------------------------------ errors


class NoState(layers.Layer):
    def call(self, inputs, states):
        return inputs, states


class WrongCount(layers.Layer):
    state_size = 4

    def call(self, inputs, states):
        return inputs, [inputs, inputs]


H = np.zeros((3, 3), "float32")
MISTAKES = [
    (lambda: layers.LSTM(0), "units=0"),
    (lambda: layers.GRU(-2), "units=-2"),
    (lambda: layers.SimpleRNN(3, nope=1), "nope"),
    (lambda: layers.LSTM(3, use_cudnn="yes"), "use_cudnn='yes'"),
    (lambda: layers.LSTM(3)(np.ones((3, 4), "float32")), "ndim=3"),
    (lambda: layers.LSTM(3)(X, initial_state=[H]), "2 tensors.*Received 1"),
    (lambda: layers.GRU(3)(X, initial_state=[H, H]), "1 tensors.*Received 2"),
    (lambda: layers.GRU(3)(X, initial_state=H[:2]), r"shape \(2, 3\)"),
    (lambda: layers.LSTM(3, stateful=True)(fastkeras.Input((None, 4))), "fixed batch size"),
    (lambda: layers.LSTM(3).build((None, None, None)), "last dimension"),
    (lambda: layers.RNN(3), "`call"),
    (lambda: layers.RNN(NoState()), "state_size"),
    (lambda: layers.RNN([]), "at least one cell"),
    (lambda: layers.RNN(WrongCount())(X), "1 state tensors and returned 2"),
    (lambda: layers.StackedRNNCells([NoState()]), "state_size"),
    (lambda: layers.Bidirectional(layers.LSTM(3), merge_mode="cat"), "merge_mode='cat'"),
    (lambda: layers.Bidirectional(3), "layer=3"),
    (lambda: layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3)), "go_backwards"),
    (
        lambda: layers.Bidirectional(
            layers.LSTM(3), backward_layer=layers.LSTM(3, go_backwards=True, return_sequences=True)
        ),
        "same `return_sequences`",
    ),
    (lambda: layers.Bidirectional(layers.GRU(3))(X, initial_state=[H]), "as many of the backward"),
    (lambda: layers.TimeDistributed(3), "layer=3"),
    (lambda: layers.TimeDistributed(layers.Dense(3))(np.ones((3, 4))), "at least 3"),
    (lambda: layers.TimeDistributed(layers.Dense(3))(X, mask=MASK[:, :2]), "mask"),
    (lambda: layers.ConvLSTM2D(2, 3)(fastkeras.Input((None, None, 5, 2))), "spatial"),
    (lambda: layers.ConvLSTM2D(2, 3, strides=2, dilation_rate=2), "dilation_rate"),
    (lambda: layers.ConvLSTM1D(0, 3), "filters=0"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=[f"{i}-{c[1][:30]}" for i, c in enumerate(MISTAKES)])
def test_mistakes(case):
    build, text = case
    with pytest.raises(ValueError, match=text):
        build()


def test_resetting_a_layer_without_state():
    with pytest.raises(AttributeError, match="stateful"):
        layers.Bidirectional(layers.GRU(3)).reset_state()
    layers.GRU(3).reset_state()


def test_shapes():
    two = layers.Bidirectional(layers.LSTM(3), backward_layer=layers.GRU(2, go_backwards=True))
    assert two.compute_output_shape((None, 5, 4)) == (None, 5) and two(X).shape == (3, 5)
    layer = layers.Bidirectional(layers.LSTM(3, return_sequences=True, return_state=True), merge_mode=None)
    shapes = layer.compute_output_shape((None, None, 4))
    assert [tuple(s) for s in shapes] == [(None, None, 3)] * 2 + [(None, 3)] * 4
    assert [tuple(t.shape) for t in flat(layer(fastkeras.Input((None, 4))))] == [tuple(s) for s in shapes]


def test_which_cells_run_as_one_op():
    assert layers.LSTMCell(3).runs_as_one_op()
    assert layers.GRUCell(3, reset_after=False).runs_as_one_op()
    assert layers.SimpleRNNCell(3, activation="relu").runs_as_one_op()
    assert not layers.LSTMCell(3, recurrent_activation="hard_sigmoid").runs_as_one_op()
    assert not layers.GRUCell(3, activation="relu").runs_as_one_op()
    assert not layers.SimpleRNNCell(3, activation=None).runs_as_one_op()
    assert not layers.ConvLSTM1D(2, 3).cell.runs_as_one_op()


@pytest.mark.parametrize("kind", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.3, 0.4)], ids=str)
@pytest.mark.parametrize("backwards", [False, True])
def test_one_op_and_a_loop_agree(kind, mask, rates, backwards):
    base = getattr(layers, kind)

    class Looping(base):
        def step(self, *args):
            return super().step(*args)

    results = []
    for cls in (base, Looping):
        cell = cls(5, dropout=rates[0], recurrent_dropout=rates[1], seed=4)
        assert cell.runs_as_one_op() == (cls is base)
        options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}
        layer = layers.RNN(cell, go_backwards=backwards, **options)
        layer.build(SHAPE)
        rng = np.random.default_rng(2)
        layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.weights[:3]])
        x = ops.convert_to_tensor(X)
        with fastkeras.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask, training=True)
            loss = sum(ops.sum(y * y) for y in outputs)
        grads = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([np.asarray(v) for v in (*outputs, *grads)])
    for one, loop in zip(*results, strict=True):
        np.testing.assert_allclose(one, loop, rtol=1e-4, atol=1e-5)
