"""Cases of attention: masks of every shape, rows that see nothing, shared keys, dropout."""

from __future__ import annotations

import numpy as np
from case_types import Case, add
from oracles_attention import ATTENTION_ORACLES

# (batch, targets, heads, depth), (sources, key heads, value depth), attributes, shape of the mask
_SEED = np.array([7, 11], "uint32")
for _query, _key, _attrs, _mask in (
    ((2, 5, 3, 4), (7, 3, 6), {}, None),
    ((1, 37, 2, 16), (37, 2, 16), {"causal": True}, None),
    ((2, 9, 4, 8), (21, 2, 8), {"rate": 0.25}, (2, 1, 1, 21)),
    ((1, 40, 2, 5), (40, 1, 17), {"causal": True, "rate": 0.5}, (1, 1, 40, 40)),
    ((2, 3, 2, 4), (19, 2, 4), {"blank_zero": True}, (2, 2, 3, 19)),
    ((1, 70, 1, 20), (300, 1, 3), {"blank_zero": True, "rate": 0.1}, (1, 1, 70, 1)),
    ((1, 6, 1, 4), (4, 1, 4), {"causal": True}, None),
    # More targets than the gradients of keys are summed over at a time.
    ((1, 150, 2, 16), (150, 1, 8), {"causal": True}, None),
    ((1, 150, 1, 4), (70, 1, 4), {"causal": True, "rate": 0.2}, None),
):
    _rng = np.random.default_rng(sum(_query) + sum(_key))
    _shapes = _query, (_query[0], *_key[:2], _query[3]), (_query[0], *_key)
    _q, _k, _v = (_rng.uniform(-2, 2, s).astype("float32") for s in _shapes)
    # Some rows of the masks hide everything.
    _seen = np.ones((1, 1, 1, 1), bool) if _mask is None else _rng.random(_mask) < 0.4
    _attrs = {"scale": 0.4, **_attrs}
    _wide = [a.astype(np.float64) for a in (_q, _k, _v)]
    _statistics = ATTENTION_ORACLES["attention"](*_wide, _seen, _SEED, **_attrs)[1].astype("float32")
    _why = "sums over sources of terms of either sign"
    add(
        "attention",
        Case([_q, _k, _v, _seen, _SEED], _attrs, (1e-5, 1e-5), _why, grad="checked in test_attention.py"),
    )
    _dy = _rng.uniform(-2, 2, (*_query[:3], _key[2])).astype("float32")
    add(
        "attention_grad",
        Case(
            [_q, _k, _v, _seen, _SEED, _statistics, _dy],
            _attrs,
            (2e-5, 2e-5),
            _why,
            grad="checked in test_attention.py",
        ),
    )
