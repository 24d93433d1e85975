"""`fastkeras.ops.image`: resizing, cropping, filtering and colours of images, as functions."""

