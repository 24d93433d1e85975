"""Image ops and rearrange against Keras."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import Case, data, run_case

X = data((2, 7, 9, 3), low=0, high=1)
F = np.moveaxis(X, -1, 1)
U = data((2, 6, 5, 3), "uint8", 0, 255)

CASES = [
    Case("resize", X, size, interpolation=i, antialias=a)
    for size, i, a in itertools.product(
        ((5, 4), (14, 20)), ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"), (False, True)
    )
    if not (i == "nearest" and a)
]
CASES += [
    Case("resize", F, (4, 4), data_format="channels_first"),
    Case("resize", X[0], (3, 8)),
    Case("resize", U, (3, 9), tol=1),
    Case("resize", U, (12, 9), interpolation="bicubic", tol=1),
    Case("resize", U, (3, 9), interpolation="nearest"),
    Case("resize", X.astype("float16"), (4, 4), tol=5e-3),
    Case("resize", X, (4, 4), crop_to_aspect_ratio=True),
    Case("resize", X, (8, 4), crop_to_aspect_ratio=True),
    Case("resize", X, (4, 4), pad_to_aspect_ratio=True, fill_value=0.5),
    Case("resize", X, (4, 16), pad_to_aspect_ratio=True),
    Case("resize", F, (4, 4), pad_to_aspect_ratio=True, data_format="channels_first"),
    Case("rgb_to_grayscale", X),
    Case("rgb_to_grayscale", F, data_format="channels_first"),
    Case("rgb_to_grayscale", X[0]),
    Case("rgb_to_grayscale", X[..., :1]),
    Case("rgb_to_hsv", X),
    Case("rgb_to_hsv", F, data_format="channels_first"),
    Case("rgb_to_hsv", np.zeros((2, 2, 3), "float32")),
    Case("hsv_to_rgb", X),
    Case("hsv_to_rgb", F[0], data_format="channels_first"),
    Case("crop_images", X, top_cropping=1, left_cropping=2, target_height=3, target_width=4),
    Case("crop_images", X, bottom_cropping=1, right_cropping=2, target_height=3, target_width=4),
    Case(
        "crop_images",
        F,
        top_cropping=1,
        left_cropping=2,
        bottom_cropping=2,
        right_cropping=1,
        data_format="channels_first",
    ),
    Case("pad_images", X, top_padding=1, left_padding=2, target_height=10, target_width=12),
    Case("pad_images", X[0], bottom_padding=1, right_padding=0, top_padding=2, left_padding=1),
    Case("extract_patches", X, 3),
    Case("extract_patches", X, (2, 3), strides=(1, 2)),
    Case("extract_patches", X, 3, padding="same"),
    Case("extract_patches", X, 2, strides=1, dilation_rate=2),
    Case("extract_patches", F, 3, strides=2, data_format="channels_first"),
    Case("extract_patches", X[0], 3),
    Case("extract_patches_3d", data((2, 4, 5, 6, 2)), (2, 2, 3)),
    Case("extract_patches_3d", data((4, 5, 6, 2)), 2, strides=1, padding="same"),
    Case("gaussian_blur", X, data_format="channels_last"),
    Case("gaussian_blur", X, kernel_size=(5, 3), sigma=(1.5, 0.7), data_format="channels_last"),
    Case("gaussian_blur", F, kernel_size=(3, 5), sigma=(1.5, 0.7), data_format="channels_first"),
    Case("gaussian_blur", X, kernel_size=(4, 4), data_format="channels_last"),
    Case("sobel_edges", X),
    Case("sobel_edges", F, data_format="channels_first"),
    Case("ssim", data((2, 16, 14, 3), low=0, high=1), data((2, 16, 14, 3), low=0, high=1, seed=3)),
    Case("ssim", X, X, filter_size=5),
    Case("ssim", X[0], X[0] * 0.9, filter_size=3, filter_sigma=1.0),
    *[
        Case(
            "map_coordinates",
            data((5, 6)),
            data((2, 4, 3), low=-7, high=12),
            order=o,
            fill_mode=m,
            fill_value=0.5,
        )
        for o in (0, 1)
        for m in ("constant", "nearest", "wrap", "mirror", "reflect")
    ],
    Case("map_coordinates", data((4, 3, 5)), data((3, 7), low=0, high=3), order=1),
    Case("map_coordinates", data((5, 6), "int32", -9, 9), data((2, 7), low=0, high=5), order=1),
    Case(
        "affine_transform",
        X,
        np.array([[0.9, 0.2, 1.0, -0.1, 1.1, -0.5, 0, 0], [1, 0, 0, 0, 1, 2, 0, 0]], "float32"),
        fill_value=0.3,
        tol=1e-4,
    ),
    Case(
        "affine_transform",
        X,
        np.array([[0.93, 0.21, 1.0, -0.13, 1.1, -0.57, 0, 0]] * 2, "float32"),
        interpolation="nearest",
        fill_mode="reflect",
    ),
    Case(
        "affine_transform",
        F,
        np.array([[0.9, 0.2, 1.0, -0.1, 1.1, -0.5, 0, 0]] * 2, "float32"),
        fill_mode="wrap",
        data_format="channels_first",
        tol=1e-4,
    ),
    Case("affine_transform", X[0], np.array([1, 0, 1.5, 0, 1, 0, 0, 0], "float32"), tol=1e-4),
    Case(
        "perspective_transform",
        X,
        np.array([[[0, 0], [8, 0], [0, 6], [8, 6]]] * 2, "float32"),
        np.array([[[1, 0], [7, 1], [0, 5], [8, 6]], [[0, 1], [8, 0], [1, 6], [7, 6]]], "float32"),
        tol=2e-3,
    ),
    Case(
        "perspective_transform",
        X[0],
        np.array([[0, 0], [8, 0], [0, 6], [8, 6]], "float32"),
        np.array([[1, 0], [7, 1], [0, 5], [8, 6]], "float32"),
        fill_value=0.5,
        tol=2e-3,
    ),
    *[
        Case(
            "scale_and_translate",
            X,
            (2, 10, 6, 3),
            np.array([1.5, 0.7], "float32"),
            np.array([0.5, -1.0], "float32"),
            (1, 2),
            m,
            antialias=a,
            tol=1e-4,
        )
        for m in ("linear", "cubic", "lanczos3")
        for a in (True, False)
    ],
]


@pytest.mark.parametrize("c", CASES, ids=repr)
def test_image(c):
    run_case(c, "ops.image")


REARRANGE = [
    Case("rearrange", data((4, 6, 8, 3)), p, **kw)
    for p, kw in [
        ("b h w c -> b c h w", {}),
        ("b h w c -> (b h) w c", {}),
        ("b h w c -> h (b w) c", {}),
        ("b h w c -> b (c h w)", {}),
        ("b (h1 h) (w1 w) c -> (b h1 w1) h w c", {"h1": 2, "w1": 2}),
        ("b (h h1) (w w1) c -> b h w (c h1 w1)", {"h1": 2, "w1": 2}),
    ]
]


@pytest.mark.parametrize("c", REARRANGE, ids=repr)
def test_rearrange(c):
    run_case(c)


def test_elastic_transform_moves_neighbours_alike():
    from fastkeras import ops

    ramp = np.broadcast_to(np.arange(32, dtype="float32")[:, None, None], (2, 32, 32, 1))
    out = ops.image.elastic_transform(np.ascontiguousarray(ramp), alpha=2.0, sigma=4.0, seed=3).numpy()
    again = ops.image.elastic_transform(np.ascontiguousarray(ramp), alpha=2.0, sigma=4.0, seed=3).numpy()
    np.testing.assert_array_equal(out, again)
    moved = np.abs(out - ramp)[:, 4:-4, 4:-4]
    assert 0.01 < moved.mean() < 4.0
    assert np.abs(np.diff(out - ramp, axis=2))[:, 4:-4].mean() < moved.mean()
