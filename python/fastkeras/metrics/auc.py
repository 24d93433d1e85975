"""Area under the ROC, precision-recall or precision-recall-gain curve, approximated at fixed thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.metrics.confusion import (
    ConfusionMatrix,
    is_evenly_distributed_thresholds,
    update_confusion_matrix_variables,
)
from fastkeras.metrics.metric import Metric


class AUCCurve(Enum):
    """The curves."""

    ROC = "ROC"
    PR = "PR"
    PRGAIN = "PRGAIN"


class AUCSummationMethod(Enum):
    """How the area between two points of a curve is taken."""

    INTERPOLATION = "interpolation"
    MAJORING = "majoring"
    MINORING = "minoring"


def _choose(kind: type[Enum], value: Any, argument: str) -> Any:
    if isinstance(value, kind):
        return value
    for member in kind:
        # As Keras: the name as written, in lower case, or (for the methods) capitalised.
        if value in (member.value, member.value.lower(), member.value.capitalize()):
            return member
    raise ValueError(f"AUC: expected {argument} to be one of {[m.value for m in kind]}, received {value!r}.")


class AUC(Metric):
    """Area under a curve of the confusion counts, by a Riemann sum over `num_thresholds` thresholds.

    Args:
        num_thresholds: number of thresholds, more than 1; more give a closer approximation.
        curve: `"ROC"`, `"PR"` (precision-recall) or `"PRGAIN"`.
        summation_method: `"interpolation"` (trapezoids; for PR, true positives are interpolated),
            `"minoring"` or `"majoring"` (the lower or the upper sum).
        name, dtype: see `Metric`.
        thresholds: thresholds in [0, 1] to use instead of `num_thresholds` evenly spaced ones.
        multi_label: whether to compute the area for each label (column) and average, rather than for all at
            once.
        num_labels: number of labels, if known, with `multi_label`.
        label_weights: weights of the labels: of the average with `multi_label`, of the counts without.
        from_logits: whether predictions are logits, to be passed through a sigmoid.

    Raises:
        ValueError: for an unknown curve or method, fewer than 2 thresholds, or `num_labels` without
            `multi_label`.

    Example:

    >>> m = AUC(num_thresholds=3)
    >>> m.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    >>> float(m.result())
    0.75
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str | AUCCurve = "ROC",
        summation_method: str | AUCSummationMethod = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.curve = _choose(AUCCurve, curve, "curve")
        self.summation_method = _choose(AUCSummationMethod, summation_method, "summation_method")
        self._init_from_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(thresholds)
            self._even = is_evenly_distributed_thresholds([0.0, *inner, 1.0])
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    "Argument `num_thresholds` must be an integer > 1. Received: "
                    f"num_thresholds={num_thresholds}"
                )
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
            self._even = True
        self.num_thresholds = len(inner) + 2
        # The outer ones are beyond 0 and 1, so that the curve has both its ends.
        self._thresholds = np.array([0.0 - epsilon(), *inner, 1.0 + epsilon()])

        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = (
            None if label_weights is None else ops.convert_to_tensor(label_weights, dtype=self.dtype)
        )
        self._from_logits = from_logits
        self._built = False
        if multi_label:
            if num_labels:
                self._build((None, num_labels))
        elif num_labels:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        else:
            self._build(None)

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, the outer ones included."""
        return list(self._thresholds)

    def _build(self, shape: Any) -> None:
        if self.multi_label:
            if len(shape) != 2:
                raise ValueError(
                    f"`y_pred` must have rank 2 when `multi_label=True`. Received shape: {tuple(shape)}."
                )
            state: tuple[int, ...] = (self.num_thresholds, shape[1])
        else:
            state = (self.num_thresholds,)
        self.true_positives = self.add_variable(state, "zeros", name="true_positives")
        self.false_positives = self.add_variable(state, "zeros", name="false_positives")
        self.true_negatives = self.add_variable(state, "zeros", name="true_negatives")
        self.false_negatives = self.add_variable(state, "zeros", name="false_negatives")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        if not self._built:
            self._build(y_pred.shape)
        update_confusion_matrix_variables(
            {
                ConfusionMatrix.TRUE_POSITIVES: self.true_positives,
                ConfusionMatrix.FALSE_POSITIVES: self.false_positives,
                ConfusionMatrix.TRUE_NEGATIVES: self.true_negatives,
                ConfusionMatrix.FALSE_NEGATIVES: self.false_negatives,
            },
            y_true,
            ops.sigmoid(y_pred) if self._from_logits else y_pred,
            thresholds=self._thresholds,
            thresholds_distributed_evenly=self._even,
            sample_weight=sample_weight,
            multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )

    def interpolate_pr_auc(self) -> Any:
        """Area under the precision-recall curve, with true positives interpolated between two thresholds.

        Between two points both the true positives and all positives move on a straight line, so that
        precision does not (Davis & Goadrich 2006, https://www.biostat.wisc.edu/~page/rocpr.pdf).
        """
        tp, fn = self.true_positives.value, self.false_negatives.value
        positives = tp + self.false_positives
        d_tp = tp[:-1] - tp[1:]
        slope = ops.divide_no_nan(d_tp, ops.maximum(positives[:-1] - positives[1:], 0.0))
        intercept = tp[1:] - slope * positives[1:]
        both = ops.logical_and(positives[:-1] > 0, positives[1:] > 0)
        ratio = ops.where(both, ops.divide_no_nan(positives[:-1], ops.maximum(positives[1:], 0.0)), 1.0)
        area = ops.divide_no_nan(
            slope * (d_tp + intercept * ops.log(ratio)), ops.maximum(tp[1:] + fn[1:], 0.0)
        )
        return self._total(area)

    def _points(self) -> tuple[Any, Any]:
        """The curve: x and y at each threshold."""
        tp, fp = self.true_positives.value, self.false_positives.value
        tn, fn = self.true_negatives.value, self.false_negatives.value
        if self.curve is AUCCurve.ROC:
            return ops.divide_no_nan(fp, fp + tn), ops.divide_no_nan(tp, tp + fn)
        if self.curve is AUCCurve.PR:
            return ops.divide_no_nan(tp, tp + fn), ops.divide_no_nan(tp, tp + fp)
        scale = ops.divide_no_nan(tp + fn, tn + fp)
        none = ops.equal(tp, 0.0)
        recall_gain = ops.where(none, 0.0, 1.0 - scale * ops.divide_no_nan(fn, tp))
        precision_gain = ops.where(none, 1.0, 1.0 - scale * ops.divide_no_nan(fp, tp))
        return ops.maximum(recall_gain, 0.0), precision_gain

    def result(self) -> Any:
        if self.curve is AUCCurve.PR and self.summation_method is AUCSummationMethod.INTERPOLATION:
            return self.interpolate_pr_auc()
        x, y = self._points()
        if self.summation_method is AUCSummationMethod.INTERPOLATION:
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method is AUCSummationMethod.MINORING:
            heights = ops.minimum(y[:-1], y[1:])
        else:
            heights = ops.maximum(y[:-1], y[1:])
        return self._total((x[:-1] - x[1:]) * heights)

    def _total(self, areas: Any) -> Any:
        """Sum over the thresholds, and the (weighted) mean over the labels where they are counted apart."""
        if not self.multi_label:
            return ops.sum(areas)
        areas = ops.sum(areas, axis=0)
        if self.label_weights is None:
            return ops.mean(areas)
        return ops.divide_no_nan(ops.sum(areas * self.label_weights), ops.sum(self.label_weights))

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve.value,
            "summation_method": self.summation_method.value,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.numpy().tolist(),
            "from_logits": self._from_logits,
        }
        if self._init_from_thresholds:
            # Plain numbers: the endpoints are added again by the constructor.
            config["thresholds"] = [float(t) for t in self._thresholds[1:-1]]
        return {**super().get_config(), **config}
