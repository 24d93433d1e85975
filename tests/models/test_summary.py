"""summary() prints what Keras prints."""

import architectures
import keras
import numpy as np
import pytest
from fastkeras.models import Model, Sequential
from fastkeras.models.summary import readable_memory_size
from simple_layers import Affine

MINE, THEIRS = architectures.names_of("fastkeras"), architectures.names_of("keras")


def text(model, **options):
    lines = []
    model.summary(print_fn=lambda t, line_break=None: lines.append(t), **options)
    # Trailing spaces are of no account.
    return [line.rstrip() for line in "\n".join(lines).rstrip("\n").split("\n")]


def both(build):
    models = []
    for k in (MINE, THEIRS):
        k.clear()
        models.append(build(k))
    return models


@pytest.mark.parametrize(
    "options", [{}, {"expand_nested": True}, {"show_trainable": True}, {"line_length": 70}], ids=str
)
@pytest.mark.parametrize(
    # `middle` has an input named after a tensor that Keras numbered.
    "build", [b for b in architectures.ALL if b is not architectures.middle], ids=lambda f: f.__name__
)  # fmt: skip
def test_tables_are_the_same(build, options):
    mine, theirs = both(build)
    assert text(mine, **options) == text(theirs, **options)


def test_wider_terminals_are_used(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for build in (architectures.chain, architectures.branches):
        for options in ({}, {"show_trainable": True}, {"positions": [0.3, 0.6, 0.8, 1.0][-4:]}):
            mine, theirs = both(build)
            if "positions" in options and build is architectures.chain:
                continue
            assert text(mine, **options) == text(theirs, **options)


def test_layer_range():
    mine, theirs = both(architectures.sequential)
    for layer_range in (["max_pooling2d", "flatten"], ["flatten", "max.*"], ["conv2d", "conv2d"]):
        assert text(mine, layer_range=layer_range) == text(theirs, layer_range=layer_range)
    for bad, message in (
        (["a", "b"], "do not match"), (["conv2d"], "length 2"), ([1, 2], "string type"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            mine.summary(layer_range=bad)
    with pytest.raises(ValueError, match="`positions`"):
        mine.summary(positions=[0.5, 1.0])


def test_it_goes_to_standard_output(capsys):
    model = Sequential([Affine(2)])
    model.summary()
    out = capsys.readouterr().out
    assert 'Model: "sequential"' in out and "0 (unbuilt)" in out and "affine (Affine)" in out
    model(np.ones((2, 3)))
    model.summary()
    out = capsys.readouterr().out
    assert "(None, 2)" in out and "Total params: 8 (32.00 B)" in out


def test_subclassed_models_show_shapes_once_called():
    class Net(Model):
        def __init__(self):
            super().__init__()
            self.d = MINE.layers.Dense(2)
            self.inner = MINE.Sequential([MINE.Input((2,)), MINE.layers.Dense(3)], name="inner")

        def call(self, x):
            return self.inner(self.d(x))

    class KNet(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.d = keras.layers.Dense(2)
            self.inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="inner")

        def call(self, x):
            return self.inner(self.d(x))

    MINE.clear()
    THEIRS.clear()
    mine, theirs = Net(), KNet()
    assert text(mine) == text(theirs)
    mine(np.ones((2, 3)))
    theirs(np.ones((2, 3)))
    assert text(mine, expand_nested=True) == text(theirs, expand_nested=True)


def test_brackets_in_names_are_printed():
    model = Sequential([Affine(2, name="a[bold]b")], name="[x]")
    assert any("a[bold]b" in line for line in text(model)) and "[x]" in text(model)[0]


def test_memory_sizes():
    for n in (0, 1, 1023, 1024, 1536, 10**6, 5 * 10**9, 10**13, 10**16):
        assert readable_memory_size(n) == keras.src.utils.summary_utils.readable_memory_size(n)
