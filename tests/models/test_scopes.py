"""Name scopes, automatic names, configuration and rematerialization requests."""

import keras
import numpy as np
import pytest
from fastkeras.core import config, dtypes, naming, remat
from fastkeras.core.global_state import clear_session
from fastkeras.core.variable import Variable


@pytest.mark.parametrize(
    "name", ["Dense", "Conv2DTranspose", "MultiHeadAttention", "LSTMCell", "A", "my_layer", "MyLSTM2"]
)
def test_names_of_classes(name):
    from keras.src.utils.naming import auto_name

    keras.backend.clear_session()
    assert [naming.auto_name(name) for _ in range(3)] == [auto_name(name) for _ in range(3)]


def test_uids():
    assert [naming.get_uid("a"), naming.get_uid("a"), naming.get_uid("b")] == [1, 2, 1]
    clear_session()
    assert naming.get_uid("a") == 1


def test_nested_scopes():
    caller = object()
    with (
        naming.name_scope("outer"),
        naming.name_scope("a", caller=caller),
        naming.name_scope("a", caller=caller),
    ):
        assert naming.current_path() == "outer/a"
        with naming.name_scope("c", override_parent="x/y"):
            assert Variable(0.0, name="v").path == "x/y/c/v"
    assert naming.current_path() == ""
    with pytest.raises(ValueError, match="cannot contain"):
        naming.name_scope("a/b")


def test_settings_follow_keras():
    for value in ("float64", "bfloat16"):
        try:
            config.set_floatx(value)
            assert config.floatx() == value and dtypes.standardize_dtype(None) == value
        finally:
            config.set_floatx("float32")
    for call in (
        lambda: config.set_floatx("int32"),
        lambda: config.set_image_data_format("first"),
        lambda: config.standardize_data_format("nchw"),
    ):
        with pytest.raises(ValueError):
            call()
    assert config.standardize_data_format(None) == "channels_last"
    assert config.standardize_data_format("CHANNELS_FIRST") == "channels_first"


@pytest.mark.parametrize(
    "dtype",
    [None, "float32", float, int, bool, np.float16, np.dtype("int8"), np.int64, "bfloat16", "uint8"],
    ids=str,
)
def test_standard_types_follow_keras(dtype):
    assert dtypes.standardize_dtype(dtype) == keras.backend.standardize_dtype(dtype)
    assert dtypes.is_float_dtype(dtype) == keras.backend.is_float_dtype(dtype)
    assert dtypes.is_int_dtype(dtype) == keras.backend.is_int_dtype(dtype)


def test_unknown_types_are_explained():
    for bad in ("float33", object(), "int"):
        with pytest.raises(ValueError, match="Invalid dtype"):
            dtypes.standardize_dtype(bad)


TYPES = ["bool", "int8", "uint8", "int32", "int64", "uint32", "float16", "bfloat16", "float32", int, float]


@pytest.mark.parametrize("a", TYPES, ids=str)
def test_result_types_follow_keras(a):
    # The oracle's backend has no 64-bit integers.
    narrow = {"int64": "int32"}
    for b in TYPES:
        mine = dtypes.result_type(a, b)
        assert narrow.get(mine, mine) == keras.backend.result_type(a, b), b
    assert dtypes.result_type("int64", "int32") == "int64"


def test_remat_modes():
    with remat.RematScope("larger_than", 10):
        assert remat.get_current_remat_mode() == ("larger_than", 10, [])
    assert remat.get_current_remat_mode() is None
    with pytest.raises(ValueError, match="Invalid mode"):
        remat.RematScope("some")
