"""Configurations are those of Keras: the same JSON for the same model, read by both."""

import json
import re

import architectures
import keras
import numpy as np
import pytest
from fastkeras import models
from fastkeras.core import tree
from fastkeras.saving import custom_object_scope

MINE, THEIRS = architectures.names_of("fastkeras"), architectures.names_of("keras")
CASES = pytest.mark.parametrize("build", architectures.ALL, ids=lambda f: f.__name__)


def built(k, build):
    k.clear()
    return build(k)


def plain(x):
    """JSON without what the file format lets differ: names of nameless tensors."""
    text = json.dumps(x, sort_keys=True)
    return json.loads(re.sub(r"keras_tensor(_\d+)?CLONE", "keras_tensor_NCLONE", text))


def same_weights(source, target):
    assert [tuple(w.shape) for w in source.weights] == [tuple(w.shape) for w in target.weights]
    target.set_weights([np.asarray(w) for w in source.get_weights()])


def assert_same_outputs(a, b, data):
    flat = lambda y: [np.asarray(v, "float32") for v in tree.flatten(y)]  # noqa: E731
    for x, y in zip(flat(a(data)), flat(b(data)), strict=True):
        np.testing.assert_allclose(
            x, y, rtol=2e-2 if "bfloat16" in str(getattr(a, "x", "")) else 2e-5, atol=1e-5
        )


@CASES
def test_json_is_the_same(build):
    mine, theirs = built(MINE, build), built(THEIRS, build)
    assert plain(json.loads(mine.to_json())) == plain(json.loads(theirs.to_json()))


@CASES
def test_each_reads_what_the_other_writes(build):
    mine, theirs = built(MINE, build), built(THEIRS, build)
    if build is architectures.mixed:
        pytest.skip("bfloat16 differs in rounding")
    theirs_here = models.model_from_json(theirs.to_json())
    mine_there = keras.models.model_from_json(mine.to_json())
    same_weights(theirs, theirs_here)
    same_weights(theirs, mine_there)
    data = architectures.example_inputs(mine)
    assert_same_outputs(theirs_here, theirs, data)
    assert_same_outputs(mine_there, theirs, data)
    assert [v.path for v in theirs_here.weights] == [v.path for v in mine_there.weights]
    # Again, now from the model that was read.
    assert plain(json.loads(theirs_here.to_json())) == plain(json.loads(theirs.to_json()))


@CASES
def test_clones_are_alike_and_independent(build):
    model = built(MINE, build)
    clone = models.clone_model(model)
    assert type(clone) is type(model)
    same_weights(model, clone)
    assert not {id(v) for v in model.weights} & {id(v) for v in clone.weights}
    assert_same_outputs(clone, model, architectures.example_inputs(model))
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]


def test_explicit_training_survives():
    model = built(MINE, architectures.training_flags)
    x = MINE.Input((4,))
    off = MINE.Model(x, MINE.layers.Dropout(0.5)(x, training=False))
    for m in (off, models.model_from_json(off.to_json()), models.clone_model(off)):
        assert np.asarray(m(np.ones((50, 4)), training=True)).min() == 1
    for m in (model, models.model_from_json(model.to_json()), models.clone_model(model)):
        assert np.asarray(m(np.ones((50, 4)), training=True)).min() == 0
        assert not any(np.asarray(m.layers[1].moving_mean))


def test_clone_options():
    model = built(MINE, architectures.nested)
    seen = []

    def smaller(layer):
        seen.append(layer.name)
        config = layer.get_config()
        if "rate" in config:
            config["rate"] = 0.9
        return type(layer).from_config(config)

    models.clone_model(model, clone_function=smaller)
    assert seen == ["deeper", "inner"]
    seen.clear()
    deep = models.clone_model(model, clone_function=smaller, recursive=True)
    assert sorted(seen) == ["dense", "dense_1", "dropout"]
    assert deep.get_layer("inner").layers[1].rate == 0.9
    x = MINE.Input((4,), name="mine")
    assert models.clone_model(model, input_tensors=x).inputs[0] is x
    calls = []

    def call(layer, *args, **kwargs):
        calls.append(layer.name)
        return layer(*args, **kwargs)

    models.clone_model(built(MINE, architectures.chain), call_function=call)
    assert calls == ["dense", "dense_1"]
    with pytest.raises(ValueError, match="call_function"):
        models.clone_model(built(MINE, architectures.sequential), call_function=call)

    class Sub(models.Model):
        pass

    with pytest.raises(ValueError, match="clone_function"):
        models.clone_model(Sub(), clone_function=smaller)


class Custom(MINE.layers.Layer):
    def call(self, x):
        return x * 2.0


def test_custom_layers_need_a_name_in_the_registry():
    x = MINE.Input((3,))
    text = MINE.Model(x, Custom()(x)).to_json()
    with pytest.raises(TypeError, match="Could not locate class 'Custom'.*register_keras_serializable"):
        models.model_from_json(text)
    for model in (models.model_from_json(text, custom_objects={"Custom": Custom}), _in_scope(text)):
        assert float(model(np.ones((1, 3)))[0, 0]) == 2


def _in_scope(text):
    with custom_object_scope({"Custom": Custom}):
        return models.model_from_json(text)


@pytest.mark.parametrize(
    "module",
    [
        "os",
        "subprocess",
        "builtins",
        "fastkeras.saving",
        "keras.src.utils",
        "keras.utils",
        "fastkeras",
        __name__,
    ],
)
@pytest.mark.parametrize("name", ["system", "Popen", "eval", "Custom", "get_file", "__import__", "_engine"])
def test_a_configuration_cannot_name_anything_else(module, name):
    config = {"module": module, "class_name": name, "config": {}, "registered_name": name}
    with pytest.raises((TypeError, ValueError, NotImplementedError)):
        models.model_from_json(json.dumps(config))
    function = {"module": module, "class_name": "function", "config": name, "registered_name": "function"}
    with pytest.raises(TypeError, match="Could not locate function"):
        models.model_from_json(json.dumps(function))


def test_broken_configurations_are_explained():
    config = json.loads(built(MINE, architectures.chain).to_json())

    def changed(change):
        new = json.loads(json.dumps(config))
        change(new["config"])
        return json.dumps(new)

    def unconnected(c):
        c["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "nowhere"

    def cycle(c):
        c["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "dense_1"

    def old_format(c):
        c["layers"][1].pop("module")

    def old_nodes(c):
        c["layers"][1]["inbound_nodes"] = [[["input_layer", 0, 0, {}]]]

    def same_name(c):
        c["layers"].append(c["layers"][1])

    for change, message in (
        (unconnected, "'nowhere' that it does not hold"),
        (cycle, "not computed by any layer"),
        (old_format, "Keras 2"),
        (old_nodes, "Keras 2"),
        (same_name, "two layers named 'dense'"),
        (lambda c: c.update(output_layers=["dense_1", 7, 0]), "call 7 of layer 'dense_1'"),
    ):
        with pytest.raises(ValueError, match=message):
            models.model_from_json(changed(change))
    with pytest.raises(ValueError):
        models.model_from_json("{")
