"""KerasFileEditor: a file of one model made to fit another."""

import fastkeras
import keras
import numpy as np
import pytest
import saving_models
from fastkeras import layers, saving


def build(units):
    return fastkeras.Sequential([fastkeras.Input((3,)), *(layers.Dense(u) for u in units)], name="model")


@pytest.fixture
def paths(tmp_path):
    model = build([2, 4, 5])
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    return tmp_path / "m.keras", tmp_path / "m.weights.h5"


def test_edits(paths, tmp_path, capsys):
    for path in paths:
        editor = saving.KerasFileEditor(path)
        editor.summary()
        assert "layers/dense_2" in capsys.readouterr().out
        editor.delete_object("optimizer")
        assert editor.compare(build([2, 4, 5])) == {"status": "success", "error_count": 0, "match_count": 6}
        target = build([2, 4, 7])
        assert editor.compare(target)["error_count"] == 2
        assert "shape (4, 5) in the file, (4, 7) in the model" in capsys.readouterr().out
        editor.delete_object("layers/dense_2")
        assert editor.compare(target)["error_count"] == 1
        kernel = np.ones((4, 7), "float32")
        editor.add_object("layers/dense_9", weights={"0": kernel})
        editor.rename_object("dense_9", "dense_2")
        editor.add_weights("dense_2", {"1": np.zeros(8), "2": np.zeros(1)})
        assert editor.compare(target)["error_count"] == 2
        editor.delete_weight("dense_2", "2")
        editor.add_weights("dense_2", {"1": np.zeros(7, "float32")})
        assert editor.compare(target)["status"] == "success"
        editor.save(tmp_path / "new.weights.h5")
        target.load_weights(tmp_path / "new.weights.h5")
        np.testing.assert_array_equal(target.layers[2].kernel.numpy(), kernel)
        assert set(editor.weights_dict["layers"]) == {"dense", "dense_1", "dense_2"}
        assert (editor.config is None) == (path.suffix == ".h5")


def test_keras_reads_the_result(paths, tmp_path):
    saving.KerasFileEditor(paths[1]).resave_weights(tmp_path / "new.weights.h5")
    theirs = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(u) for u in [2, 4, 5])])
    theirs.compile("adam", "mse")
    theirs.load_weights(tmp_path / "new.weights.h5")
    mine = build([2, 4, 5])
    mine.load_weights(paths[0])
    saving_models.same_predictions(mine, theirs, np.ones((2, 3), "float32"))


def test_mistakes(paths, tmp_path):
    editor = saving.KerasFileEditor(paths[0])
    for call in (
        lambda: saving.KerasFileEditor("x.txt"),
        lambda: saving.KerasFileEditor(tmp_path / "none.keras"),
        lambda: editor.delete_object("nothing"),
        lambda: editor.delete_object("nowhere/dense"),
        lambda: editor.rename_object("layers/dense", "a/b"),
        lambda: editor.rename_object("layers/dense", "dense_1"),
        lambda: editor.add_object("nowhere/dense", {}),
        lambda: editor.add_object("layers/dense_3", [np.zeros(3)]),
        lambda: editor.delete_weight("layers/dense", "7"),
        lambda: editor.save(tmp_path / "m.keras"),
    ):
        with pytest.raises(ValueError, match="Expected"):
            call()
    assert editor.compare(build([2, 4, 5]))["match_count"] == 6
