"""Layers that are not of one family: dense, embedding, masking, arbitrary functions."""
