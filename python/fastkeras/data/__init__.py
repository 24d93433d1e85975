"""Input pipelines: `Dataset` and what belongs to it, in the shape of `tf.data`."""

from fastkeras.data import experimental
from fastkeras.data.constants import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.dataset import Dataset, DatasetIterator
from fastkeras.data.element_spec import DatasetSpec, TensorSpec
from fastkeras.data.options import Options

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "UNKNOWN_CARDINALITY",
    "Dataset",
    "DatasetIterator",
    "DatasetSpec",
    "Options",
    "TensorSpec",
    "experimental",
]
