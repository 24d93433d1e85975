"""Callbacks: objects that `fit`, `evaluate` and `predict` tell what happens."""

from fastkeras.callbacks.backup_and_restore import BackupAndRestore
from fastkeras.callbacks.callback import Callback
from fastkeras.callbacks.callback_list import CallbackList
from fastkeras.callbacks.csv_logger import CSVLogger
from fastkeras.callbacks.early_stopping import EarlyStopping
from fastkeras.callbacks.history import History
from fastkeras.callbacks.lambda_callback import LambdaCallback
from fastkeras.callbacks.learning_rate_scheduler import LearningRateScheduler
from fastkeras.callbacks.model_checkpoint import ModelCheckpoint
from fastkeras.callbacks.monitor_callback import MonitorCallback
from fastkeras.callbacks.profiler import Profiler
from fastkeras.callbacks.progbar_logger import ProgbarLogger
from fastkeras.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from fastkeras.callbacks.swap_ema_weights import SwapEMAWeights
from fastkeras.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "Profiler",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
]
