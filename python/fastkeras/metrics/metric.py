"""`Metric`, the base class of metrics: state variables, an update that can be traced, and a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import initializers, ops
from fastkeras.core import config as _config
from fastkeras.core import dtype_policies
from fastkeras.core.naming import auto_name, name_scope
from fastkeras.core.scopes import StatelessScope
from fastkeras.core.tracking import Tracker
from fastkeras.core.variable import Variable


class Metric:
    """Base class of metrics.

    A subclass creates its state in `__init__` with `add_variable`, changes it in `update_state` with ops and
    `assign` (no NumPy: the update runs inside the compiled training step) and computes the metric in
    `result`.

    Args:
        dtype: dtype of the computation (or a `DTypePolicy`, whose compute dtype is taken); `floatx()` if
            None.
        name: name of the metric; made from the class name if None.

    Example:

    ```python
    class MaxError(fastkeras.Metric):
        def __init__(self, name="max_error", **kwargs):
            super().__init__(name=name, **kwargs)
            self.worst = self.add_variable(shape=(), initializer="zeros", name="worst")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.worst.assign(ops.maximum(self.worst, ops.max(ops.abs(y_true - y_pred))))

        def result(self):
            return self.worst
    ```
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []
        # From here on, variables and metrics assigned to attributes belong to this metric.
        self._tracker = Tracker(
            {
                "variables": (lambda x: isinstance(x, Variable), self._variables),
                "metrics": (lambda x: isinstance(x, Metric), self._metrics),
            }
        )
        self.name = name or auto_name(self.__class__.__name__)
        self._dtype_policy = dtype_policies.get(dtype or _config.floatx())
        self._dtype = self._dtype_policy.compute_dtype

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """State variables of this metric and of the metrics it holds."""
        self._check_super_called()
        found = list(self._variables)
        for metric in self._metrics:
            found.extend(metric.variables)
        return found

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any,
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """Create a state variable.

        Args:
            shape: its shape.
            initializer: an initializer, or the name of one.
            dtype: its dtype; `floatx()` if None.
            aggregation: how replicas combine their values.
            name: its name.

        Raises:
            RuntimeError: if `super().__init__()` has not been called.
        """
        self._check_super_called()
        with name_scope(self.name.replace("/", ">"), caller=self):
            variable = Variable(
                initializer=initializers.get(initializer),
                shape=tuple(shape),
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                synchronization="on_read",
                name=name,
            )
        self._tracker.add_to_store("variables", variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """The older name of `add_variable`; without an initializer, the state starts at zero."""
        return self.add_variable(
            shape, "zeros" if initializer is None else initializer, dtype=dtype, name=name
        )

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take one batch into account. To be written by subclasses."""
        raise NotImplementedError(f"{self.__class__.__name__} must implement update_state().")

    def result(self) -> Any:
        """The metric so far: a scalar tensor, or a dictionary of them. To be written by subclasses."""
        raise NotImplementedError(f"{self.__class__.__name__} must implement result().")

    def reset_state(self) -> None:
        """Set every state variable back to zero."""
        for v in self.variables:
            v.assign(ops.zeros(v.shape, dtype=v.dtype))

    def stateless_update_state(self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """`update_state` as a function: from values of `variables` to their new values, changing nothing."""
        with self._stateless(metric_variables) as scope:
            self.update_state(*args, **kwargs)
        return self._current_values(scope, metric_variables)

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` as a function of the values of `variables`."""
        with self._stateless(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """Values of `variables` after `reset_state`, changing nothing."""
        variables = self.variables
        with StatelessScope() as scope:
            self.reset_state()
        return self._current_values(scope, [v.value for v in variables])

    def _stateless(self, metric_variables: Sequence[Any]) -> StatelessScope:
        variables = self.variables
        if len(metric_variables) != len(variables):
            raise ValueError(
                f"Argument `metric_variables` of {self.__class__.__name__} must hold one value for each of "
                "its "
                f"{len(variables)} variables. Received {len(metric_variables)} values."
            )
        return StatelessScope(state_mapping=list(zip(variables, metric_variables)))

    def _current_values(self, scope: StatelessScope, previous: Sequence[Any]) -> list[Any]:
        current = [scope.get_current_value(v) for v in self.variables]
        return [old if new is None else new for new, old in zip(current, previous)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self._check_super_called()
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        return cls(**config)

    def __setattr__(self, name: str, value: Any) -> None:
        tracker = self.__dict__.get("_tracker")
        object.__setattr__(self, name, value if tracker is None else tracker.track(value))

    def _check_super_called(self) -> None:
        if "_tracker" not in self.__dict__:
            raise RuntimeError(
                f"In metric {self.__class__.__name__!r}, `super().__init__()` was not called. Call it first "
                "in "
                "`__init__()`: it creates what the metric's variables are kept in."
            )

    def _obj_type(self) -> str:
        return "Metric"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} name={self.name}>"
