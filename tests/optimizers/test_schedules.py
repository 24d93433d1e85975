"""Learning-rate schedules against Keras (JAX backend), over steps and as parts of configs."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

from fastkeras import _engine, ops  # noqa: E402
from fastkeras.optimizers import schedules  # noqa: E402

CASES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.8}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.8, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.8}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7.5, "decay_rate": 2, "staircase": True},
    ),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "PolynomialDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 20,
            "end_learning_rate": 0.02,
            "power": 0.5,
            "cycle": True,
        },
    ),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10, 20], "values": [1.0, 0.5, 0.1, 0.01]}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.01,
            "decay_steps": 20,
            "alpha": 0.1,
            "warmup_target": 0.2,
            "warmup_steps": 8,
        },
    ),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 20, "warmup_target": 0.2}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 6}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.9},
    ),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1},
    ),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 19, 20, 21, 28, 40, 50]


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_values(name, kwargs):
    ours, theirs = getattr(schedules, name)(**kwargs), getattr(keras.optimizers.schedules, name)(**kwargs)
    theirs = jax.jit(theirs)
    for step in STEPS:
        got, want = ours(step), theirs(step)
        assert (got.shape, got.dtype) == ((), "float32")
        # atol: at the end of a cosine, 1 + cos is a difference of equal numbers.
        np.testing.assert_allclose(float(got), float(want), rtol=1e-5, atol=1e-8, err_msg=str(step))


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_traced(name, kwargs):
    schedule = getattr(schedules, name)(**kwargs)
    with _engine.Trace() as trace:
        run = trace.compile([schedule(trace.input((), "int32"))])
    for step in STEPS:
        assert float(run(np.array(step, "int32"))[0]) == pytest.approx(
            float(schedule(step)), rel=1e-5, abs=1e-8
        )


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_config(name, kwargs):
    ours, theirs = getattr(schedules, name)(**kwargs), getattr(keras.optimizers.schedules, name)(**kwargs)
    assert ours.get_config() == theirs.get_config()
    serialized = schedules.serialize(ours)
    assert serialized == keras.optimizers.schedules.serialize(theirs)
    assert schedules.deserialize(serialized).get_config() == ours.get_config()
    plain = {"class_name": name, "config": kwargs}
    assert float(schedules.deserialize(plain)(3)) == float(ours(3))


def test_whole_number_rates():
    # Keras makes such a rate an integer tensor, and every later value 0.
    schedule = schedules.CosineDecay(0, 10, warmup_target=0.1, warmup_steps=10)
    assert float(schedule(5)) == pytest.approx(0.05)


def test_custom():
    class Half(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** ops.cast(step, "float32")

    assert float(Half()(2)) == 0.25
    with pytest.raises(NotImplementedError, match="get_config"):
        Half().get_config()
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(0)


def test_errors():
    with pytest.raises(ValueError, match="decay_steps"):
        schedules.ExponentialDecay(0.1, 0, 0.9)
    with pytest.raises(ValueError, match="first_decay_steps"):
        schedules.CosineDecayRestarts(0.1, -1)
    with pytest.raises(ValueError, match="one more"):
        schedules.PiecewiseConstantDecay([1], [0.1])
