"""Weights of another shape or number than the model has."""

import fastkeras
import pytest
from fastkeras import layers
from mistakes import LABELS, X, rejected


def model_of(*units):
    model = fastkeras.Sequential([fastkeras.Input((4,)), *(layers.Dense(u) for u in units)])
    model.compile("adam", fastkeras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, LABELS, verbose=0)
    return model


@pytest.mark.parametrize("name", ["m.keras", "w.weights.h5"])
def test_other_shape(tmp_path, name):
    source = model_of(5, 3)
    (source.save if name == "m.keras" else source.save_weights)(tmp_path / name)
    model = model_of(5, 7)
    rejected(
        lambda: model.load_weights(tmp_path / name),
        model,
        happened=[
            "2 objects could not be loaded",
            "Dense 'dense_3' at 'layers/dense_1', Adam 'adam_1' at 'optimizer'",
            r"dense_3/kernel.* has shape \(5, 7\)",
            r"has shape \(5, 3\)",
        ],
        expected="Expected equal shapes",
        mend=["same layer sizes", "skip_mismatch=True"],
    )
    model.fit(X, LABELS, verbose=0)


def test_other_number(tmp_path):
    model_of(5, 3).save_weights(tmp_path / "w.weights.h5")
    model = model_of(5, 6, 3)
    rejected(
        lambda: model.load_weights(tmp_path / "w.weights.h5"),
        model,
        happened=["2 objects could not be loaded", "Dense 'dense_4' at 'layers/dense_2'", r"\(5, 6\)"],
        expected="Expected equal",
        mend="same layer",
    )


def test_set_weights():
    model = model_of(5, 3)
    values = model.get_weights()
    rejected(
        lambda: model.set_weights([v.T for v in values]), model, happened=r"\(5, 4\)", expected=r"\(4, 5\)"
    )
    rejected(
        lambda: model.set_weights(values[:2]), model, happened="length 2", expected="expecting 4 weights"
    )
    rejected(
        lambda: model.layers[0].kernel.assign([[1.0]]), model, happened=r"\(1, 1\)", expected=r"\(4, 5\)"
    )
