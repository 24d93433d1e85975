"""`pad_sequences`, under its older name."""

from fastkeras.utils.sequence_utils import pad_sequences

__all__ = ["pad_sequences"]
