"""A `.keras` or `.weights.h5` file that was cut off."""

import fastkeras
import pytest
from mistakes import classifier, rejected


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated(tmp_path, part):
    model = classifier()
    for name, save in (("m.keras", model.save), ("w.weights.h5", model.save_weights)):
        path = tmp_path / name
        save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(part * len(content))])
        parts = {
            "happened": [name, "cannot be|the file has"],
            "expected": "Expected a complete|Expected data|Expected undamaged",
            "mend": "copy it again, or save the model again",
        }
        rejected(lambda path=path: model.load_weights(path), model, **parts)
        if name.endswith(".keras"):
            rejected(lambda path=path: fastkeras.saving.load_model(path), **parts)


def test_no_file(tmp_path):
    model = classifier()
    for load in (fastkeras.saving.load_model, model.load_weights):
        rejected(
            lambda load=load: load(tmp_path / "none.keras"),
            model,
            happened="File not found: .*none.keras",
            expected="Expected an existing file",
            mend="Check the path",
        )
