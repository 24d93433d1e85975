"""CompileMetrics: the metrics given to `compile()`, matched to the outputs of a model and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastkeras import metrics as metrics_module
from fastkeras.core import tree
from fastkeras.core.naming import get_object_name
from fastkeras.training.structures import Path, align, output_paths


class CompileMetrics:
    """All metrics of `compile(metrics=..., weighted_metrics=...)` as one metric with a dict of results.

    With several outputs each result is named `<output>_<metric>`.

    Args:
        metrics: list or dict of metrics, nested as the outputs are; updated without sample weights.
        weighted_metrics: the same, updated with sample weights.
        name: name of this metric.
        output_names: names of the outputs, if the model has them.

    Raises:
        ValueError: if an argument is neither a list nor a dict, or does not fit the outputs.
    """

    def __init__(
        self,
        metrics: Any,
        weighted_metrics: Any,
        name: str = "compile_metrics",
        output_names: Sequence[str] | None = None,
    ) -> None:
        for argument, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise ValueError(
                    f"Expected `{argument}` argument to be a list, tuple, or dict. Received instead: "
                    f"{argument}={value!r} of type {type(value)}. Wrap a single metric in a list."
                )
        self._user_metrics = metrics
        self._user_weighted_metrics = weighted_metrics
        self.name = name
        self.output_names = list(output_names) if output_names else None
        self.built = False
        # (output index, metric, name in the logs), unweighted and weighted.
        self._plain: list[tuple[int, Any, str]] = []
        self._weighted: list[tuple[int, Any, str]] = []

    @property
    def metrics(self) -> list[Any]:
        """The metrics, without duplicates; empty before the first batch."""
        unique: dict[int, Any] = {id(m): m for _, m, _ in self._plain + self._weighted}
        return list(unique.values())

    @property
    def variables(self) -> list[Any]:
        """The variables of all metrics."""
        return [v for m in self.metrics for v in m.variables]

    def named_metrics(self) -> Iterator[tuple[str, Any]]:
        """(name in the logs, metric) pairs."""
        for _, metric, name in self._plain + self._weighted:
            yield name, metric

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Matches the metrics to the outputs; `"accuracy"` and such are resolved by the shapes."""
        outputs = output_paths(y_pred)
        targets = self._per_output(y_true, y_pred, "y")
        taken: set[str] = set()
        plain = self._match(self._user_metrics, "metrics", targets, outputs, y_pred, taken, set())
        unweighted = set(taken)
        weighted = self._match(
            self._user_weighted_metrics, "weighted_metrics", targets, outputs, y_pred, taken, unweighted
        )
        self._plain, self._weighted = plain, weighted
        self.built = True

    def _match(
        self,
        spec: Any,
        argument: str,
        targets: list[Any],
        outputs: list[tuple[Path, Any]],
        y_pred: Any,
        taken: set[str],
        unweighted: set[str],
    ) -> list[tuple[int, Any, str]]:
        if spec is None or (isinstance(spec, (list, tuple, dict)) and not spec):
            return []
        per_output: list[Any]
        if len(outputs) == 1:
            self._check_single(spec, y_pred, argument)
            per_output = [tree.flatten(spec)]
        else:
            per_output = align(spec, y_pred, self.output_names, argument, _is_metric)
        matched = []
        for i, entry in enumerate(per_output):
            path, prediction = outputs[i]
            prefix = "" if len(outputs) == 1 else self._prefix(i, path)
            for identifier in entry if isinstance(entry, (list, tuple)) else [entry]:
                if identifier is None:
                    continue
                if targets[i] is None:
                    raise ValueError(
                        f"`{argument}` has {identifier!r} for output {i} of the model, but there are no "
                        "targets for it. Pass them in `y`."
                    )
                metric = _standardize_metric(identifier, targets[i], prediction)
                name = prefix + metric.name
                if name in unweighted:
                    name = f"{prefix}weighted_{metric.name}"
                base, n = name, 0
                while name in taken:
                    n += 1
                    name = f"{base}_{n}"
                taken.add(name)
                matched.append((i, metric, name))
        return matched

    def _check_single(self, spec: Any, y_pred: Any, argument: str) -> None:
        """A dict for a single output must name that output."""
        known = list(y_pred) if isinstance(y_pred, dict) else self.output_names
        if isinstance(spec, dict) and known:
            unknown = [k for k in spec if k not in known]
            if unknown:
                raise ValueError(
                    f"`{argument}` has the keys {unknown}, which are no outputs of the model. The outputs "
                    f"are: {known}. Name the outputs as the model does, or pass a list of metrics."
                )

    def _prefix(self, index: int, path: Path) -> str:
        if len(path) == 1 and isinstance(path[0], str):
            return f"{path[0]}_"
        if self.output_names and len(path) == 1 and index < len(self.output_names):
            return f"{self.output_names[index]}_"
        # Outputs without names, and those nested deeper, go by the metric's own name.
        return ""

    def _per_output(self, values: Any, y_pred: Any, what: str) -> list[Any]:
        n = len(tree.flatten(y_pred))
        if values is None:
            return [None] * n
        if n == 1:
            flat = tree.flatten(values)
            if len(flat) == 1:
                return flat
        if not tree.is_nested(values):
            if what == "sample_weight":
                return [values] * n
            raise ValueError(
                f"The model has {n} outputs, but `{what}` is a single array. Pass one array per output, "
                "as a list or a dict by output name."
            )
        return align(values, y_pred, self.output_names, what, _is_array)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Updates every metric with one batch.

        Args:
            y_true: targets, nested as the outputs, by output name, or a flat list.
            y_pred: outputs of the model.
            sample_weight: None, one array for all outputs, or nested as the targets; for the weighted metrics
                only.
        """
        if not self.built:
            self.build(y_true, y_pred)
        predictions = tree.flatten(y_pred)
        targets = self._per_output(y_true, y_pred, "y")
        for i, metric, _ in self._plain:
            metric.update_state(targets[i], predictions[i])
        if self._weighted:
            weights = self._per_output(sample_weight, y_pred, "sample_weight")
            for i, metric, _ in self._weighted:
                metric.update_state(targets[i], predictions[i], sample_weight=weights[i])

    def reset_state(self) -> None:
        """Resets every metric."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        """Returns the results by their names in the logs."""
        if not self.built:
            raise ValueError(
                "The metrics have no results before the first batch. Call fit(), evaluate() or "
                "update_state() first."
            )
        results: dict[str, Any] = {}
        for name, metric in self.named_metrics():
            value = metric.result()
            if isinstance(value, dict):
                results.update(value)
            else:
                results[name] = value
        return results

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized."""
        from fastkeras.saving import serialize_keras_object

        return {
            "metrics": serialize_keras_object(self._user_metrics),
            "weighted_metrics": serialize_keras_object(self._user_weighted_metrics),
        }


def _is_metric(x: Any) -> bool:
    return (
        x is not None and not isinstance(x, (list, tuple)) and (not isinstance(x, dict) or "class_name" in x)
    )


def _is_array(x: Any) -> bool:
    return x is not None and not tree.is_nested(x)


def _standardize_metric(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """The Metric for a name, a function of (y_true, y_pred) or a Metric, under the name the user gave it."""
    if isinstance(identifier, metrics_module.Metric):
        return identifier
    lowered = str(identifier).lower() if isinstance(identifier, str) else ""
    if lowered in ("accuracy", "acc"):
        kind = metrics_module.SparseCategoricalAccuracy
        if _is_binary(y_pred):
            kind = metrics_module.BinaryAccuracy
        elif not _is_sparse(y_true, y_pred):
            kind = metrics_module.CategoricalAccuracy
        return kind(name=str(identifier))
    if lowered in ("crossentropy", "ce"):
        kind = metrics_module.SparseCategoricalCrossentropy
        if _is_binary(y_pred):
            kind = metrics_module.BinaryCrossentropy
        elif not _is_sparse(y_true, y_pred):
            kind = metrics_module.CategoricalCrossentropy
        return kind(name=str(identifier))
    metric = metrics_module.get(identifier)
    if isinstance(identifier, str):
        name = identifier
    else:
        name = get_object_name(metric)
    if not isinstance(metric, metrics_module.Metric):
        return metrics_module.MeanMetricWrapper(metric, name=name)
    if isinstance(identifier, str):
        metric.name = name
    return metric


def _is_binary(y_pred: Any) -> bool:
    return len(y_pred.shape) > 0 and y_pred.shape[-1] == 1


def _is_sparse(y_true: Any, y_pred: Any) -> bool:
    """Whether the targets are class indices rather than one value per class."""
    return len(y_true.shape) < len(y_pred.shape) or (y_true.shape[-1] == 1 and y_pred.shape[-1] > 1)
