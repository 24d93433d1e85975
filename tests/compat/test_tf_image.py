"""tf.image against NumPy."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

rng = np.random.default_rng(0)
A = rng.random((6, 4, 3)).astype("float32")
BATCH = rng.random((5, 6, 4, 3)).astype("float32")
BYTES = rng.integers(0, 256, (2, 4, 4, 3)).astype("uint8")


def same(got, wanted, rtol=2e-5, atol=2e-6):
    got = got.numpy()
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got.astype("float64"), np.asarray(wanted, "float64"), rtol=rtol, atol=atol)


MOVES = {
    "flip_left_right": lambda x: np.flip(x, -2),
    "flip_up_down": lambda x: np.flip(x, -3),
    "transpose": lambda x: np.swapaxes(x, -3, -2),
    "rot90": lambda x: np.rot90(x, axes=(-3, -2)),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name):
    for x in (A, BATCH):
        same(getattr(tf.image, name)(x), MOVES[name](x))


@pytest.mark.parametrize("k", range(-1, 5))
def test_rot90(k):
    same(tf.image.rot90(BATCH, k), np.rot90(BATCH, k, axes=(1, 2)))


def test_resize():
    small = np.array([[0.0, 4.0], [8.0, 12.0]], "float32")[..., None]
    up = tf.image.resize(small, [4, 4])
    wanted = np.array([0.0, 0.25, 0.75, 1.0])
    same(up[..., 0], 8 * wanted[:, None] + 4 * wanted[None])
    same(
        tf.image.resize(small, (4, 4), method=tf.image.ResizeMethod.NEAREST_NEIGHBOR),
        small.repeat(2, 0).repeat(2, 1),
    )
    assert tf.image.resize(BYTES, (2, 2)).dtype == tf.float32
    assert tf.image.resize(BYTES, (2, 2), "nearest").dtype == tf.uint8
    assert tf.image.resize(BATCH, (9, 9), preserve_aspect_ratio=True).shape == (5, 9, 6, 3)
    padded = tf.image.resize_with_pad(A, 8, 8).numpy()
    assert padded.shape == (8, 8, 3) and not padded[:, 0].any() and not padded[:, -1].any()
    with pytest.raises(ValueError, match="bilinear"):
        tf.image.resize(A, (2, 2), "area")


def test_crops_and_pads():
    same(tf.image.crop_to_bounding_box(BATCH, 1, 2, 3, 2), BATCH[:, 1:4, 2:4])
    same(tf.image.pad_to_bounding_box(A, 1, 2, 9, 7), np.pad(A, [(1, 2), (2, 1), (0, 0)]))
    same(tf.image.central_crop(BATCH, central_fraction=0.5), BATCH[:, 1:5, 1:3])
    same(tf.image.resize_with_crop_or_pad(A, 4, 8), np.pad(A[1:5], [(0, 0), (2, 2), (0, 0)]))
    with pytest.raises(ValueError, match="inside"):
        tf.image.crop_to_bounding_box(A, 0, 0, 7, 1)
    with pytest.raises(ValueError, match="fit"):
        tf.image.pad_to_bounding_box(A, 0, 0, 2, 2)
    with pytest.raises(ValueError, match="central_fraction"):
        tf.image.central_crop(A, 0.0)


def test_convert_image_dtype():
    same(tf.image.convert_image_dtype(BYTES, tf.float32), BYTES / 255)
    back = tf.image.convert_image_dtype(BYTES.astype("float32") / 255, tf.uint8)
    assert back.dtype == tf.uint8
    same(back, BYTES)
    same(tf.image.convert_image_dtype(BYTES, tf.uint16), BYTES.astype("int64") * 256)
    same(tf.image.convert_image_dtype([1.5, -1.0], tf.uint8, saturate=True), [255, 0])


def test_brightness_contrast_gamma():
    same(tf.image.adjust_brightness(A, delta=0.25), A + 0.25)
    bright = tf.image.adjust_brightness(BYTES, 0.5)
    assert bright.dtype == tf.uint8
    assert np.abs(bright.numpy().astype(int) - np.minimum(BYTES + 127.5, 255)).max() <= 1
    mean = BATCH.mean((1, 2), keepdims=True)
    same(tf.image.adjust_contrast(BATCH, 2.0), (BATCH - mean) * 2 + mean, atol=1e-5)
    same(tf.image.adjust_gamma(A, gamma=2, gain=0.5), 0.5 * A**2)
    got = tf.image.per_image_standardization(BATCH).numpy()
    np.testing.assert_allclose(got.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(got.std((1, 2, 3)), 1, rtol=1e-4)


def test_colours():
    import colorsys

    hsv = tf.image.rgb_to_hsv(A).numpy()
    wanted = np.array([colorsys.rgb_to_hsv(*p) for p in A.reshape(-1, 3)]).reshape(A.shape)
    np.testing.assert_allclose(hsv, wanted, atol=1e-5)
    same(tf.image.hsv_to_rgb(hsv), A, atol=1e-5)
    moved = tf.image.rgb_to_hsv(tf.image.adjust_hue(A, 0.25)).numpy()
    np.testing.assert_allclose(moved[..., 0], (wanted[..., 0] + 0.25) % 1, atol=1e-4)
    duller = tf.image.rgb_to_hsv(tf.image.adjust_saturation(A, 0.5)).numpy()
    np.testing.assert_allclose(duller[..., 1], wanted[..., 1] * 0.5, atol=1e-4)
    grey = tf.image.rgb_to_grayscale(A)
    same(grey[..., 0], A @ [0.2989, 0.587, 0.114], atol=1e-3)
    assert tf.image.grayscale_to_rgb(grey).shape == (6, 4, 3)
    same(tf.image.yuv_to_rgb(tf.image.rgb_to_yuv(A)), A, atol=1e-5)


def test_measures():
    noisy = (BATCH + rng.normal(size=BATCH.shape) * 0.05).astype("float32")
    error = ((BATCH - noisy) ** 2).mean((1, 2, 3))
    same(tf.image.psnr(BATCH, noisy, max_val=1.0), -10 * np.log10(error), rtol=1e-4)
    large = rng.random((2, 16, 16, 3)).astype("float32")
    same(tf.image.ssim(large, large, max_val=1.0), [1, 1])
    assert tf.image.ssim(large, large[::-1], 1.0).numpy().max() < 0.5
    down, along = np.abs(np.diff(BATCH, axis=1)), np.abs(np.diff(BATCH, axis=2))
    same(tf.image.total_variation(BATCH), down.sum((1, 2, 3)) + along.sum((1, 2, 3)))
    dy, dx = tf.image.image_gradients(BATCH)
    same(dy[:, :-1], np.diff(BATCH, axis=1))
    same(dx[:, :, :-1], np.diff(BATCH, axis=2))
    assert tf.image.sobel_edges(BATCH).shape == (5, 6, 4, 3, 2)
    patches = tf.image.extract_patches(BATCH, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
    same(patches[:, 1, 1], BATCH[:, 2:4, 2:4].reshape(5, -1))


def test_random_flips_choose_for_each_image():
    tf.random.set_seed(3)
    many = np.repeat(A[None], 200, 0)
    flipped = tf.image.random_flip_left_right(many).numpy()
    mirrored = (flipped == A[:, ::-1]).all((1, 2, 3))
    assert ((flipped == A).all((1, 2, 3)) ^ mirrored).all()
    assert 60 < mirrored.sum() < 140
    upside = tf.image.stateless_random_flip_up_down(many, seed=(1, 2)).numpy()
    assert (upside == tf.image.stateless_random_flip_up_down(many, seed=(1, 2)).numpy()).all()
    assert 60 < (upside == A[::-1]).all((1, 2, 3)).sum() < 140


RANDOM = {
    "brightness": ((0.2,), lambda y: (y - A).std() < 1e-5 and abs((y - A).mean()) <= 0.2),
    "contrast": ((0.5, 2.0), lambda y: np.allclose(y.mean((0, 1)), A.mean((0, 1)), atol=1e-5)),
    "saturation": ((0.5, 2.0), lambda y: np.allclose(y.max(-1), A.max(-1), atol=1e-5)),
    "hue": ((0.2,), lambda y: np.allclose(y.max(-1), A.max(-1), atol=1e-5)),
    "crop": (((3, 3, 3),), lambda y: y.shape == (3, 3, 3)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_changes(name):
    args, holds = RANDOM[name]
    tf.random.set_seed(5)
    first = getattr(tf.image, f"random_{name}")(A, *args).numpy()
    second = getattr(tf.image, f"random_{name}")(A, *args).numpy()
    assert holds(first) and holds(second)
    tf.random.set_seed(5)
    np.testing.assert_array_equal(getattr(tf.image, f"random_{name}")(A, *args).numpy(), first)
    stateless = getattr(tf.image, f"stateless_random_{name}")
    np.testing.assert_array_equal(
        stateless(A, *args, seed=[7, 8]).numpy(), stateless(A, *args, seed=(7, 8)).numpy()
    )
    assert holds(stateless(A, *args, seed=(7, 8)).numpy())


def test_random_crop_is_a_part():
    x = np.arange(30, dtype="float32").reshape(5, 6)
    got = tf.image.random_crop(x, [2, 3]).numpy()
    row, column = divmod(int(got[0, 0]), 6)
    np.testing.assert_array_equal(got, x[row : row + 2, column : column + 3])
    with pytest.raises(ValueError, match="none larger"):
        tf.image.random_crop(x, [6, 1])
    with pytest.raises(ValueError, match="max_delta"):
        tf.image.random_hue(A, 0.7)
    with pytest.raises(ValueError, match="lower"):
        tf.image.random_contrast(A, 2.0, 1.0)


def test_augmentation_in_a_dataset():
    tf.random.set_seed(1)

    def augment(image, label):
        image = tf.image.convert_image_dtype(image, tf.float32)
        image = tf.image.random_flip_left_right(image)
        image = tf.image.resize_with_crop_or_pad(image, 6, 6)
        return tf.image.random_brightness(image, max_delta=0.5), label

    dataset = tf.data.Dataset.from_tensor_slices((BYTES, [0, 1])).map(augment).batch(2)
    images, labels = next(iter(dataset))
    assert images.shape == (2, 6, 6, 3) and images.dtype == tf.float32 and labels.numpy().tolist() == [0, 1]
