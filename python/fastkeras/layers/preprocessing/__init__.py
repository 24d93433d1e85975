"""Layers that prepare data: rescaling, and later normalisation, lookup and augmentation."""
