"""The structure of an image model as data, and Keras' structures of all of them.

Building a model in Keras takes up to a minute, so the digests of Keras 3.15.1's structures are kept in
`keras_structures.json`. With names of models, this script builds them in both libraries and prints the differences;
with `--write`, it writes Keras' digests of these models to the file:

    KERAS_BACKEND=jax PYTHONPATH=python python tests/applications/model_structure.py [--write] ResNet50 ...
"""

import hashlib
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("keras_structures.json")


def config(value):
    """What a configuration says, without the modules that classes live in."""
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            kept = ("class_name", "config", "name", "inbound_nodes")
            return {key: config(value[key]) for key in kept if key in value}
        return {key: config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [config(item) for item in value]
    return value


def weights(model):
    """Name and shape of each weight, in the order of files."""
    return [[w.path.split("/")[-1], list(w.shape)] for w in model.weights]


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def structure(model):
    """Layers with all their arguments and connections, and weights, each as a digest."""
    return {
        "layers": len(model.layers),
        "parameters": model.count_params(),
        "config": digest(config(model.get_config())),
        "weights": digest(weights(model)),
    }


def build(library, name):
    """The model with its default arguments. Its weights get no values, which takes no time."""
    library.utils.clear_session()
    with library.StatelessScope():
        return getattr(library.applications, name)(weights=None)


def differences(a, b, path=""):
    """Where two values differ, as lines of text."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from differences(a.get(key, "absent"), b.get(key, "absent"), f"{path}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{path}[{i}]")
    elif a != b:
        yield f"{path}: Keras has {a!r}, fastkeras {b!r}"


def main(names):
    import fastkeras
    import keras

    write = "--write" in names
    for name in names:
        if name == "--write":
            continue
        theirs, ours = build(keras, name), build(fastkeras, name)
        found = [
            *differences(config(theirs.get_config()), config(ours.get_config())),
            *differences(weights(theirs), weights(ours)),
        ]
        print(name, "\n    ".join([f"{len(found)} differences", *found[:20]]), flush=True)
        if write:
            known = json.loads(FILE.read_text()) if FILE.exists() else {}
            known[name] = structure(theirs)
            rows = [f'  "{key}": {json.dumps(value)}' for key, value in sorted(known.items())]
            FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
