"""Mixed precision: the global dtype policy under its tf.keras names, and the loss-scaling optimizer."""

from fastkeras.core.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from fastkeras.optimizers import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
