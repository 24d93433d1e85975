"""What image ops share: checking ranks and putting channels last."""

from __future__ import annotations

from fastkeras.core import config
from fastkeras.ops._common import Tensor, TensorLike, as_tensor, call


def check_image(images: TensorLike) -> Tensor:
    """Returns the images as a tensor of 3 dimensions (one image) or 4 (a batch)."""
    x = as_tensor(images)
    if x.ndim not in (3, 4):
        raise ValueError(
            "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). Received "
            "input with "
            f"shape: images.shape={x.shape}"
        )
    return x


def channel_axis(x: Tensor, data_format: str | None) -> int:
    """Returns the dimension of the channels, counted from the front."""
    return x.ndim - 1 if config.standardize_data_format(data_format) == "channels_last" else x.ndim - 3


def spatial_axes(x: Tensor, data_format: str | None) -> tuple[int, int]:
    """Returns the dimensions of height and width, counted from the front."""
    if config.standardize_data_format(data_format) == "channels_last":
        return x.ndim - 3, x.ndim - 2
    return x.ndim - 2, x.ndim - 1


class Batch:
    """Images as one batch with channels last, and the way back.

    `x` has shape (batch, height, width, channels) whatever layout was given.
    """

    def __init__(self, images: TensorLike, data_format: str | None) -> None:
        x = check_image(images)
        self.single = x.ndim == 3
        self.first = config.standardize_data_format(data_format) == "channels_first"
        if self.single:
            x = call("reshape", x, shape=[1, *x.shape])
        if self.first:
            x = call("transpose", x, perm=[0, 2, 3, 1])
        self.x = x

    def restore(self, out: Tensor) -> Tensor:
        """Gives a result of shape (batch, height, width, channels) the layout of the images."""
        if self.first:
            out = call("transpose", out, perm=[0, 3, 1, 2])
        return call("reshape", out, shape=out.shape[1:]) if self.single else out
