"""Metrics made of true and false positives and negatives: the counts, precision, recall, and one at a given
other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastkeras import ops
from fastkeras.core.variable import Variable
from fastkeras.metrics.confusion import (
    NEG_INF,
    ConfusionMatrix,
    is_evenly_distributed_thresholds,
    parse_init_thresholds,
    update_confusion_matrix_variables,
)
from fastkeras.metrics.metric import Metric

_NAMES = {
    ConfusionMatrix.TRUE_POSITIVES: "true_positives",
    ConfusionMatrix.FALSE_POSITIVES: "false_positives",
    ConfusionMatrix.TRUE_NEGATIVES: "true_negatives",
    ConfusionMatrix.FALSE_NEGATIVES: "false_negatives",
}


class _ConfusionMatrixConditionCount(Metric):
    """Weighted number of one of the four outcomes at each threshold."""

    _condition: ConfusionMatrix

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = parse_init_thresholds(thresholds)
        self._even = is_evenly_distributed_thresholds(self.thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        update_confusion_matrix_variables(
            {self._condition: self.accumulator},
            y_true,
            y_pred,
            thresholds=self.thresholds,
            thresholds_distributed_evenly=self._even,
            sample_weight=sample_weight,
        )

    def result(self) -> Any:
        counts = self.accumulator.value
        return counts[0] if len(self.thresholds) == 1 else counts

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_ConfusionMatrixConditionCount):
    """Weighted number of predictions above the threshold whose target is true.

    Args:
        thresholds: a threshold in [0, 1] or a list of them (then the result has one count for each); 0.5 if
            None.
        name, dtype: see `Metric`.

    Example:

    >>> m = TruePositives()
    >>> m.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
    >>> float(m.result())
    2.0
    """

    _condition = ConfusionMatrix.TRUE_POSITIVES


class TrueNegatives(_ConfusionMatrixConditionCount):
    """Weighted number of predictions not above the threshold whose target is false.

    Args:
        thresholds, name, dtype: see `TruePositives`.
    """

    _condition = ConfusionMatrix.TRUE_NEGATIVES


class FalsePositives(_ConfusionMatrixConditionCount):
    """Weighted number of predictions above the threshold whose target is false.

    Args:
        thresholds, name, dtype: see `TruePositives`.
    """

    _condition = ConfusionMatrix.FALSE_POSITIVES


class FalseNegatives(_ConfusionMatrixConditionCount):
    """Weighted number of predictions not above the threshold whose target is true.

    Args:
        thresholds, name, dtype: see `TruePositives`.
    """

    _condition = ConfusionMatrix.FALSE_NEGATIVES


class _CountingMetric(Metric):
    """A metric over some of the four counts, each a variable of shape `(thresholds,)`."""

    _direction = "up"
    _counted: tuple[ConfusionMatrix, ...]

    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def _add_counts(self, thresholds: Sequence[float]) -> None:
        for what in self._counted:
            name = _NAMES[what]
            setattr(self, name, self.add_variable((len(thresholds),), "zeros", name=name))

    def _count(self, y_true: Any, y_pred: Any, sample_weight: Any, **options: Any) -> None:
        update_confusion_matrix_variables(
            {what: getattr(self, _NAMES[what]) for what in self._counted},
            y_true,
            y_pred,
            sample_weight=sample_weight,
            **options,
        )

    def _precision(self) -> Any:
        return ops.divide_no_nan(self.true_positives.value, self.true_positives + self.false_positives)

    def _recall(self) -> Any:
        return ops.divide_no_nan(self.true_positives.value, self.true_positives + self.false_negatives)

    def _specificity(self) -> Any:
        return ops.divide_no_nan(self.true_negatives.value, self.true_negatives + self.false_positives)


class _PrecisionRecallBase(_CountingMetric):
    """What `Precision` and `Recall` share: thresholds, `top_k` and `class_id`."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = parse_init_thresholds(
            thresholds, default_threshold=0.5 if top_k is None else NEG_INF
        )
        self._even = is_evenly_distributed_thresholds(self.thresholds)
        self._add_counts(self.thresholds)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(
            y_true,
            y_pred,
            sample_weight,
            thresholds=self.thresholds,
            thresholds_distributed_evenly=self._even,
            top_k=self.top_k,
            class_id=self.class_id,
        )

    def _one_or_all(self, values: Any) -> Any:
        return values[0] if len(self.thresholds) == 1 else values

    def get_config(self) -> dict[str, Any]:
        config = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **config}


class Precision(_PrecisionRecallBase):
    """Share of the positive predictions whose target is true: `tp / (tp + fp)`, 0 without any.

    Args:
        thresholds: predictions above it are positive: a number in [0, 1] or a list of them (then the result
            has one precision for each); 0.5 if None (any prediction among the best, with `top_k`).
        top_k: only the `top_k` largest predictions of each sample can be positive.
        class_id: look at this class only.
        name, dtype: see `Metric`.

    Raises:
        ValueError: if a threshold is outside [0, 1].

    Example:

    >>> m = Precision()
    >>> m.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
    >>> float(m.result())  # doctest: +ELLIPSIS
    0.666...
    """

    _counted = (ConfusionMatrix.TRUE_POSITIVES, ConfusionMatrix.FALSE_POSITIVES)

    def result(self) -> Any:
        return self._one_or_all(self._precision())


class Recall(_PrecisionRecallBase):
    """Share of the true targets that are predicted: `tp / (tp + fn)`, 0 without any.

    Args:
        thresholds, top_k, class_id, name, dtype: see `Precision`.
    """

    _counted = (ConfusionMatrix.TRUE_POSITIVES, ConfusionMatrix.FALSE_NEGATIVES)

    def result(self) -> Any:
        return self._one_or_all(self._recall())


class SensitivitySpecificityBase(_CountingMetric):
    """Base of the metrics that are the best of one ratio where another one is at least `value`.

    Args:
        value: what the other ratio must reach.
        num_thresholds: how many thresholds are tried.
        class_id: look at this class only.
        name, dtype: see `Metric`.

    Raises:
        ValueError: if `num_thresholds` is not positive.
    """

    _counted = (
        ConfusionMatrix.TRUE_POSITIVES,
        ConfusionMatrix.FALSE_POSITIVES,
        ConfusionMatrix.TRUE_NEGATIVES,
        ConfusionMatrix.FALSE_NEGATIVES,
    )
    # Name of the constructor argument that holds `value`.
    _value_name: str

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if num_thresholds <= 0:
            raise ValueError(f"Argument `num_thresholds` must be an integer > 0. Received: {num_thresholds}")
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self._even = num_thresholds > 1
        self.thresholds = [i / (num_thresholds - 1) for i in range(num_thresholds)] if self._even else [0.5]
        self._add_counts(self.thresholds)

    def _check_ratio(self, ratio: float) -> float:
        if ratio < 0 or ratio > 1:
            raise ValueError(f"Argument `{self._value_name}` must be in the range [0, 1]. Received: {ratio}")
        return ratio

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(
            y_true,
            y_pred,
            sample_weight,
            thresholds=self.thresholds,
            thresholds_distributed_evenly=self._even,
            class_id=self.class_id,
        )

    def _find_max_under_constraint(
        self, constrained: Any, dependent: Any, predicate: Callable[..., Any]
    ) -> Any:
        """The largest `dependent` where `predicate(constrained, value)` holds, 0 where it holds nowhere."""
        return ops.maximum(ops.max(ops.where(predicate(constrained, self.value), dependent, 0.0)), 0.0)

    def get_config(self) -> dict[str, Any]:
        config = {
            "class_id": self.class_id,
            "num_thresholds": self.num_thresholds,
            self._value_name: getattr(self, self._value_name),
        }
        return {**super().get_config(), **config}


class SensitivityAtSpecificity(SensitivitySpecificityBase):
    """Best sensitivity `tp / (tp + fn)` at a specificity `tn / (tn + fp)` of at least `specificity`.

    Args:
        specificity: in [0, 1].
        num_thresholds: how many thresholds are tried.
        class_id: look at this class only.
        name, dtype: see `Metric`.

    Raises:
        ValueError: if `specificity` is outside [0, 1] or `num_thresholds` is not positive.
    """

    _value_name = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(self._check_ratio(specificity), num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Any:
        return self._find_max_under_constraint(self._specificity(), self._recall(), ops.greater_equal)


class SpecificityAtSensitivity(SensitivitySpecificityBase):
    """Best specificity `tn / (tn + fp)` at a sensitivity `tp / (tp + fn)` of at least `sensitivity`.

    Args:
        sensitivity: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _value_name = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(self._check_ratio(sensitivity), num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Any:
        return self._find_max_under_constraint(self._recall(), self._specificity(), ops.greater_equal)


class PrecisionAtRecall(SensitivitySpecificityBase):
    """Best precision `tp / (tp + fp)` at a recall `tp / (tp + fn)` of at least `recall`.

    Args:
        recall: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _value_name = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(self._check_ratio(recall), num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Any:
        return self._find_max_under_constraint(self._recall(), self._precision(), ops.greater_equal)


class RecallAtPrecision(SensitivitySpecificityBase):
    """Best recall `tp / (tp + fn)` at a precision `tp / (tp + fp)` of at least `precision`.

    Args:
        precision: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _value_name = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(self._check_ratio(precision), num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Any:
        return self._find_max_under_constraint(self._precision(), self._recall(), ops.greater_equal)
