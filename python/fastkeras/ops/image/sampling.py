"""Images sampled at given coordinates: map_coordinates; affine, perspective and elastic transforms."""

from __future__ import annotations

from typing import Any

from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    call,
    canonical_shape,
    cast_to,
    iota,
    join,
    same_dtype,
    symbolic_op,
)
from fastkeras.ops.image._layout import Batch
from fastkeras.ops.image.filters import gaussian_blur

_ORDERS = {"nearest": 0, "bilinear": 1}
_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


@symbolic_op
def map_coordinates(
    inputs: TensorLike,
    coordinates: TensorLike,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Tensor:
    """The values of `inputs` at any coordinates.

    Args:
        inputs: a tensor of k dimensions.
        coordinates: (k, ...): for each result, its place along every dimension.
        order: 0 for the nearest value, 1 to interpolate linearly.
        fill_mode: what lies outside: "constant" (`fill_value`), "nearest" (the border), "wrap" (the tensor
            again), "mirror" (the tensor mirrored, the border once) or "reflect" (the border twice).
    """
    x = as_tensor(inputs)
    if isinstance(coordinates, (list, tuple)):
        rows = same_dtype([as_tensor(c) for c in coordinates])
        coordinates = join([call("reshape", c, shape=[1, *c.shape]) for c in rows], 0)
    coordinates = as_tensor(coordinates)
    if coordinates.ndim < 2 or coordinates.shape[0] != x.ndim:
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`, and another must follow "
            "it. "
            f"Received inputs with shape: {x.shape} and coordinates with shape {coordinates.shape}"
        )
    if order not in (0, 1):
        raise ValueError(
            f"Invalid value for argument `order`. Expected one of [0, 1]. Received: order={order}"
        )
    _check_mode(fill_mode)
    places = [coordinates[i] for i in range(x.ndim)]
    flat = call("reshape", x, shape=[x.size, 1])
    out = _sample(flat, list(x.shape), places, None, order, fill_mode, fill_value)
    return call("reshape", out, shape=places[0].shape)


def _check_mode(fill_mode: str) -> None:
    if fill_mode not in _FILL_MODES:
        raise ValueError(
            f"Invalid value for argument `fill_mode`. Expected one of {_FILL_MODES}. Received: "
            f"fill_mode={fill_mode}"
        )


def _check_interpolation(interpolation: str) -> int:
    if interpolation not in _ORDERS:
        raise ValueError(
            f"Invalid value for argument `interpolation`. Expected of one {set(_ORDERS)}. Received: "
            f"interpolation={interpolation}"
        )
    return _ORDERS[interpolation]


def _sample(
    flat: Tensor,
    sizes: list[int],
    places: list[Tensor],
    base: Tensor | None,
    order: int,
    mode: str,
    fill: float,
) -> Tensor:
    """Values of a flattened tensor (places, channels) at coordinates, in the shape of these and the channels.

    `base` is added to every position: where the image of a batch begins.
    """
    dtype = flat.dtype
    if dtype not in FLOATS:
        flat = call("cast", flat, dtype="float32")
    work = flat.dtype
    corners = [_corners(cast_to(p, work) if p.dtype in FLOATS else p, order, work) for p in places]
    total: Any = None
    for choice in range(2 ** len(places) if order else 1):
        row: Any = None
        weight: Any = None
        valid: Any = None
        stride = 1
        for d in range(len(places) - 1, -1, -1):
            index, share = corners[d][choice >> d & 1 if order else 0]
            n = sizes[d]
            if mode == "constant":
                inside = call("logical_and", call("greater_equal", index, 0), call("less", index, n))
                valid = inside if valid is None else call("logical_and", valid, inside)
            index = _fold_index(index, n, mode) * stride if stride != 1 else _fold_index(index, n, mode)
            row = index if row is None else row + index
            if share is not None:
                weight = share if weight is None else weight * share
            stride *= n
        if base is not None:
            row = row + base
        value = call("gather", flat, row, axis=0)
        if valid is not None:
            value = call("where", call("reshape", valid, shape=[*valid.shape, 1]), value, float(fill))
        if weight is not None:
            value = value * call("reshape", weight, shape=[*weight.shape, 1])
        total = value if total is None else total + value
    if dtype not in FLOATS:
        total = call("cast", _round_away(total), dtype=dtype)
    return total


def _round_away(x: Tensor) -> Tensor:
    """Rounds halves away from 0."""
    return call("sign", x) * call("floor", call("abs", x) + 0.5)


def _corners(place: Tensor, order: int, work: str) -> list[tuple[Tensor, Tensor | None]]:
    """The indices around a coordinate and their weights."""
    if place.dtype not in FLOATS:
        place = call("cast", place, dtype=work)
    if order == 0:
        return [(call("cast", _round_away(place), dtype="int32"), None)]
    below = call("floor", place)
    share = place - below
    index = call("cast", below, dtype="int32")
    return [(index, 1.0 - share), (index + 1, share)]


def _fold_index(index: Tensor, n: int, mode: str) -> Tensor:
    """Moves indices outside 0 .. n - 1 to where the fill mode finds their value."""
    if mode in ("constant", "nearest"):
        return call("minimum", call("maximum", index, 0), n - 1)
    if mode == "wrap":
        return call("mod", index, n)
    if mode == "mirror":
        return _mirror(index, n)
    return call("floor_divide", _mirror(index * 2 + 1, 2 * n + 1) - 1, 2)


def _mirror(index: Tensor, n: int) -> Tensor:
    if n == 1:
        return index * 0
    return call("abs", call("mod", index + (n - 1), 2 * (n - 1)) - (n - 1))


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, as floats that broadcast to (1, height, width)."""
    rows = call("iota", shape=[1, height, 1], axis=1, dtype="float32")
    return rows, call("iota", shape=[1, 1, width], axis=2, dtype="float32")


def _sample_batch(x: Tensor, rows: Tensor, columns: Tensor, order: int, mode: str, fill: float) -> Tensor:
    """Samples every image of a batch (batch, height, width, channels) at its own coordinates."""
    n, height, width, channels = x.shape
    base = call("reshape", iota(n) * (height * width), shape=[n, 1, 1])
    flat = call("reshape", x, shape=[n * height * width, channels])
    return _sample(flat, [height, width], [rows, columns], base, order, mode, fill)


@symbolic_op
def affine_transform(
    images: TensorLike,
    transform: TensorLike,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images moved, turned, stretched or sheared.

    Args:
        images: one image or a batch.
        transform: (8,) or (batch, 8): a0, a1, a2, b0, b1, b2, c0, c1. The pixel at column x and row y of the
            result is that at column a0 x + a1 y + a2 and row b0 x + b1 y + b2 of the image; c0 and c1 must be
            0.
        interpolation: "nearest" or "bilinear".
        fill_mode, fill_value: what lies outside, as for `map_coordinates`.
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    order = _check_interpolation(interpolation)
    _check_mode(fill_mode)
    batch = Batch(images, data_format)
    transform = as_float(transform)
    if transform.ndim not in (1, 2) or transform.shape[-1] != 8:
        raise ValueError(
            "Invalid transform rank: expected (8,) (single transform) or (batch, 8) (batch of transforms). "
            "Received "
            f"input with shape: transform.shape={transform.shape}"
        )
    t = call("reshape", transform, shape=[-1, 8, 1, 1])
    a0, a1, a2, b0, b1, b2 = (t[:, i] for i in range(6))
    y, x = _grid(batch.x.shape[1], batch.x.shape[2])
    shape = canonical_shape(batch.x.shape[:3])
    rows = call("broadcast_to", b0 * x + b1 * y + b2, shape=shape)
    columns = call("broadcast_to", a0 * x + a1 * y + a2, shape=shape)
    return batch.restore(_sample_batch(batch.x, rows, columns, order, fill_mode, fill_value))


@symbolic_op
def perspective_transform(
    images: TensorLike,
    start_points: TensorLike,
    end_points: TensorLike,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images distorted so that four points of them come to lie on four others.

    Args:
        images: one image or a batch.
        start_points: (4, 2) or (batch, 4, 2): the column and row of each point in the images.
        end_points: in the same shape: where they lie in the result.
        interpolation: "nearest" or "bilinear".
        fill_value: what lies outside the images.
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    order = _check_interpolation(interpolation)
    batch = Batch(images, data_format)
    start, end = as_tensor_of(start_points, "float32"), as_tensor_of(end_points, "float32")
    for points, name in ((start, "start_points"), (end, "end_points")):
        if points.ndim not in (2, 3) or points.shape[-2:] != (4, 2):
            raise ValueError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a batch. Received "
                "shape: "
                f"{points.shape}"
            )
    if start.shape != end.shape:
        raise ValueError(
            "start_points and end_points must have the same shape. Received "
            f"start_points.shape={start.shape}, end_points.shape={end.shape}"
        )
    h = _homography(call("reshape", start, shape=[-1, 4, 2]), call("reshape", end, shape=[-1, 4, 2]))
    h = [call("reshape", c, shape=[-1, 1, 1]) for c in h]
    y, x = _grid(batch.x.shape[1], batch.x.shape[2])
    depth = h[6] * x + h[7] * y + 1.0
    shape = canonical_shape(batch.x.shape[:3])
    rows = call("broadcast_to", (h[3] * x + h[4] * y + h[5]) / depth, shape=shape)
    columns = call("broadcast_to", (h[0] * x + h[1] * y + h[2]) / depth, shape=shape)
    return batch.restore(_sample_batch(batch.x, rows, columns, order, "constant", fill_value))


def _homography(start: Tensor, end: Tensor) -> list[Tensor]:
    """The 8 coefficients, each (batch, 1), of the perspective map from the end points to the start points.

    Two equations for each point, linear in the coefficients, solved by elimination with row exchanges.
    """
    n = start.shape[0]
    zero = call("full", value=0, shape=[n, 1], dtype="float32")
    one = zero + 1.0
    rows = []
    for axis in range(2):
        for p in range(4):
            target = start[:, p, axis : axis + 1]
            ex, ey = end[:, p, 0:1], end[:, p, 1:2]
            own, other = [ex, ey, one], [zero, zero, zero]
            left = [*own, *other] if axis == 0 else [*other, *own]
            rows.append(join([*left, -target * ex, -target * ey, target], 1))
    matrix = join([call("reshape", r, shape=[n, 1, 9]) for r in rows], 1)
    index = call("reshape", iota(8), shape=[1, 8, 1])
    for k in range(8):
        # The row with the largest entry among those not used yet comes to place k.
        size = call("where", call("less", index, k), -1.0, call("abs", matrix[:, :, k : k + 1]))
        pivot = call("reshape", call("argmax", size, axis=1), shape=[n, 1, 1])
        source = call(
            "where", call("equal", index, k), pivot, call("where", call("equal", index, pivot), k, index)
        )
        matrix = call("take_along_axis", matrix, call("broadcast_to", source, shape=[n, 8, 9]), axis=1)
        row = matrix[:, k : k + 1] / matrix[:, k : k + 1, k : k + 1]
        cleared = matrix - matrix[:, :, k : k + 1] * row
        matrix = call("where", call("equal", index, k), row, cleared)
    return [matrix[:, k, 8:9] for k in range(8)]


@symbolic_op
def elastic_transform(
    images: TensorLike,
    alpha: TensorLike = 20.0,
    sigma: TensorLike = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Tensor:
    """Images whose pixels are moved at random, neighbours alike.

    Args:
        images: one image or a batch.
        alpha: how far they move.
        sigma: how smooth the movement is, a number: the deviation of the Gaussian that blurs it.
        interpolation, fill_mode, fill_value: as for `affine_transform`.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    from fastkeras.random.seed_generator import draw_seed

    order = _check_interpolation(interpolation)
    _check_mode(fill_mode)
    batch = Batch(images, data_format)
    n, height, width, _ = batch.x.shape
    sigma = float(sigma)
    window = int(6 * sigma) | 1
    # Both directions in one draw: a channel each.
    noise = call(
        "random_normal", draw_seed(seed), shape=[n, height, width, 2], mean=0.0, stddev=sigma, dtype="float32"
    )
    shift = gaussian_blur(noise, (window, window), (sigma, sigma), "channels_last") * as_tensor_of(
        alpha, "float32"
    )
    y, x = _grid(height, width)
    return batch.restore(
        _sample_batch(batch.x, y + shift[..., 1], x + shift[..., 0], order, fill_mode, fill_value)
    )
