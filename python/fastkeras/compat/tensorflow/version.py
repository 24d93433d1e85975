"""`tf.version`: the version of TensorFlow whose API is followed, marked as fastkeras'."""

from __future__ import annotations

from fastkeras import __version__ as _fastkeras

VERSION = f"2.20.0+fastkeras.{_fastkeras}"
GIT_VERSION = f"fastkeras-{_fastkeras}"
COMPILER_VERSION = "fastkeras"
GRAPH_DEF_VERSION = 0
