"""Convolution layers: plain, transposed, depthwise and separable, over one, two or three dimensions."""
