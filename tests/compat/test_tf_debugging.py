"""tf.debugging: each assertion, held and broken."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

d = tf.debugging
GOOD = {
    "assert_equal": ([1, 2], [1, 2]),
    "assert_none_equal": ([1, 2], [2, 3]),
    "assert_greater": ([2.0, 3.0], 1.0),
    "assert_greater_equal": ([1, 2], [1, 1]),
    "assert_less": (1, [2, 3]),
    "assert_less_equal": ([1, 2], 2),
    "assert_near": ([1.0, 2.0], [1.0 + 1e-7, 2.0]),
    "assert_positive": ([1, 2],),
    "assert_negative": ([-1.0],),
    "assert_non_negative": ([0, 2],),
    "assert_non_positive": ([0, -2],),
    "assert_rank": (np.ones((2, 3)), 2),
    "assert_rank_at_least": (np.ones((2, 3)), 1),
    "assert_rank_in": (np.ones((2, 3)), [1, 2]),
    "assert_scalar": (1.0,),
    "assert_type": ([1.0], tf.float32),
    "assert_integer": ([1],),
    "assert_all_finite": ([1.0], "not finite"),
    "check_numerics": ([1.0], "not finite"),
}
BAD = {
    "assert_equal": (([1, 2], [1, 3]), r"1 of 2 are not \(first at index \(1,\)\)"),
    "assert_none_equal": (([1, 2], [1, 3]), "x != y"),
    "assert_greater": (([2.0, 1.0], 1.0), "x > y"),
    "assert_greater_equal": (([0, 2], [1, 1]), "x >= y"),
    "assert_less": ((2, [2, 3]), "x < y"),
    "assert_less_equal": (([1, 3], 2), "x <= y"),
    "assert_near": (([1.0, 2.0], [1.1, 2.0]), "differ by up to 0.1"),
    "assert_positive": (([1, 0],), "positive"),
    "assert_negative": (([0.0],), "negative"),
    "assert_non_negative": (([-1],), "non-negative"),
    "assert_non_positive": (([1],), "non-positive"),
    "assert_rank": ((np.ones((2, 3)), 3), r"3 dimensions.*\(2, 3\)"),
    "assert_rank_at_least": ((np.ones((2, 3)), 3), "at least 3"),
    "assert_rank_in": ((np.ones((2, 3)), [1, 3]), r"\[1, 3\]"),
    "assert_scalar": (([1.0],), "0 dimensions"),
    "assert_type": (([1.0], tf.int32), "int32.*float32"),
    "assert_integer": (([1.5],), "integer type"),
    "assert_all_finite": (([np.inf], "weights"), "weights.*infinity"),
    "check_numerics": (([np.nan, 1.0], "loss"), "loss.*NaN"),
}


@pytest.mark.parametrize("name", GOOD)
def test_held(name):
    getattr(d, name)(*GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_broken(name):
    args, message = BAD[name]
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(d, name)(*args)
    if name not in ("assert_all_finite", "check_numerics"):
        with pytest.raises((ValueError, TypeError), match="of mine"):
            getattr(d, name)(*args, message="A message of mine.")


def test_top_level_names():
    for name in ("assert_equal", "assert_greater", "assert_less", "assert_rank"):
        assert getattr(tf, name) is getattr(d, name)


def test_shapes():
    a, b = np.ones((2, 3)), np.ones((3, 4))
    d.assert_shapes([(a, ("n", "k")), (b, ("k", 4)), (a, (None, 3)), (np.ones((9, 2, 3)), ("...", 2, "k"))])
    d.assert_shapes({tf.constant(a): ("n", "k")})
    with pytest.raises(ValueError, match="'k': 3"):
        d.assert_shapes([(a, ("n", "k")), (b, ("k", "k"))])
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        d.assert_shapes([(a, ("n",))])


def test_while_traced():
    @tf.function
    def f(x):
        d.assert_equal(x, 0.0)
        d.assert_near(x, 0.0)
        d.assert_rank(x, 1)
        return d.check_numerics(x, "x") * 2

    assert f(tf.constant([1.0])).numpy().tolist() == [2]
    with pytest.raises(ValueError, match="1 dimensions"):
        f(tf.constant(1.0))
    assert d.is_numeric_tensor(tf.constant(1)) and not d.is_numeric_tensor(tf.constant(True))
