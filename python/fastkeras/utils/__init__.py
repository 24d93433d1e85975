"""Utilities: arrays, seeds, progress bars, registration of custom objects."""

from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.global_state import clear_session
from fastkeras.core.keras_tensor import is_keras_tensor
from fastkeras.saving.object_registration import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from fastkeras.saving.serialization import deserialize_keras_object, serialize_keras_object
from fastkeras.training.data_adapters import PyDataset, pack_x_y_sample_weight, unpack_x_y_sample_weight
from fastkeras.utils.dataset_utils import split_dataset
from fastkeras.utils.io_utils import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from fastkeras.utils.numpy_utils import normalize, to_categorical
from fastkeras.utils.progbar import Progbar
from fastkeras.utils.rng_utils import set_random_seed
from fastkeras.utils.sequence_utils import pad_sequences

Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
