"""Fourier transforms and connectionist temporal classification against Keras and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import ops
from oracle import Case, data, run_case

X = data((2, 3, 40))
CASES = [
    Case("fft", (X, data((2, 3, 40), seed=1))),
    Case("fft2", (X, data((2, 3, 40), seed=1))),
    Case("ifft2", (X, data((2, 3, 40), seed=1))),
    Case("rfft", X),
    Case("rfft", X, fft_length=32),
    Case("rfft", X, fft_length=51),
    Case("irfft", (X, data((2, 3, 40), seed=1))),
    Case("irfft", (X, X), fft_length=60),
    Case("irfft", (X, X), fft_length=79),
    *[
        Case("stft", data((2, 200)), 32, 8, n, window=w, center=c, tol=1e-4)
        for n in (32, 40)
        for w in ("hann", "hamming", None)
        for c in (True, False)
    ],
    Case("stft", data((200,)), 16, 5, 16, window=np.linspace(0.1, 1, 16, dtype="float32"), tol=1e-4),
    *[
        Case("istft", (data((2, 9, 17)), data((2, 9, 17), seed=1)), 32, 8, 32, window=w, center=c, tol=1e-4)
        for w in ("hann", "hamming", None)
        for c in (True, False)
        if not (w == "hann" and not c)
    ],
    Case("istft", (data((9, 17)), data((9, 17), seed=1)), 32, 10, 32, length=70, window="hamming", tol=1e-4),
]


@pytest.mark.parametrize("c", CASES, ids=repr)
def test_transform(c):
    run_case(c)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 65, 96, 127, 256, 263, 509, 1000, 1024])
def test_lengths(n):
    """Every way of splitting a length, in doubles against NumPy."""
    rng = np.random.default_rng(n)
    re, im = rng.normal(size=(2, n)), rng.normal(size=(2, n))
    want = np.fft.fft(re + 1j * im)
    got = ops.fft((re, im))
    np.testing.assert_allclose(got[0].numpy(), want.real, atol=1e-9 * n)
    np.testing.assert_allclose(got[1].numpy(), want.imag, atol=1e-9 * n)
    half = ops.rfft(re)
    np.testing.assert_allclose(half[0].numpy() + 1j * half[1].numpy(), np.fft.rfft(re), atol=1e-9 * n)
    if n > 1:
        np.testing.assert_allclose(ops.irfft(half, fft_length=n).numpy(), re, atol=1e-9)


def test_stft_and_back():
    x = data((2, 256))
    z = ops.stft(x, 64, 16, 64)
    np.testing.assert_allclose(ops.istft(z, 64, 16, 64, length=256).numpy(), x, atol=1e-4)


LOGITS = data((4, 12, 6), low=-3, high=3)
LABELS = np.array([[1, 2, 2, 3], [5, 4, 3, 2], [1, 1, 1, 0], [2, 0, 0, 0]], "int32")
LENGTHS, TIMES = np.array([4, 4, 3, 1], "int32"), np.array([12, 9, 12, 5], "int32")
CTC = [
    Case("ctc_loss", LABELS, LOGITS, LENGTHS, TIMES, tol=1e-4),
    Case("ctc_loss", LABELS % 5, LOGITS, LENGTHS, TIMES, mask_index=5, tol=1e-4),
    Case("ctc_decode", LOGITS, TIMES),
    Case("ctc_decode", LOGITS, TIMES, merge_repeated=False, mask_index=3),
    Case("ctc_decode", LOGITS, TIMES, mask_index=None),
]


@pytest.mark.parametrize("c", CTC, ids=repr)
def test_ctc(c):
    run_case(c)


def test_ctc_gradient():
    """By central differences along a random direction."""
    from fastkeras import _engine

    x = LOGITS.astype("float64")
    direction = np.random.default_rng(0).normal(size=x.shape)
    t = _engine.tensor(x)
    (g,) = _engine.gradients([ops.sum(ops.ctc_loss(LABELS, t, LENGTHS, TIMES))], [t])

    def at(e):
        return float(ops.sum(ops.ctc_loss(LABELS, x + e * direction, LENGTHS, TIMES)))

    np.testing.assert_allclose((g.numpy() * direction).sum(), (at(1e-5) - at(-1e-5)) / 2e-5, rtol=1e-6)
    with pytest.raises(NotImplementedError, match="beam_search"):
        ops.ctc_decode(LOGITS, TIMES, strategy="beam_search")
