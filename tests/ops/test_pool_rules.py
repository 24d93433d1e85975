"""What `simplify` does about the gradient of max pooling behind a ReLU: the mask and the sum move to the pooled tensor."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import _engine
from oracles import ORACLES


@pytest.mark.parametrize(
    ("size", "window", "stride", "pad"), [(8, 2, 2, 0), (9, 2, 2, 0), (9, 3, 2, 1), (7, 3, 1, 0)]
)
def test_gradient_of_relu_then_max_pool(size: int, window: int, stride: int, pad: int) -> None:
    attrs = {"window": [window] * 2, "strides": [stride] * 2, "pad_low": [pad] * 2, "pad_high": [pad] * 2}
    rng = np.random.default_rng(size)
    x = rng.uniform(-2, 1, (3, size, size, 5)).astype("float32")  # some windows are negative as a whole
    trace = _engine.Trace()
    with trace:
        given = trace.input(x.shape, "float32")
        active = _engine.call("relu", given)
        pooled = _engine.call("max_pool", active, **attrs)
        seen = trace.input(pooled.shape, "float32")
        loss = _engine.call("reduce_sum", pooled * seen, axes=[0, 1, 2, 3])
        (dx,) = _engine.gradients([loss], [given])
        total = _engine.call("reduce_sum", dx, axes=[0, 1, 2])
    dy = rng.uniform(-1, 1, pooled.shape).astype("float32")
    executable = trace.compile([dx, total])
    got, summed = (np.asarray(t) for t in executable(x, dy))

    positive = np.maximum(x, 0).astype(np.float64)
    y = ORACLES["max_pool"](positive, **attrs)
    want = ORACLES["max_pool_grad"](positive, y, dy.astype(np.float64), **attrs) * (x > 0)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(summed, want.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)

    off = _engine.config()["disable_passes"]["value"].split(",")
    if "simplify" in off or "all" in off:
        return
    whole = f"[{', '.join(map(str, x.shape))}]".replace(" ", "")
    regions = [line for line in executable.lowered_text().splitlines() if "= fused(" in line]
    # Nothing of the input's size is masked or summed any more; only the ReLU itself is computed there.
    assert sum(whole in line for line in regions) == 1
