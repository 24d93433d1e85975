"""Layers that move values without computing: flatten, reshape, permute, repeat, pad, crop, upsample."""
