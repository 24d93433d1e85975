"""Fourier transforms, as products with small matrices of sines and cosines.

A transform of length n = a * b is a transforms of length b and b of length a with a rotation between them;
lengths are split until they are small, where one matrix product does the rest. Complex numbers are pairs of
tensors, the real and the imaginary part.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.ops._common import (
    FLOATS,
    HALVES,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    call,
    cast_to,
    cut,
    iota,
    join,
    reshape,
    symbolic_op,
)

Pair = tuple[Tensor, Tensor]

# Up to this length a transform is one matrix product; longer primes are computed as a convolution.
_DIRECT = 64
_DIRECT_PRIME = 256


@symbolic_op
def fft(x: tuple[TensorLike, TensorLike]) -> Pair:
    """The discrete Fourier transform along the last dimension.

    Args:
        x: the real and the imaginary part.

    Returns:
        The real and the imaginary part.
    """
    return _transform(*_pair(x, 1, "fft"), inverse=False)


@symbolic_op
def fft2(x: tuple[TensorLike, TensorLike]) -> Pair:
    """The discrete Fourier transform along the last two dimensions; see `fft`."""
    return _transform2(*_pair(x, 2, "fft2"), inverse=False)


@symbolic_op
def ifft2(x: tuple[TensorLike, TensorLike]) -> Pair:
    """Undoes `fft2`."""
    re, im = _pair(x, 2, "ifft2")
    scale = 1.0 / (re.shape[-1] * re.shape[-2])
    re, im = _transform2(re, im, inverse=True)
    return re * scale, im * scale


@symbolic_op
def rfft(x: TensorLike, fft_length: int | None = None) -> Pair:
    """The discrete Fourier transform of real numbers along the last dimension: its first half and the middle.

    Args:
        x: a tensor.
        fft_length: the length of the transform; longer ones are cut off, shorter ones padded with 0.

    Returns:
        The real and the imaginary part, (..., fft_length // 2 + 1).
    """
    x = as_float(x)
    if x.ndim < 1:
        raise ValueError("ops.rfft needs a tensor of at least 1 dimension; received a scalar.")
    return _rfft(_fit(x, fft_length or x.shape[-1]))


def _rfft(x: Tensor) -> Pair:
    n, dtype = x.shape[-1], x.dtype
    x = cast_to(x, "float32") if dtype in HALVES else x
    half = n // 2 + 1
    if n <= 4 * _DIRECT:
        out = _multiply(x, _real_matrix(n), x.dtype)
        re, im = cut(out, x.ndim - 1, 0, half), cut(out, x.ndim - 1, half, 2 * half)
    else:
        re, im = _transform(x, None, inverse=False)
        re, im = cut(re, x.ndim - 1, 0, half), cut(im, x.ndim - 1, 0, half)
    return cast_to(re, dtype), cast_to(im, dtype)


@symbolic_op
def irfft(x: tuple[TensorLike, TensorLike], fft_length: int | None = None) -> Tensor:
    """Undoes `rfft`: real numbers from the first half of their transform.

    Args:
        x: the real and the imaginary part, (..., n // 2 + 1).
        fft_length: n, the length of the result; 2 * (size - 1) if None.
    """
    re, im = _pair(x, 1, "irfft")
    return _irfft(re, im, fft_length or 2 * (re.shape[-1] - 1))


def _irfft(re: Tensor, im: Tensor, n: int) -> Tensor:
    last, half = re.ndim - 1, n // 2 + 1
    re, im = _fit(re, half), _fit(im, half)
    if n <= 4 * _DIRECT:
        return _multiply(join([re, im], last), _inverse_real_matrix(n), re.dtype)
    # The other half is the mirror image, conjugate; the ends have none.
    stop = half - 1 if n % 2 == 0 else half
    mirror_re = call("reverse", cut(re, last, 1, stop), axes=[last])
    mirror_im = -call("reverse", cut(im, last, 1, stop), axes=[last])
    # The imaginary parts of the ends do not count.
    ends = np.ones(half)
    ends[0] = 0.0
    if n % 2 == 0:
        ends[-1] = 0.0
    im = im * _engine.tensor(ends, im.dtype)
    out, _ = _transform(join([re, mirror_re], last), join([im, mirror_im], last), inverse=True)
    return out * (1.0 / n)


# ------------------------------------------------------------------------------------------- the transform


def _pair(x: Any, rank: int, op: str) -> Pair:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"Input `x` of ops.{op} should be a tuple of two tensors - real and imaginary. Received: x={x}"
        )
    re, im = as_tensor(x[0]), as_tensor(x[1])
    if re.shape != im.shape:
        raise ValueError(
            "The real and imaginary parts should have the same shape. Received: "
            f"x[0].shape = {re.shape}, x[1].shape = {im.shape}"
        )
    if re.dtype not in FLOATS or im.dtype != re.dtype:
        raise ValueError(
            f"The real and imaginary parts should be of one float type. Received {re.dtype}, {im.dtype}."
        )
    if re.ndim < rank:
        raise ValueError(f"Input of ops.{op} should have rank >= {rank}. Received: input.shape = {re.shape}")
    return re, im


def _fit(x: Tensor, n: int) -> Tensor:
    """Cuts or pads the last dimension to n."""
    size = x.shape[-1]
    if size >= n:
        return cut(x, x.ndim - 1, 0, n)
    return call("pad", x, low=[0] * x.ndim, high=[0] * (x.ndim - 1) + [n - size])


def _transform2(re: Tensor, im: Tensor, inverse: bool) -> Pair:
    perm = [*range(re.ndim - 2), re.ndim - 1, re.ndim - 2]
    re, im = _transform(re, im, inverse)
    re, im = call("transpose", re, perm=perm), call("transpose", im, perm=perm)
    re, im = _transform(re, im, inverse)
    return call("transpose", re, perm=perm), call("transpose", im, perm=perm)


def _transform(re: Tensor, im: Tensor | None, inverse: bool) -> Pair:
    """The transform of the last dimension (without 1 / n if inverse); `im` None stands for zeros."""
    dtype = re.dtype
    if dtype in HALVES:
        re = call("cast", re, dtype="float32")
        im = None if im is None else call("cast", im, dtype="float32")
    re, im = _fft(re, im, inverse)
    return cast_to(re, dtype), cast_to(im, dtype)


def _fft(re: Tensor, im: Tensor | None, inverse: bool) -> Pair:
    n = re.shape[-1]
    a = _factor(n)
    if n <= _DIRECT or (a == n and n <= _DIRECT_PRIME):
        return _direct(re, im, inverse)
    if a == n:
        return _bluestein(re, im, inverse)
    b = n // a
    last = re.ndim - 1
    split, swap = [*re.shape[:-1], a, b], [*range(last), last + 1, last]

    def transposed(t: Tensor, shape: list[int] | None = None) -> Tensor:
        return call("transpose", t if shape is None else call("reshape", t, shape=shape), perm=swap)

    # Position b * i + j, frequency k + a * l. Over i first, into k; then a rotation by j * k; then over j,
    # into l.
    re, im = _fft(transposed(re, split), None if im is None else transposed(im, split), inverse)
    angle = np.outer(np.arange(b), np.arange(a)) * (2 * math.pi / n)
    cos, sin = (
        _engine.tensor(np.cos(angle), re.dtype),
        _engine.tensor(np.sin(angle) * (1 if inverse else -1), re.dtype),
    )
    re, im = re * cos - im * sin, re * sin + im * cos
    re, im = _fft(transposed(re), transposed(im), inverse)
    return tuple(call("reshape", transposed(t), shape=[*t.shape[:-2], n]) for t in (re, im))


@functools.lru_cache(maxsize=256)
def _factor(n: int) -> int:
    """The factor of n to split it by: the largest up to its root, or n if it is prime."""
    for a in range(math.isqrt(n), 1, -1):
        if n % a == 0:
            return a
    return n


def _multiply(x: Tensor, matrix: np.ndarray, dtype: str) -> Tensor:
    """x times a constant matrix, over the last dimension."""
    flat = reshape(x, [x.size // x.shape[-1], x.shape[-1]])
    out = call("matmul", flat, _engine.tensor(matrix, dtype))
    return reshape(out, [*x.shape[:-1], matrix.shape[1]])


def _direct(re: Tensor, im: Tensor | None, inverse: bool) -> Pair:
    n, last = re.shape[-1], re.ndim - 1
    x = re if im is None else join([re, im], last)
    out = _multiply(x, _complex_matrix(n, inverse)[: x.shape[-1]], re.dtype)
    return cut(out, last, 0, n), cut(out, last, n, 2 * n)


def _angles(n: int, frequencies: int) -> np.ndarray:
    # The product modulo n first: sines of large angles lose digits.
    return np.outer(np.arange(n), np.arange(frequencies)) % n * (2 * math.pi / n)


@functools.lru_cache(maxsize=64)
def _complex_matrix(n: int, inverse: bool) -> np.ndarray:
    """[re, im] @ this = [re, im] of the transform."""
    angle = _angles(n, n)
    cos, sin = np.cos(angle), np.sin(angle) * (-1.0 if inverse else 1.0)
    return np.block([[cos, -sin], [sin, cos]])


@functools.lru_cache(maxsize=64)
def _real_matrix(n: int) -> np.ndarray:
    angle = _angles(n, n // 2 + 1)
    return np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)


@functools.lru_cache(maxsize=64)
def _inverse_real_matrix(n: int) -> np.ndarray:
    half = n // 2 + 1
    angle = _angles(n, half).T
    # Every frequency but the ends stands for its mirror image, too.
    share = np.full((half, 1), 2.0 / n)
    share[0] = 1.0 / n
    if n % 2 == 0:
        share[-1] = 1.0 / n
    return np.concatenate([np.cos(angle) * share, -np.sin(angle) * share], axis=0)


def _bluestein(re: Tensor, im: Tensor | None, inverse: bool) -> Pair:
    """A transform of prime length as a convolution with a chirp, done by transforms of a power of two."""
    n = re.shape[-1]
    m = 1 << (2 * n - 2).bit_length()
    i = np.arange(n, dtype=np.int64)
    angle = (i * i % (2 * n)) * (math.pi / n) * (-1.0 if inverse else 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    chirp = np.zeros(m, np.complex128)
    chirp[:n] = cos + 1j * sin
    chirp[m - n + 1 :] = chirp[1:n][::-1]
    spectrum = np.fft.fft(chirp)
    dtype = re.dtype
    c, s = _engine.tensor(cos, dtype), _engine.tensor(sin, dtype)
    fr, fi = _engine.tensor(spectrum.real, dtype), _engine.tensor(spectrum.imag, dtype)
    if im is None:
        ar, ai = re * c, -(re * s)
    else:
        ar, ai = re * c + im * s, im * c - re * s
    ar, ai = _fft(_fit(ar, m), _fit(ai, m), False)
    ar, ai = _fft(ar * fr - ai * fi, ar * fi + ai * fr, True)
    ar, ai = cut(ar, ar.ndim - 1, 0, n) * (1.0 / m), cut(ai, ai.ndim - 1, 0, n) * (1.0 / m)
    return ar * c + ai * s, ai * c - ar * s


# ------------------------------------------------------------------------------------ short-time transforms


@symbolic_op
def stft(
    x: TensorLike,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: str | TensorLike | None = "hann",
    center: bool = True,
) -> Pair:
    """The Fourier transforms of overlapping parts of a signal.

    Args:
        x: float32 or float64, the signal in its last dimension.
        sequence_length: the length of a part.
        sequence_stride: the distance between two parts.
        fft_length: the length of the transform, at least that of a part.
        window: "hann", "hamming", sequence_length weights, or None.
        center: whether part t is centred at t * sequence_stride; the signal is mirrored at its ends.

    Returns:
        The real and the imaginary part, (..., parts, fft_length // 2 + 1).
    """
    x = as_tensor(x)
    if x.dtype not in ("float32", "float64"):
        raise TypeError(
            f"Invalid input type. Expected `float32` or `float64`. Received: input type={x.dtype}"
        )
    weights = _window(window, sequence_length, sequence_stride, fft_length, x.dtype)
    last = x.ndim - 1
    if center:
        places = np.pad(np.arange(x.shape[-1], dtype=np.int32), fft_length // 2, mode="reflect")
        x = call("gather", x, _engine.tensor(places), axis=last)
    if x.shape[-1] < fft_length:
        raise ValueError(
            f"A signal of {x.shape[-1]} samples is shorter than one part, fft_length={fft_length}."
        )
    parts = (x.shape[-1] - fft_length) // sequence_stride + 1
    start = call("reshape", iota(parts), shape=[parts, 1]) * sequence_stride
    frames = call("gather", x, start + iota(fft_length), axis=last)
    return _rfft(frames if weights is None else frames * weights)


@symbolic_op
def istft(
    x: tuple[TensorLike, TensorLike],
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: str | TensorLike | None = "hann",
    center: bool = True,
) -> Tensor:
    """Undoes `stft`: the signal from the transforms of its parts.

    Args:
        x: the real and the imaginary part, (..., parts, fft_length // 2 + 1).
        sequence_length, sequence_stride, fft_length, window, center: as for `stft`.
        length: the length of the result; what the parts cover if None.
    """
    re, im = _pair(x, 2, "istft")
    weights = _window(window, sequence_length, sequence_stride, fft_length, re.dtype)
    frames = _irfft(re, im, fft_length)
    if weights is None:
        weights = _engine.tensor(np.ones(fft_length), re.dtype)
    covered = _overlap_add(call("broadcast_to", weights * weights, shape=frames.shape[-2:]), sequence_stride)
    out = _overlap_add(frames * weights, sequence_stride)
    out = out / call("where", call("greater", covered, 1e-10), covered, 1.0)
    if window is None:
        # Without a window nothing was weighted: the parts are added as they are.
        out = out * (fft_length / sequence_stride)
    total, start = out.shape[-1], fft_length // 2 if center else 0
    if length is not None:
        return cut(out, out.ndim - 1, start, min(start + length, total))
    return cut(out, out.ndim - 1, start, total - start if center else total)


def _window(window: Any, length: int, stride: int, fft_length: int, dtype: str) -> Tensor | None:
    """The weights, padded with 0 to the length of the transform."""
    if not isinstance(stride, int) or stride <= 0:
        raise ValueError(f"`sequence_stride` must be a positive integer. Received: sequence_stride={stride}")
    if fft_length < length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. Received: "
            f"sequence_length={length}, fft_length={fft_length}"
        )
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                'If a string is passed to `window`, it must be one of `"hann"`, `"hamming"`. '
                f"Received: window={window}"
            )
        mean = 0.5 if window == "hann" else 0.54
        weights = _engine.tensor(mean - (1 - mean) * np.cos(2 * math.pi * np.arange(length) / length), dtype)
    else:
        weights = as_tensor_of(window, dtype)
        if weights.shape != (length,):
            raise ValueError(
                "The shape of `window` must be equal to [sequence_length]. Received: window "
                f"shape={weights.shape}"
            )
    front = (fft_length - length) // 2
    if length == fft_length:
        return weights
    return call("pad", weights, low=[front], high=[fft_length - length - front])


def _overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Adds up frames (..., n, length), each `stride` after the one before, to one signal."""
    *lead, n, length = frames.shape
    last = frames.ndim - 1
    pieces = -(-length // stride)
    frames = _fit(frames, pieces * stride)
    total: Any = None
    for i in range(pieces):
        # The i-th piece of every frame, side by side, begins i strides into the result.
        piece = reshape(cut(frames, last, i * stride, (i + 1) * stride), [*lead, n * stride])
        low, high = [0] * len(lead) + [i * stride], [0] * len(lead) + [(pieces - 1 - i) * stride]
        piece = call("pad", piece, low=low, high=high)
        total = piece if total is None else total + piece
    return cut(total, last - 1, 0, (n - 1) * stride + length)
