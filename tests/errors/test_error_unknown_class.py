"""A `.keras` file with a class, loss or function that the program does not know."""

import json
import zipfile

import fastkeras
import pytest
from fastkeras import layers
from mistakes import LABELS, X, rejected


class Doubled(layers.Layer):
    def call(self, x):
        return x * 2.0


def own_loss(y_true, y_pred):
    return fastkeras.ops.mean(fastkeras.ops.square(y_pred - y_true), axis=-1)


def test_unknown_class(tmp_path):
    model = fastkeras.Sequential([fastkeras.Input((4,)), Doubled(), layers.Dense(3)])
    model.save(tmp_path / "m.keras")
    # Keras raises TypeError here: code that expects that works as well.
    for kind in (ValueError, TypeError):
        rejected(
            lambda: fastkeras.saving.load_model(tmp_path / "m.keras"),
            kind=kind,
            happened=["m.keras", "Could not locate class 'Doubled'"],
            expected="Expected a class of fastkeras or a registered one",
            mend=["register_keras_serializable", "custom_objects={'Doubled': Doubled}"],
        )
    loaded = fastkeras.saving.load_model(tmp_path / "m.keras", custom_objects={"Doubled": Doubled})
    assert (loaded.predict(X, verbose=0) == model.predict(X, verbose=0)).all()


def test_unknown_loss(tmp_path):
    model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", own_loss)
    model.save(tmp_path / "m.keras")
    rejected(
        lambda: fastkeras.saving.load_model(tmp_path / "m.keras"),
        happened="own_loss",
        expected="Expected",
        mend="custom_objects",
    )
    loaded = fastkeras.saving.load_model(tmp_path / "m.keras", custom_objects={"own_loss": own_loss})
    assert loaded.evaluate(X, LABELS[:, None], verbose=0) == model.evaluate(X, LABELS[:, None], verbose=0)


def test_layer_of_another_library(tmp_path):
    model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(3)])
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as zf:
        members = {name: zf.read(name) for name in zf.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1].update(module="other.layers", class_name="Fancy")
    members["config.json"] = json.dumps(config)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as zf:
        for name, content in members.items():
            zf.writestr(name, content)
    rejected(
        lambda: fastkeras.saving.load_model(tmp_path / "m.keras"),
        happened=r"Could not locate class 'Fancy' \(module 'other.layers'\)",
        expected="Expected a class",
        mend="custom_objects",
    )


@pytest.mark.parametrize("name", ["Relu6", "nothing"])
def test_unknown_activation(tmp_path, name):
    model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(3, activation="relu")])
    text = model.to_json().replace('"relu"', f'"{name}"')
    rejected(
        lambda: fastkeras.models.model_from_json(text),
        kind=(ValueError, TypeError),
        happened=name,
        expected="Expected one of",
        mend="register_keras_serializable",
    )
