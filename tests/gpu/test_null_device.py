"""Every plan of the benchmarked models, compiled with NVRTC for a GPU that need not be there."""

import importlib
import sys
from pathlib import Path

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine

MODELS = Path(__file__).resolve().parents[2] / "benchmarks"
# Kernels that a training step spends its time in: they hold their values in registers.
HOT = ("map", "rows", "columns", "matmul", "conv", "gather")


@pytest.fixture(autouse=True)
def nvrtc_of_pip():
    _engine.set_config("cuda_libraries", "")


def kind(name: str) -> str:
    return name.removeprefix("fk_").rsplit("_", 1)[0]


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("mlp", None),
        ("convnet", None),
        ("wide_deep", None),
        ("bilstm", None),
        ("transformer", None),
        ("gpt", "mixed_bfloat16"),
        ("resnet50", None),
        ("mobilenetv2", "mixed_float16"),
    ],
)
def test_training_and_prediction_compile_without_spills(name, policy, compiled, monkeypatch):
    monkeypatch.syspath_prepend(str(MODELS))
    module = importlib.import_module(f"models.{name}")
    before = keras.mixed_precision.global_policy()
    if policy:
        keras.mixed_precision.set_global_policy(policy)
    try:
        x, y = module.data(np)
        model = module.build(keras)
        few = {k: v[: module.BATCH] for k, v in x.items()} if isinstance(x, dict) else x[: module.BATCH]
        model.train_on_batch(few, y[: module.BATCH])
        model.predict(few, batch_size=module.BATCH, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy(before)
        sys.modules.pop(f"models.{name}", None)
    kernels = 0
    for executable in compiled:
        _, _, facts, _ = executable.compile_for_gpu("sm_90")
        kernels += len(facts)
        spilling = [k for k in facts if kind(k["name"]) in HOT and (k["spill_stores"] or k["spill_loads"])]
        assert spilling == []
        assert all(0 < k["registers"] <= 255 for k in facts)
    assert kernels > 5


def test_another_architecture(compiled):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "gelu")])
    model.predict(np.zeros((2, 8), "float32"), verbose=0)
    for architecture in ("sm_80", "sm_90a"):
        assert compiled[-1].compile_for_gpu(architecture)[2]
    with pytest.raises(ValueError, match="sm_90"):
        compiled[-1].compile_for_gpu("hopper")
