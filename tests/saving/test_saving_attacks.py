"""Files made to do harm are refused, by every way in, and the model that was to be loaded into stays as it
was.
"""

import io
import json
import os
import shutil
import struct
import sys
import zipfile

import fastkeras
import h5py
import numpy as np
import pytest
import saving_models

KERNEL = "layers/dense/vars/0"


@pytest.fixture
def good(tmp_path):
    """A good file of each kind, and the model it is from."""
    model = saving_models.simple(fastkeras)
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 4), "float32"), np.zeros((2, 3), "float32"))
    model.save(tmp_path / "good.keras")
    model.save_weights(tmp_path / "good.weights.h5")
    model.save(tmp_path / "good_folder", zipped=False)
    return model


def pack(path, members, mode="w"):
    with zipfile.ZipFile(path, mode) as zf:
        for name, content in members.items():
            zf.writestr(name, content)


def members_of(path):
    with zipfile.ZipFile(path) as zf:
        return {name: zf.read(name) for name in zf.namelist()}


def refused(tmp_path, weights, model, match):
    """Asserts that a weights file is refused by every function that could read it."""
    before = [np.array(v) for v in model.variables]
    members = members_of(tmp_path / "good.keras")
    with open(weights, "rb") as f:
        members["model.weights.h5"] = f.read()
    pack(tmp_path / "bad.keras", members)
    folder = tmp_path / "bad_folder"
    shutil.copytree(tmp_path / "good_folder", folder, dirs_exist_ok=True)
    shutil.copy(weights, folder / "model.weights.h5")
    shutil.copy(weights, tmp_path / "bad_00000.weights.h5")
    listing = {"metadata": {}, "weight_map": {"/vars": "bad_00000.weights.h5"}}
    (tmp_path / "bad.weights.json").write_text(json.dumps(listing))
    for load in (
        lambda: fastkeras.saving.load_model(tmp_path / "bad.keras"),
        lambda: fastkeras.saving.load_model(folder),
        lambda: model.load_weights(weights),
        lambda: model.load_weights(weights, skip_mismatch=True),
        lambda: model.load_weights(tmp_path / "bad.keras"),
        lambda: model.load_weights(tmp_path / "bad.weights.json"),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            load()
        assert "Expected" in str(caught.value)
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(v), old)


def edited(tmp_path, change):
    path = tmp_path / "bad.weights.h5"
    shutil.copy(tmp_path / "good.weights.h5", path)
    with h5py.File(path, "r+") as f:
        change(f)
    return path


def _replace(f, dataset=KERNEL, **options):
    del f[dataset]
    return f.create_dataset(dataset, **options)


# HDF5: data and objects that are somewhere else.


@pytest.mark.parametrize("where", [KERNEL, "layers/dense/vars", "layers/dense", "layers", "vars"])
@pytest.mark.parametrize("kind", ["external", "soft", "hard", "soft inside"])
def test_links(good, tmp_path, where, kind):
    def change(f):
        del f[where]
        if kind == "external":
            f[where] = h5py.ExternalLink(str(tmp_path / "good.weights.h5"), "/" + where)
        elif kind == "soft":
            f[where] = h5py.SoftLink("/nowhere")
        elif kind == "soft inside":
            f[where] = h5py.SoftLink("/optimizer/vars/2" if where == KERNEL else "/optimizer")
        else:
            f[where] = f["optimizer/vars/2"] if where == KERNEL else f["/"]

    refused(tmp_path, edited(tmp_path, change), good, "link|second name")


def test_external_storage_is_not_read(good, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.full((4, 5), 7.0, "float32").tobytes())

    def change(f):
        _replace(f, shape=(4, 5), dtype="f4", external=[(str(secret), 0, 80)])

    refused(tmp_path, edited(tmp_path, change), good, "its data in another file")


def test_virtual_dataset(good, tmp_path):
    def change(f):
        layout = h5py.VirtualLayout((4, 5), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "good.weights.h5"), KERNEL, shape=(4, 5))
        del f[KERNEL]
        f.create_virtual_dataset(KERNEL, layout)

    refused(tmp_path, edited(tmp_path, change), good, "virtual")


# HDF5: sizes.


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (1 << 20, 1 << 20), "dtype": "f4"},
        {"shape": (1 << 30, 1 << 30), "dtype": "f8"},
        {"shape": (1 << 20, 1 << 20), "dtype": "f4", "chunks": (1024, 1024)},
        {"shape": (1 << 20, 1 << 20), "dtype": "f4", "chunks": (1024, 1024), "compression": "gzip"},
        {"shape": (4, 5), "dtype": "f4"},
        {"shape": (4, 5), "dtype": "f4", "chunks": (4, 5), "compression": "gzip"},
    ],
    ids=["4 TiB", "8 EiB", "chunked", "gzip", "right shape, not stored", "right shape, gzip, not stored"],
)
def test_shapes_without_data(good, tmp_path, options):
    path = edited(tmp_path, lambda f: _replace(f, **options))
    assert os.path.getsize(path) < 100_000
    refused(tmp_path, path, good, "are stored|the file has")


def test_compression_bomb(good, tmp_path):
    def change(f):
        zeros = _replace(
            f, shape=(1 << 27,), dtype="f4", chunks=(1 << 24,), compression="gzip", compression_opts=9
        )
        for i in range(8):
            zeros[i << 24 : (i + 1) << 24] = 0.0

    path = edited(tmp_path, change)
    assert os.path.getsize(path) < 1_000_000
    refused(tmp_path, path, good, "bomb")


def test_giant_chunk(good, tmp_path):
    def change(f):
        d = _replace(
            f, shape=(4, 5), maxshape=(None, None), dtype="f4", chunks=(4096, 4096), compression="gzip"
        )
        d[:] = 1.0

    refused(tmp_path, edited(tmp_path, change), good, "chunks of 64.0 MiB")


def test_ordinary_compression_is_fine(good, tmp_path):
    def change(f):
        value = f[KERNEL][()]
        _replace(f, data=value, compression="gzip", shuffle=True, fletcher32=True)

    other = saving_models.simple(fastkeras)
    other.load_weights(edited(tmp_path, change))
    saving_models.same_predictions(good, other, np.ones((2, 4), "float32"))


def test_plugin_filter(good, tmp_path):
    """HDF5 would look for a shared library to load."""

    def change(f):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 5))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        del f[KERNEL]
        group = f["layers/dense/vars"]
        h5py.h5d.create(group.id, b"0", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4, 5)), plist)
        f[KERNEL][:] = 1.0

    refused(tmp_path, edited(tmp_path, change), good, r"filters \[32015\]")


# HDF5: what is stored.


@pytest.mark.parametrize(
    "options",
    [
        {"data": ["a", "b"], "dtype": h5py.string_dtype()},
        {"data": np.zeros((4, 5), [("a", "f4"), ("b", "f4")])},
        {"shape": (4, 5), "dtype": h5py.vlen_dtype(np.dtype("f4"))},
        {"shape": (4, 5), "dtype": h5py.ref_dtype},
        {"data": np.zeros((4, 5), "V7")},
        {"data": np.zeros((4, 5), "complex64")},
        {"data": h5py.Empty("f4")},
        {"shape": (4,), "dtype": np.dtype(("f4", (5,)))},
    ],
    ids=["text", "compound", "lists", "references", "opaque", "complex", "nothing", "arrays"],
)
def test_not_numbers(good, tmp_path, options):
    refused(tmp_path, edited(tmp_path, lambda f: _replace(f, **options)), good, "holds|shape")


def test_neither_group_nor_dataset(good, tmp_path):
    def change(f):
        f["layers/dense/type"] = np.dtype("f4")

    refused(tmp_path, edited(tmp_path, change), good, "neither a group nor a dataset")


def test_deep_groups(good, tmp_path):
    refused(tmp_path, edited(tmp_path, lambda f: f.create_group("/".join("g" * 200))), good, "deep")


@pytest.mark.parametrize("keep", [0, 1, 100, 2000, -4000, -100, -1])
def test_truncated_weights(good, tmp_path, keep):
    content = (tmp_path / "good.weights.h5").read_bytes()[:keep]
    path = tmp_path / "bad.weights.h5"
    path.write_bytes(content)
    refused(tmp_path, path, good, "cannot be|the file has")


def test_damaged_weights(good, tmp_path):
    """Any byte may be wrong: the result is a clear refusal or some numbers, and never anything worse."""
    content = (tmp_path / "good.weights.h5").read_bytes()
    path = tmp_path / "bad.weights.h5"
    rng = np.random.RandomState(0)
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.randint(0, len(content), 8):
            damaged[at] = rng.randint(256)
        path.write_bytes(damaged)
        model = saving_models.simple(fastkeras)
        before = [np.array(v) for v in model.variables]
        try:
            model.load_weights(path)
        except ValueError as e:
            assert "Expected" in str(e)  # noqa: PT017
            for v, old in zip(model.variables, before, strict=True):
                np.testing.assert_array_equal(np.array(v), old)


# Zip archives.


def zip_refused(path, match, model=None):
    with pytest.raises(ValueError, match=match) as caught:
        fastkeras.saving.load_model(path)
    assert "Expected" in str(caught.value)
    if model is not None:
        before = [np.array(v) for v in model.variables]
        with pytest.raises(ValueError, match=match):
            model.load_weights(path)
        for v, old in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(np.array(v), old)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../evil",
        "assets/../../evil",
        "assets//x",
        "C:/evil",
        "a\\..\\b",
        "assets/./x",
        "a\nb",
        "..",
        ".",
    ],
)
def test_member_names(good, tmp_path, name):
    members = members_of(tmp_path / "good.keras")
    path = tmp_path / "bad.keras"
    pack(path, {**members, name: b"x"})
    zip_refused(path, "no path inside the archive", good)
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_name_with_a_null(good, tmp_path):
    path = tmp_path / "bad.keras"
    pack(path, {**members_of(tmp_path / "good.keras"), "assets/x.safe": b"x"})
    content = path.read_bytes().replace(b"assets/x.safe", b"assets/x\0safe")
    path.write_bytes(content)
    zip_refused(path, "no path inside the archive", good)


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o060644, 0o140777])
def test_links_and_devices(good, tmp_path, mode):
    path = tmp_path / "bad.keras"
    shutil.copy(tmp_path / "good.keras", path)
    info = zipfile.ZipInfo("assets/layer/vocabulary.txt")
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as zf:
        zf.writestr(info, "/etc/passwd")
    zip_refused(path, "link or special file", good)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_two_members_of_one_name(good, tmp_path, name):
    path = tmp_path / "bad.keras"
    shutil.copy(tmp_path / "good.keras", path)
    with zipfile.ZipFile(path, "a") as zf:
        zf.writestr(name, b"{}")
    zip_refused(path, "two members named", good)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/big"])
def test_decompression_bomb(good, tmp_path, name):
    path = tmp_path / "bad.keras"
    members = members_of(tmp_path / "good.keras")
    members.pop(name, None)
    pack(path, members)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as zf, zf.open(name, "w", force_zip64=True) as f:
        for _ in range(300):
            f.write(bytes(1 << 20))
    assert path.stat().st_size < 1_000_000
    zip_refused(path, "bomb", good)


def test_bomb_in_many_members(good, tmp_path):
    path = tmp_path / "bad.keras"
    shutil.copy(tmp_path / "good.keras", path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as zf:
        for i in range(30):
            zf.writestr(f"assets/{i}", bytes(10 << 20))
    zip_refused(path, "bomb", good)


def _patch_directory(path, name, **fields):
    """Changes fields of a member's entry in the central directory."""
    content = bytearray(path.read_bytes())
    at = -1
    while True:
        at = content.index(b"PK\1\2", at + 1)
        length = struct.unpack_from("<H", content, at + 28)[0]
        if content[at + 46 : at + 46 + length] == name.encode():
            break
    places = {
        "flags": (8, "<H"),
        "method": (10, "<H"),
        "packed": (20, "<I"),
        "size": (24, "<I"),
        "offset": (42, "<I"),
    }
    for field, value in fields.items():
        offset, form = places[field]
        struct.pack_into(form, content, at + offset, value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"size": 10}, "equal sizes"),
        ({"size": 0xFFFFFFF0}, "equal sizes"),
        ({"packed": 0xFFFFFFF0, "size": 0xFFFFFFF0}, "one after the other"),
        ({"packed": 20000, "size": 20000}, "one after the other|Overlap|overlap|cannot be read"),
        ({"flags": 1}, "encrypted"),
        ({"method": 12}, "compressed by method 12"),
        ({"method": 99}, "compressed by method 99|cannot be read"),
        ({"offset": 0}, "one after the other|Overlap|overlap|cannot be read"),
        ({"offset": 0xFFFFFF00}, "one after the other|cannot be read"),
    ],
)
def test_lies_of_the_directory(good, tmp_path, fields, match):
    path = tmp_path / "bad.keras"
    shutil.copy(tmp_path / "good.keras", path)
    _patch_directory(path, "config.json", **fields)
    zip_refused(path, match)


def test_wrong_size_of_packed_data(good, tmp_path):
    path = tmp_path / "bad.keras"
    members = members_of(tmp_path / "good.keras")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zf:
        for name, content in members.items():
            zf.writestr(name, content)
    fastkeras.saving.load_model(path)
    for size in (10, len(members["config.json"]) + 10):
        shutil.copy(path, tmp_path / "worse.keras")
        _patch_directory(tmp_path / "worse.keras", "config.json", size=size)
        zip_refused(tmp_path / "worse.keras", "cannot be read|announces")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_missing_members(good, tmp_path, name):
    members = members_of(tmp_path / "good.keras")
    del members[name]
    pack(tmp_path / "bad.keras", members)
    zip_refused(tmp_path / "bad.keras", f"has no member '{name}'")


def test_truncated_archive(good, tmp_path):
    content = (tmp_path / "good.keras").read_bytes()
    path = tmp_path / "bad.keras"
    for keep in (0, 3, 100, len(content) // 2, len(content) - 30, len(content) - 1):
        path.write_bytes(content[:keep])
        zip_refused(path, "cannot be read as a zip file", good)


def test_damaged_archive(good, tmp_path):
    content = (tmp_path / "good.keras").read_bytes()
    path = tmp_path / "bad.keras"
    rng = np.random.RandomState(1)
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.randint(0, len(content), 4):
            damaged[at] = rng.randint(256)
        path.write_bytes(damaged)
        zip_refused(path, "")


# Configurations.


def config_of(path):
    return json.loads(members_of(path)["config.json"])


def config_refused(tmp_path, config, match, **options):
    members = members_of(tmp_path / "good.keras")
    members["config.json"] = config if isinstance(config, (str, bytes)) else json.dumps(config)
    pack(tmp_path / "bad.keras", members)
    with pytest.raises(ValueError, match=match) as caught:
        fastkeras.saving.load_model(tmp_path / "bad.keras", **options)
    assert "Expected" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '"text"',
        b"\xff\xfe{}",
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"class_name": "Dense", "class_name": "Lambda", "config": {}}',
        '{"a": ' + "1" * 100_000 + "}",
    ],
    ids=["cut", "list", "null", "text", "encoding", "deep list", "deep", "twice", "long number"],
)
def test_bad_json(good, tmp_path, text):
    config_refused(tmp_path, text, "JSON|dictionary|nested|is a ")


def test_large_config(good, tmp_path, monkeypatch):
    monkeypatch.setattr("fastkeras.saving.saving_lib.MAX_CONFIG_BYTES", 1000)
    config_refused(tmp_path, config_of(tmp_path / "good.keras"), "at most 1000 bytes")
    monkeypatch.undo()
    monkeypatch.setattr("fastkeras.saving.config_guard.MAX_CONFIG_VALUES", 100)
    config_refused(tmp_path, config_of(tmp_path / "good.keras"), "more than 100 values")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("subprocess", "Popen"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("keras.models", "load_model"),
        ("keras.saving", "load_model"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "importlib"),
        ("keras.datasets.mnist", "load_data"),
        ("keras", "StatelessScope"),
        ("fastkeras._engine", "Trace"),
        ("fastkeras.saving", "CustomObjectScope"),
        ("attacker_module", "Payload"),
        (None, "Payload"),
        ("keras", "_engine"),
        ("keras", "models.Sequential"),
        ("keras", ""),
        ("keras", "__class__"),
        (["keras"], "Sequential"),
        ("keras", ["Sequential"]),
        ("keras", {"a": 1}),
    ],
)
def test_names_outside_the_registry(good, tmp_path, module, name):
    marker = tmp_path / "ran"
    (tmp_path / "attacker_module.py").write_text(f"open({str(marker)!r}, 'w')\nclass Payload: pass\n")
    sys.path.insert(0, str(tmp_path))
    try:
        config = {"module": module, "class_name": name, "config": {"args": ["touch " + str(marker)]}}
        config_refused(
            tmp_path,
            config,
            "Could not locate|names a class|has module|class_name|describes a|no `from_config",
        )
        layer = {**config, "registered_name": name if isinstance(name, str) else None}
        for place in ("layers", "compile"):
            whole = config_of(tmp_path / "good.keras")
            if place == "layers":
                whole["config"]["layers"][1] = layer
            else:
                whole["compile_config"]["loss"] = layer
            config_refused(tmp_path, whole, "")
        function = {
            "module": module if isinstance(module, str) else "builtins",
            "class_name": "function",
            "config": name,
        }
        whole = config_of(tmp_path / "good.keras")
        whole["config"]["layers"][1]["config"]["activation"] = {**function, "registered_name": "function"}
        config_refused(tmp_path, whole, "")
    finally:
        sys.path.remove(str(tmp_path))
    assert not marker.exists() and "attacker_module" not in sys.modules


@pytest.mark.parametrize("how", ["activation", "lambda layer", "loss", "old lambda layer"])
def test_code_is_refused_in_safe_mode(good, tmp_path, how):
    import base64
    import marshal

    code = base64.b64encode(marshal.dumps(compile("1/0", "x", "eval"))).decode()
    body = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    config = config_of(tmp_path / "good.keras")
    layers = config["config"]["layers"]
    if how == "activation":
        layers[1]["config"]["activation"] = body
    elif how == "loss":
        config["compile_config"]["loss"] = body
    elif how == "lambda layer":
        layers[1] = {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": body},
            "registered_name": None,
        }
    else:
        layers[1] = {
            "class_name": "Lambda",
            "config": {"function": [code, None, None], "function_type": "lambda"},
        }
    config_refused(tmp_path, config, "")
    if how in ("lambda layer", "activation"):
        assert "safe_mode" in config_refused(tmp_path, config, "")


def test_safe_mode_cannot_be_switched_off_by_a_file(good, tmp_path):
    config = config_of(tmp_path / "good.keras")
    config["config"]["safe_mode"] = False
    config["safe_mode"] = False
    call = {
        "module": "keras.config",
        "class_name": "enable_unsafe_deserialization",
        "config": {},
        "registered_name": "function",
    }
    config["config"]["layers"].insert(1, call)
    config_refused(tmp_path, config, "")
    from fastkeras.saving.serialization import in_safe_mode

    assert in_safe_mode() is None


def test_vocabulary_from_a_path(good, tmp_path):
    config = config_of(tmp_path / "good.keras")
    layer = {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}
    config["config"]["layers"][1] = layer
    config_refused(tmp_path, config, "read the file '/etc/passwd'")


def dense(units, input_size, **options):
    config = {"units": units, **options}
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": config,
        "build_config": {"input_shape": [None, input_size]},
    }


@pytest.mark.parametrize("units", [10**5, 10**9, 10**18, 10**30])
@pytest.mark.parametrize("initializer", ["zeros", "glorot_uniform", "orthogonal"])
def test_large_layers_without_weights(good, tmp_path, units, initializer):
    config = config_of(tmp_path / "good.keras")
    config["config"]["layers"][1] = dense(units, 10**5, kernel_initializer=initializer)
    config["config"]["build_input_shape"] = None
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**5]
    config.pop("compile_config")
    config_refused(tmp_path, config, "")


def test_many_layers_without_weights(good, tmp_path):
    config = config_of(tmp_path / "good.keras")
    # 64 MiB each: none is too much by itself.
    config["config"]["layers"][1:] = [dense(4096, 4096, name=f"d{i}") for i in range(100)]
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 4096]
    config.pop("compile_config")
    config_refused(tmp_path, config, "the file stores")


def test_large_metric(good, tmp_path):
    for metric in ("AUC", "MeanIoU"):
        config = config_of(tmp_path / "good.keras")
        inner = {"num_thresholds": 10**9} if metric == "AUC" else {"num_classes": 10**6}
        config["compile_config"]["metrics"] = [
            {"module": "keras.metrics", "class_name": metric, "config": inner}
        ]
        config_refused(tmp_path, config, "num_thresholds|the file stores")


def test_calls_that_take_no_tensor(good, tmp_path):
    """They would run while the file is read: to fill the memory, or to change global state."""
    x = fastkeras.Input((4,))
    model = fastkeras.Model(x, fastkeras.ops.abs(fastkeras.layers.Dense(3)(x)))
    model.save(tmp_path / "good.keras")
    config = config_of(tmp_path / "good.keras")
    call = {
        "module": "keras.src.ops.numpy",
        "class_name": "Full",
        "config": {"name": "full", "shape": [10**6, 10**6], "dtype": "float32"},
        "registered_name": "Full",
        "name": "full",
        "inbound_nodes": [{"args": [0.0], "kwargs": {}}],
    }
    config["config"]["layers"].append(call)
    config_refused(tmp_path, config, "on no tensor of the model")


@pytest.mark.parametrize(
    "dtype", ["O", "1000000000f4", "V1000000000", "S100000000", "object", 5, None, "M8[ns]"]
)
@pytest.mark.parametrize("kind", ["__numpy__", "__tensor__"])
def test_array_types(good, tmp_path, kind, dtype):
    config = config_of(tmp_path / "good.keras")
    array = {"class_name": kind, "config": {"value": [1.0], "dtype": dtype}}
    config["config"]["layers"][1]["config"]["bias_initializer"] = {
        "module": "keras.initializers",
        "class_name": "Constant",
        "config": {"value": array},
        "registered_name": None,
    }
    config_refused(tmp_path, config, "array of dtype")


def test_results_without_number(good, tmp_path):
    x = fastkeras.Input((10**8,))
    call = fastkeras.Model(x, fastkeras.ops.array_split(x, 2, 1)[0])
    config = json.loads(call.to_json())
    config["config"]["layers"][1]["config"]["indices_or_sections"] = 10**8
    config_refused(tmp_path, config, "indices_or_sections=100000000")


def test_models_in_models_in_models(good, tmp_path):
    config = config_of(tmp_path / "good.keras")
    for _ in range(300):
        outer = {"name": "s", "layers": [config]}
        config = {"module": "keras", "class_name": "Sequential", "config": outer, "registered_name": None}
    config_refused(tmp_path, config, "nest")


def test_damaged_configurations(good, tmp_path):
    """Every value of a configuration replaced by others: refused with an explanation, or loaded."""
    original = config_of(tmp_path / "good.keras")
    paths = []

    def visit(x, path):
        paths.append(path)
        for k, v in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
            visit(v, (*path, k))

    visit(original, ())
    rng = np.random.RandomState(0)
    members = members_of(tmp_path / "good.keras")
    values = [
        None,
        5,
        -1,
        1e300,
        "text",
        [],
        {},
        [[]],
        {"a": 1},
        True,
        [None, 7],
        {"class_name": 5, "config": {}},
    ]
    for path in (paths[i] for i in rng.permutation(len(paths))[:80]):
        config = json.loads(members["config.json"])
        value = values[rng.randint(len(values))]
        if not path:
            continue
        place = config
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        pack(tmp_path / "bad.keras", {**members, "config.json": json.dumps(config)})
        try:
            fastkeras.saving.load_model(tmp_path / "bad.keras")
        except ValueError as e:
            assert "Expected" in str(e), (path, value, str(e))  # noqa: PT017
        except NotImplementedError:
            pass


def test_weights_list_leads_nowhere_else(good, tmp_path):
    for name in (
        "../good.weights.h5",
        "/etc/passwd.weights.h5",
        "a/b.weights.h5",
        "good.txt",
        5,
        None,
        ["x"],
        "a\0.weights.h5",
    ):
        (tmp_path / "bad.weights.json").write_text(json.dumps({"weight_map": {"/vars": name}}))
        with pytest.raises(ValueError, match="names in the same folder"):
            good.load_weights(tmp_path / "bad.weights.json")
    (tmp_path / "bad.weights.json").write_text(json.dumps({"weight_map": {"/vars": "none.weights.h5"}}))
    with pytest.raises(ValueError, match="no such file beside it"):
        good.load_weights(tmp_path / "bad.weights.json")
    (tmp_path / "bad.weights.json").write_text("{}")
    with pytest.raises(ValueError, match="names in the same folder"):
        good.load_weights(tmp_path / "bad.weights.json")
    shutil.copy(tmp_path / "good.weights.h5", tmp_path / "a.weights.h5")
    listing = {"weight_map": {"/vars": ["good.weights.h5", "a.weights.h5"]}}
    (tmp_path / "bad.weights.json").write_text(json.dumps(listing))
    with pytest.raises(ValueError, match="in another file"):
        good.load_weights(tmp_path / "bad.weights.json")


def test_content_is_not_trusted_by_its_name(good, tmp_path):
    (tmp_path / "bad.keras").write_bytes((tmp_path / "good.weights.h5").read_bytes())
    zip_refused(tmp_path / "bad.keras", "cannot be read as a zip file", good)
    (tmp_path / "bad.weights.h5").write_bytes((tmp_path / "good.keras").read_bytes())
    with pytest.raises(ValueError, match="cannot be opened as an HDF5 file"):
        good.load_weights(tmp_path / "bad.weights.h5")
    (tmp_path / "bad.keras").write_bytes(io.BytesIO(b"\x80\x04cos\nsystem\n.").getvalue())
    zip_refused(tmp_path / "bad.keras", "cannot be read as a zip file", good)
