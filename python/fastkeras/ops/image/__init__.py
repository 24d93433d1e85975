"""`fastkeras.ops.image`: resizing, cropping, filtering and colours of images, as functions."""

from fastkeras.ops.image.color import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from fastkeras.ops.image.filters import gaussian_blur, sobel_edges, ssim
from fastkeras.ops.image.patches import extract_patches, extract_patches_3d
from fastkeras.ops.image.resizing import crop_images, pad_images, resize, scale_and_translate
from fastkeras.ops.image.sampling import (
    affine_transform,
    elastic_transform,
    map_coordinates,
    perspective_transform,
)
