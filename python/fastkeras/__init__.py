"""fastkeras: the Keras API over a compiling C++ engine.

``import fastkeras as keras`` and write Keras code. Layers record an IR graph, which the engine differentiates,
optimises and runs; see ``fastkeras.config.settings()`` for its switches.
"""

from typing import Any

from fastkeras import (
    activations,
    applications,
    backend,
    callbacks,
    config,
    constraints,
    data,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
    profiler,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from fastkeras.core.devices import device
from fastkeras.core.dtype_policies import DTypePolicy, FloatDTypePolicy
from fastkeras.core.function import Function
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.naming import name_scope
from fastkeras.core.operation import Operation
from fastkeras.core.remat import RematScope, remat
from fastkeras.core.scopes import StatelessScope, SymbolicScope
from fastkeras.core.tape import GradientTape, UnconnectedGradients
from fastkeras.core.traced_function import TensorSpec, function
from fastkeras.core.variable import Variable
from fastkeras.initializers import Initializer
from fastkeras.layers.input_layer import Input
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.losses import Loss
from fastkeras.metrics import Metric
from fastkeras.models import Model, Sequential
from fastkeras.optimizers import Optimizer
from fastkeras.regularizers import Regularizer

custom_gradient = ops.custom_gradient


def __getattr__(name: str) -> Any:
    # Rarely used, so not part of the import.
    if name == "explain":
        from fastkeras.explanation import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"


def version() -> str:
    """The version of fastkeras."""
    return __version__


__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "GradientTape",
    "Function",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "RematScope",
    "Sequential",
    "StatelessScope",
    "SymbolicScope",
    "TensorSpec",
    "UnconnectedGradients",
    "Variable",
    "__version__",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "data",
    "dtype_policies",
    "custom_gradient",
    "explain",
    "function",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "name_scope",
    "ops",
    "optimizers",
    "preprocessing",
    "profiler",
    "random",
    "regularizers",
    "remat",
    "saving",
    "tree",
    "utils",
    "version",
]
