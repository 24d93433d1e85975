"""fastkeras: a Keras-shaped deep-learning library over a compiling C++ engine."""

from fastkeras.core.dtype_policies import DTypePolicy, FloatDTypePolicy
from fastkeras.core.function import Function
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.naming import name_scope
from fastkeras.core.operation import Operation
from fastkeras.core.scopes import StatelessScope, SymbolicScope
from fastkeras.core.variable import Variable
from fastkeras.layers.input_layer import Input
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.models import Model, Sequential

__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "Function",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Model",
    "Operation",
    "Sequential",
    "StatelessScope",
    "SymbolicScope",
    "Variable",
    "name_scope",
]
