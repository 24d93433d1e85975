"""Activations against Keras, and their names in configurations."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Case, data, run_case

X = data((4, 6), low=-4, high=8)
CASES = [
    Case(n, X)
    for n in (
        "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu "
        "linear log_sigmoid log_softmax mish relu "
        "relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid "
        "squareplus swish tanh tanh_shrink"
    ).split()
]
CASES += [
    Case("relu", X, **kw)
    for kw in (
        {"negative_slope": 0.1},
        {"max_value": 6},
        {"max_value": 3.0},
        {"threshold": 1.0},
        {"threshold": 1.0, "negative_slope": 0.1},
        {"threshold": 1.0, "negative_slope": 0.1, "max_value": 5.0},
        {"negative_slope": 0.2, "max_value": 2.0},
        {"max_value": 6, "threshold": 2.0},
    )
]
CASES += [
    Case("threshold", X, 1.0, -2.0),
    Case("gelu", X, approximate=True),
    Case("softmax", X, axis=0),
    Case("relu", data((5,), "int32", -3, 3)),
]


@pytest.mark.parametrize("c", CASES, ids=repr)
def test_activation(c):
    run_case(c, "activations")


def test_names():
    from fastkeras import activations

    for name in [
        n
        for n in dir(activations)
        if callable(getattr(activations, n))
        and n not in ("get", "serialize", "deserialize", "Any", "Callable")
        and not n.startswith("_")
    ]:
        f = getattr(activations, name)
        assert activations.get(name) is f
        assert activations.get(activations.serialize(f)) is f
    assert activations.serialize(activations.swish) == "silu"
    assert activations.get(None) is activations.linear
    assert activations.get(np.tanh) is np.tanh
    with pytest.raises(ValueError, match="'nope'"):
        activations.get("nope")
    with pytest.raises(ValueError, match="3"):
        activations.get(3)


def test_custom_activation():
    from fastkeras import activations
    from fastkeras.saving.object_registration import register_keras_serializable

    @register_keras_serializable(package="test_ops")
    def doubled(x):
        return x * 2

    name = activations.serialize(doubled)
    assert activations.deserialize(name) is doubled
    assert activations.deserialize("mine", custom_objects={"mine": doubled}) is doubled
