"""The numbers with which datasets speak of themselves; they are those of tf.data."""

from __future__ import annotations

AUTOTUNE = -1
INFINITE_CARDINALITY = -1
UNKNOWN_CARDINALITY = -2
