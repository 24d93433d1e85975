"""Two inputs (words, images), two outputs (a category, a priority), a loss, a weight and metrics for each of them:
against Keras with the same weights.
"""

from __future__ import annotations

import numpy as np
import pytest
from train_pairs import fk, keras, pair, same_logs, same_weights

# Five steps of float32 in two orders of summation; see test_custom_layers.py.
RTOL, ATOL = 1e-5, 1e-6
WORDS, LENGTH = 50, 12


def build(k):
    words = k.Input((LENGTH,), dtype="int32", name="words")
    image = k.Input((8, 8, 1), name="image")
    text = k.layers.Embedding(WORDS, 8, name="embedding")(words)
    text = k.layers.GlobalAveragePooling1D()(text)
    seen = k.layers.Conv2D(6, 3, activation="relu", name="conv")(image)
    seen = k.layers.MaxPooling2D()(seen)
    seen = k.layers.GlobalAveragePooling2D()(seen)
    both = k.layers.Concatenate()([text, seen])
    both = k.layers.Dense(16, activation="tanh", name="both")(both)
    category = k.layers.Dense(4, activation="softmax", name="category")(both)
    priority = k.layers.Dense(1, activation="sigmoid", name="priority")(both)
    return k.Model([words, image], [category, priority])


def samples(n=48, seed=0):
    rng = np.random.default_rng(seed)
    x = {
        "words": rng.integers(0, WORDS, (n, LENGTH)).astype("int32"),
        "image": rng.random((n, 8, 8, 1), dtype="float32"),
    }
    y = {
        "category": rng.integers(0, 4, n),
        "priority": rng.integers(0, 2, (n, 1)).astype("float32"),
    }
    return x, y


LOSSES = {"category": "sparse_categorical_crossentropy", "priority": "binary_crossentropy"}
WEIGHTS = {"category": 1.0, "priority": 0.25}
METRICS = {"category": ["accuracy"], "priority": ["accuracy", "mae"]}


def as_list(d):
    return list(d.values())


def by_name(k):
    return {"optimizer": k.optimizers.Adam(0.01), "loss": LOSSES, "loss_weights": WEIGHTS, "metrics": METRICS}


def by_position(k):
    return {
        "optimizer": k.optimizers.Adam(0.01),
        "loss": as_list(LOSSES),
        "loss_weights": as_list(WEIGHTS),
        "metrics": as_list(METRICS),
    }


def test_forward_equals_keras():
    ours, theirs = pair(build)
    x, _ = samples()
    for a, b in zip(ours.predict(x, verbose=0), theirs.predict(x, verbose=0)):
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)


def test_inputs_by_name_and_by_position_are_the_same():
    model = build(fk)
    x, _ = samples()
    by_dict = model.predict(x, verbose=0)
    swapped = model.predict({"image": x["image"], "words": x["words"]}, verbose=0)
    by_list = model.predict(as_list(x), verbose=0)
    for a, b, c in zip(by_dict, by_list, swapped):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert by_dict[0].shape == (48, 4) and by_dict[1].shape == (48, 1)


@pytest.mark.parametrize("arguments", [by_name, by_position])
@pytest.mark.parametrize("targets", [dict, as_list])
def test_five_steps_equal_keras(arguments, targets):
    ours, theirs = pair(build, arguments)
    x, y = samples()
    for i in range(5):
        a = ours.train_on_batch(x, targets(y), return_dict=True)
        b = theirs.train_on_batch(x, targets(y), return_dict=True)
        assert set(a) == set(b), f"step {i}"
        same_logs(a, {name: b[name] for name in a}, rtol=RTOL, atol=ATOL)
    same_weights(ours, theirs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("targets", [dict, as_list])
def test_fit_and_evaluate_equal_keras(targets):
    ours, theirs = pair(build, by_name)
    x, y = samples()
    options = {"batch_size": 20, "epochs": 2, "shuffle": False, "verbose": 0}  # batches of 20, 20 and 8
    a = ours.fit(x, targets(y), validation_data=(x, targets(y)), **options).history
    b = theirs.fit(x, targets(y), validation_data=(x, targets(y)), **options).history
    same_logs(a, b, rtol=RTOL)
    same_logs(
        ours.evaluate(x, targets(y), verbose=0, return_dict=True),
        theirs.evaluate(x, targets(y), verbose=0, return_dict=True),
        rtol=RTOL,
    )


def test_the_logs_name_each_output():
    model = build(fk)
    model.compile(**by_name(fk))
    x, y = samples()
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(logs) == {
        "loss",
        "category_loss",
        "priority_loss",
        "category_accuracy",
        "priority_accuracy",
        "priority_mae",
    }
    np.testing.assert_allclose(logs["loss"], logs["category_loss"] + 0.25 * logs["priority_loss"], rtol=1e-5)


def test_a_weight_of_zero_leaves_a_head_untrained():
    model = build(fk)
    model.compile("sgd", LOSSES, loss_weights={"category": 1.0, "priority": 0.0})
    x, y = samples()
    category, priority = (model.get_layer(n).get_weights()[0] for n in ("category", "priority"))
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_layer("priority").get_weights()[0], priority)
    assert not np.array_equal(model.get_layer("category").get_weights()[0], category)


def test_sample_weights_by_output_equal_keras():
    ours, theirs = pair(build, by_name)
    x, y = samples()
    w = {"category": np.linspace(0, 1, 48, dtype="float32"), "priority": np.ones(48, "float32")}
    a = ours.fit(x, y, sample_weight=w, batch_size=16, shuffle=False, verbose=0).history
    # Keras takes dicts of weights for dicts of outputs only.
    b = theirs.fit(x, as_list(y), sample_weight=as_list(w), batch_size=16, shuffle=False, verbose=0).history
    same_logs(a, b, rtol=RTOL)


def named_outputs(k):
    """The same with a dict of outputs, whose keys are not the layers' names."""
    inner = build(k)
    words, image = inner.inputs
    return k.Model({"words": words, "image": image}, {"what": inner.outputs[0], "urgent": inner.outputs[1]})


def test_a_dict_of_outputs_equals_keras():
    def arguments(k):
        return {
            "optimizer": k.optimizers.SGD(0.1),
            "loss": {"what": LOSSES["category"], "urgent": LOSSES["priority"]},
            "metrics": {"what": ["accuracy"], "urgent": ["mae"]},
        }

    ours, theirs = pair(named_outputs, arguments)
    x, y = samples()
    y = {"what": y["category"], "urgent": y["priority"]}
    a = ours.fit(x, y, epochs=2, shuffle=False, verbose=0).history
    b = theirs.fit(x, y, epochs=2, shuffle=False, verbose=0).history
    same_logs(a, b, rtol=RTOL)
    out = ours.predict(x, verbose=0)
    assert set(out) == {"what", "urgent"} and out["what"].shape == (48, 4)


def test_a_saved_model_keeps_names_losses_and_weights(tmp_path):
    model = build(fk)
    model.compile(**by_name(fk))
    x, y = samples()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = fk.saving.load_model(tmp_path / "model.keras")
    theirs = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == expected
    same_logs(expected, theirs.evaluate(x, y, verbose=0, return_dict=True), rtol=RTOL)
