"""Intersection over union of predicted and target classes, from a running confusion matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.metrics.confusion import confusion_matrix
from fastkeras.metrics.metric import Metric


class _IoUBase(Metric):
    """A running confusion matrix of `num_classes` classes; see `IoU` for the arguments."""

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        # Counts are whole numbers unless asked for otherwise.
        super().__init__(name=name, dtype=dtype or "int32")
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if not self.sparse_y_true:
            y_true = ops.argmax(y_true, axis=self.axis)
        if not self.sparse_y_pred:
            y_pred = ops.argmax(y_pred, axis=self.axis)
        y_true = ops.reshape(ops.convert_to_tensor(y_true, dtype="int32"), (-1,))
        y_pred = ops.reshape(ops.convert_to_tensor(y_pred, dtype="int32"), (-1,))
        if sample_weight is None:
            sample_weight = 1
        elif "float" in str(getattr(sample_weight, "dtype", "")) and "int" in self.dtype:
            warnings.warn(
                f"{self.__class__.__name__}: float sample weights are truncated to integers, because the "
                "metric counts "
                f"in {self.dtype}. Pass integer weights, or dtype='float32' to the metric.",
                stacklevel=2,
            )
        weight = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
        if len(weight.shape) > 1:
            weight = ops.reshape(weight, (-1,))
        weight = ops.broadcast_to(weight, y_true.shape)

        def in_range(x: Any) -> Any:
            return ops.logical_and(ops.greater_equal(x, 0), ops.less(x, self.num_classes))

        # Classes outside the matrix count nowhere.
        counted = ops.logical_and(in_range(y_true), in_range(y_pred))
        if self.ignore_class is not None:
            counted = ops.logical_and(counted, ops.not_equal(y_true, self.ignore_class))
        y_true, y_pred = ops.where(counted, y_true, 0), ops.where(counted, y_pred, 0)
        weight = ops.where(counted, weight, ops.zeros_like(weight))
        self.total_cm.assign_add(confusion_matrix(y_true, y_pred, self.num_classes, weight, dtype=self.dtype))


class IoU(_IoUBase):
    """Mean over the target classes of `tp / (tp + fp + fn)`.

    Args:
        num_classes: number of classes.
        target_class_ids: classes that are averaged over.
        name, dtype: see `Metric`; the dtype of the counts is int32 if None.
        ignore_class: target class whose samples do not count.
        sparse_y_true: whether targets are class numbers rather than one-hot along `axis`.
        sparse_y_pred: whether predictions are class numbers rather than scores along `axis`.
        axis: the class axis of one-hot targets and of scores.

    Raises:
        ValueError: if a target class is not below `num_classes`.

    Example:

    >>> m = IoU(num_classes=2, target_class_ids=[0])
    >>> m.update_state([0, 0, 1, 1], [0, 1, 0, 1])
    >>> float(m.result())  # doctest: +ELLIPSIS
    0.333333...
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(target_class_ids)} is out of range, which is [0, {num_classes})."
            )
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        matrix = ops.cast(self.total_cm, self.dtype)
        tp = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - tp
        wanted = ops.convert_to_tensor(self.target_class_ids, dtype="int32")
        tp = ops.cast(ops.take(tp, wanted, axis=0), "float32")
        union = ops.cast(ops.take(union, wanted, axis=0), "float32")
        # Classes that occur neither in targets nor in predictions have no part in the mean.
        present = ops.greater(union, 1e-9)
        ratio = ops.where(present, tp / (union + epsilon()), 0.0)
        return ops.sum(ratio) / (ops.sum(ops.cast(present, "float32")) + epsilon())

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }
        return {**super().get_config(), **config}

    def _config_of(self, *names: str) -> dict[str, Any]:
        """Config of a subclass that takes only some of the arguments."""
        config = IoU.get_config(self)
        return {name: config[name] for name in names}


class BinaryIoU(IoU):
    """`IoU` of two classes, where predictions of at least `threshold` are class 1.

    Args:
        target_class_ids: classes that are averaged over: (0, 1), (0,) or (1,).
        threshold: smallest prediction that counts as class 1.
        name, dtype: see `IoU`.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes=2, target_class_ids=target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.cast(ops.convert_to_tensor(y_pred, dtype="float32") >= self.threshold, "int32")
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**self._config_of("target_class_ids", "name", "dtype"), "threshold": self.threshold}


class MeanIoU(IoU):
    """`IoU` averaged over all classes.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return self._config_of(
            "num_classes", "name", "dtype", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis"
        )


class OneHotIoU(IoU):
    """`IoU` with one-hot targets.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_pred, axis: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config_of(
            "num_classes", "target_class_ids", "name", "dtype", "ignore_class", "sparse_y_pred", "axis"
        )


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` with one-hot targets.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_pred, axis: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config_of("num_classes", "name", "dtype", "ignore_class", "sparse_y_pred", "axis")
