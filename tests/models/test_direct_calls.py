"""`model(x)` that runs compiled: the same numbers, and whatever changes the model is noticed."""

from __future__ import annotations

import copy
import pickle
import threading

import fastkeras as fk
import numpy as np
import pytest
from fastkeras import ops

layers = fk.layers


def convnet():
    return fk.Sequential(
        [
            fk.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(5, name="out"),
        ]
    )


def branches():
    a = fk.Input((6,))
    left, right = layers.Dense(4, activation="tanh", name="left")(a), layers.Dense(4, name="right")(a)
    return fk.Model(a, {"sum": layers.Add()([left, right]), "both": ops.concatenate([left, right])})


def compiled(model):
    """Whether calls of the model run compiled at present."""
    kinds = (model.__dict__.get("_direct_kinds") or {}).values()
    return any(k.run is not None for k in kinds)


def warm(model, x):
    for _ in range(6):
        out = model(x)
    assert compiled(model)
    return out


def by_layers(model, x):
    """What the layers' own code computes."""
    for layer in model.layers:
        x = layer.call(x)
    return np.asarray(x)


def arrays(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def test_results_are_those_of_the_layers():
    model, x = convnet(), arrays((3, 8, 8, 3))
    first = np.asarray(model(x))
    np.testing.assert_allclose(np.asarray(warm(model, x)), first, rtol=1e-6)
    np.testing.assert_allclose(first, by_layers(model, ops.convert_to_tensor(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(model(ops.convert_to_tensor(x))), first, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(model(x, training=False)), first, rtol=1e-6)
    np.testing.assert_allclose(model.predict(x, verbose=0), first, rtol=1e-6)
    two = np.asarray(model(x[:2]))  # another shape begins anew
    np.testing.assert_allclose(two, first[:2], rtol=1e-5)


def test_outputs_keep_their_structure():
    model, x = branches(), arrays((2, 6))
    first = model(x)
    out = warm(model, x)
    assert out.keys() == first.keys()
    for name in first:
        np.testing.assert_allclose(np.asarray(out[name]), np.asarray(first[name]), rtol=1e-6)


def two_inputs():
    """b - 2 a, by layers."""
    a, b = fk.Input((4,), name="a"), fk.Input((4,), name="b")
    twice = layers.Dense(4, kernel_initializer=fk.initializers.Identity(2.0), name="twice")(a)
    return fk.Model({"a": a, "b": b}, layers.Subtract()([b, twice]))


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize(
    "structure",
    [
        lambda a, b: {"a": a, "b": b},
        lambda a, b: {"b": b, "a": a},
        lambda a, b: [a, b],
        lambda a, b: (a, b),
    ],
)
def test_several_inputs(structure, tensors):
    model = two_inputs()
    if type(structure(0, 0)) is not dict:
        model = fk.Model([model.inputs[0], model.inputs[1]], model.outputs[0])
    for batch in (3, 5):
        a, b = arrays((batch, 4), 1), arrays((batch, 4), 2)
        x = structure(*map(ops.convert_to_tensor, (a, b))) if tensors else structure(a, b)
        np.testing.assert_allclose(np.asarray(warm(model, x)), b - 2 * a, rtol=1e-6, atol=1e-6)
        c = arrays((batch, 4), 3)  # one that is new
        x = structure(ops.convert_to_tensor(a), c) if tensors else structure(a, c)
        np.testing.assert_allclose(np.asarray(model(x)), c - 2 * a, rtol=1e-6, atol=1e-6)


def test_structures_are_told_apart():
    model, a, b = two_inputs(), arrays((3, 4), 1), arrays((3, 4), 2)
    warm(model, {"a": a, "b": b})
    for _ in range(6):  # names decide, in any order
        np.testing.assert_allclose(np.asarray(model({"b": b, "a": a})), b - 2 * a, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(np.asarray(model({"a": b, "b": a})), a - 2 * b, rtol=1e-6, atol=1e-6)
    for bad in ({"a": a}, {}, [], [a], {"a": a, "b": "no"}, {"a": a, "c": b}):
        for _ in range(6):
            with pytest.raises((ValueError, KeyError, TypeError)):
                model(bad)
    masked = ops.convert_to_tensor(b)
    masked._keras_mask = ops.convert_to_tensor(np.ones(3, bool))
    np.testing.assert_allclose(np.asarray(model({"a": a, "b": masked})), b - 2 * a, rtol=1e-6, atol=1e-6)


def test_new_values_of_variables_are_used():
    model, x = convnet(), arrays((3, 8, 8, 3))
    before = np.asarray(warm(model, x))
    model.get_layer("out").bias.assign_add(np.ones(5))
    np.testing.assert_allclose(np.asarray(model(x)), before + 1, rtol=1e-5)
    model.get_layer("out").bias.assign(np.zeros(5))
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((3, 5)), verbose=0)
    assert compiled(model)
    after = np.asarray(model(x))
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, by_layers(model, ops.convert_to_tensor(x)), rtol=1e-5, atol=1e-6)


def test_training_mode_is_not_what_was_compiled():
    model, x = convnet(), arrays((3, 8, 8, 3))
    quiet = np.asarray(warm(model, x))
    noisy = [np.asarray(model(x, training=True)) for _ in range(2)]
    assert not np.allclose(noisy[0], noisy[1])
    moved = np.asarray(model(x))  # the moving averages went on
    assert not np.allclose(moved, quiet)


@pytest.mark.parametrize("again", range(2))
def test_changes_of_layers_are_noticed(again):
    model, x = convnet(), arrays((3, 8, 8, 3))
    for _ in range(again + 1):
        plain = np.asarray(warm_again(model, x))
        model.get_layer("out").activation = fk.activations.relu
        np.testing.assert_allclose(np.asarray(model(x)), np.maximum(plain, 0), rtol=1e-6)
        np.testing.assert_allclose(np.asarray(warm_again(model, x)), np.maximum(plain, 0), rtol=1e-6)
        model.get_layer("out").activation = fk.activations.linear
        np.testing.assert_allclose(np.asarray(model(x)), plain, rtol=1e-6)


def warm_again(model, x):
    for _ in range(100):
        out = model(x)
    assert compiled(model)
    return out


def test_layers_added_and_taken_away_are_noticed():
    model, x = convnet(), arrays((3, 8, 8, 3))
    plain = np.asarray(warm(model, x))
    model.add(layers.Rescaling(3.0))
    np.testing.assert_allclose(np.asarray(model(x)), 3 * plain, rtol=1e-6)
    model.pop()
    np.testing.assert_allclose(np.asarray(model(x)), plain, rtol=1e-6)


def test_other_models_change_nothing():
    model, x = convnet(), arrays((3, 8, 8, 3))
    warm(model, x)
    made = [k.made for k in model._direct_kinds.values()]
    convnet()
    model(x)
    assert compiled(model)
    assert [k.made for k in model._direct_kinds.values()] == made


def test_code_of_the_user_runs_at_every_call():
    calls = []

    class Own(layers.Layer):
        def call(self, x):
            calls.append("layer")
            return x * 2

    def activation(x):
        calls.append("activation")
        return x

    x = arrays((2, 3))
    for layer in (Own(), layers.Dense(2, activation=activation), layers.Lambda(lambda x: activation(x))):
        model = fk.Sequential([fk.Input((3,)), layer])
        calls.clear()
        for _ in range(20):
            model(x)
        assert len(calls) == 20

    class Counted(fk.Sequential):
        def call(self, *args, **kwargs):
            calls.append("model")
            return super().call(*args, **kwargs)

    model = Counted([fk.Input((3,)), layers.Dense(2)])
    calls.clear()
    for _ in range(20):
        model(x)
    assert len(calls) == 20


def test_losses_of_a_call_are_there_to_be_read():
    model = fk.Sequential([fk.Input((3,)), layers.Dense(2), layers.ActivityRegularization(l2=1.0)])
    other = fk.Sequential([fk.Input((3,)), layers.Dense(2, activity_regularizer="l2")])
    for m in (model, other):
        for _ in range(20):
            m(arrays((2, 3)))
            (loss,) = m.losses
            assert float(loss) > 0


def test_masks_go_on():
    model = fk.Sequential([fk.Input((4,)), layers.Embedding(10, 3, mask_zero=True)])
    ids = np.array([[1, 2, 0, 0]], "float32")
    for _ in range(20):
        assert np.asarray(model(ids)._keras_mask).tolist() == [[True, True, False, False]]
    # A mask that ends within the model does not keep it from being compiled.
    model.add(layers.LSTM(5))
    expected = np.asarray(model(ids))
    np.testing.assert_allclose(np.asarray(warm(model, ids)), expected, rtol=1e-6)
    longer = np.array([[1, 2, 5, 0]], "float32")
    assert not np.allclose(np.asarray(model(longer)), expected)


def test_gradients_flow_under_a_tape():
    model, x = convnet(), ops.convert_to_tensor(arrays((3, 8, 8, 3)))
    warm(model, x)
    with fk.GradientTape() as tape:
        tape.watch(x)
        loss = ops.sum(model(x))
    gradients = tape.gradient(loss, [x, *model.trainable_variables])
    assert all(g is not None for g in gradients)
    assert float(ops.max(ops.abs(gradients[0]))) > 0


def test_inside_traces_and_other_models_and_with_other_state():
    model, x = convnet(), arrays((3, 8, 8, 3))
    expected = np.asarray(warm(model, x))
    traced = fk.function(lambda x: model(x) * 2)
    np.testing.assert_allclose(np.asarray(traced(ops.convert_to_tensor(x))), 2 * expected, rtol=1e-5)
    outer = fk.Sequential([fk.Input((8, 8, 3)), model])
    np.testing.assert_allclose(np.asarray(outer(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(warm(outer, x)), expected, rtol=1e-5)
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    got, _ = model.stateless_call(zeros, model.non_trainable_variables, x)
    np.testing.assert_array_equal(np.asarray(got), 0)


def test_run_eagerly_runs_the_layers():
    model, x = convnet(), arrays((3, 8, 8, 3))
    warm(model, x)
    model.compile("sgd", "mse", run_eagerly=True)
    seen = []
    model.get_layer("conv").call = lambda x: seen.append(1) or layers.Conv2D.call(model.get_layer("conv"), x)
    model(x)
    assert seen


def test_a_method_of_one_layer_that_is_replaced_is_noticed():
    model, x = convnet(), arrays((3, 8, 8, 3))
    warm(model, x)
    seen, out = [], model.get_layer("out")
    out.call = lambda x, **kwargs: seen.append(1) or layers.Dense.call(out, x)
    for _ in range(20):
        model(x)
    assert len(seen) == 20


def test_bad_inputs_are_told_as_before():
    model, x = convnet(), arrays((3, 8, 8, 3))
    warm(model, x)
    with pytest.raises(ValueError, match="expected"):
        model(arrays((3, 7, 8, 3)))
    with pytest.raises(ValueError):
        model(arrays((8,)))


def test_copies_and_pickles_start_afresh():
    model, x = convnet(), arrays((3, 8, 8, 3))
    expected = np.asarray(warm(model, x))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not compiled(twin)
        np.testing.assert_allclose(np.asarray(twin(x)), expected, rtol=1e-6)
        twin.get_layer("out").bias.assign_add(np.ones(5))
        np.testing.assert_allclose(np.asarray(warm(twin, x)), expected + 1, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(model(x)), expected, rtol=1e-6)


def test_many_threads():
    model, failures = convnet(), []
    inputs = [arrays((3, 8, 8, 3), seed) for seed in range(4)]
    expected = [by_layers(model, ops.convert_to_tensor(x)) for x in inputs]

    def work(i):
        try:
            for _ in range(50):
                np.testing.assert_allclose(np.asarray(model(inputs[i])), expected[i], rtol=1e-5, atol=1e-6)
        except BaseException as e:  # noqa: BLE001 - reported below
            failures.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_a_model_is_freed():
    import weakref

    model = convnet()
    warm(model, arrays((3, 8, 8, 3)))
    ref = weakref.ref(model)
    del model
    import gc

    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("dtype", ["float64", "uint8", "int64", "float16", "bool"])
def test_other_types_of_inputs(dtype):
    model, x = convnet(), (3 * arrays((3, 8, 8, 3))).astype(dtype)
    expected = np.asarray(model(x))
    out = np.asarray(warm(model, x))
    assert out.dtype == expected.dtype == "float32"
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out, np.asarray(model(x.astype("float32"))), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(model(x[:, ::-1])), np.asarray(model(x[:, ::-1].copy())), rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_policies(policy):
    fk.config.set_dtype_policy(policy)
    try:
        model = convnet()
    finally:
        fk.config.set_dtype_policy("float32")
    x = arrays((3, 8, 8, 3))
    expected = np.asarray(model(x))
    out = np.asarray(warm(model, x))
    assert out.dtype == expected.dtype
    tolerance = {"mixed_bfloat16": 2e-2, "mixed_float16": 3e-3, "float64": 1e-12}[policy]
    np.testing.assert_allclose(
        out.astype("float64"), expected.astype("float64"), rtol=tolerance, atol=tolerance
    )
