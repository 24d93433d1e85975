"""Compiled steps: a Python function of a batch, traced once per signature and then run as one engine call.

`fit`, `evaluate` and `predict` each have a StepFunction. Asked for a new signature it traces its body,
compiles the trace and keeps the executable; a body that needs values while it is traced (a Python `if` on a
tensor) is run eagerly for every batch instead. Either way the loop holds a `Step` and calls
`step.run(*arrays)`.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import optree

from fastkeras import _engine
from fastkeras.core.scopes import state_scope
from fastkeras.core.traced_function import _user_line as user_line
from fastkeras.training.data_adapters.adapter import Signature
from fastkeras.training.data_adapters.arrays import NAMESPACE

_logger = logging.getLogger("fastkeras")

# Tracing runs the layers' Python code, which keeps state on the layers. Layers may be shared between models,
# hence one lock for all; running a compiled step needs none.
TRACE_LOCK = threading.RLock()

# Compiled signatures kept per step function.
CAPACITY = 32


class Step:
    """A step ready to run on batches of one signature.

    Attributes:
        run: takes the arrays of a batch, returns a list of tensors.
        compiled: whether `run` is one engine call (rather than Python code running eagerly).
    """

    __slots__ = ("run", "compiled", "executable", "last_used", "_treedef", "_constants")

    def __init__(self, run: Callable[..., list[Any]], executable: Any = None) -> None:
        self.run = run
        self.executable = executable
        self.compiled = executable is not None
        self.last_used = 0
        self._treedef: Any = None
        self._constants: list[tuple[int, Any]] = []

    def set_structure(self, treedef: Any, constants: list[tuple[int, Any]]) -> None:
        """Notes the nesting of the result, and those of its leaves that are plain Python values."""
        self._treedef = treedef
        self._constants = constants

    @property
    def is_single_tensor(self) -> bool:
        """Whether the body returns one tensor and nothing around it."""
        return not self._constants and self._treedef is not None and self._treedef.is_leaf()

    @property
    def returns_nothing(self) -> bool:
        """Whether the body returns None, leaving its results in the metrics."""
        return not self._constants and self._treedef is not None and self._treedef.num_leaves == 0

    def rebuild(self, outputs: Sequence[Any]) -> Any:
        """Returns what the body returned, from what `run` returned."""
        leaves = list(outputs)
        for index, value in self._constants:
            leaves.insert(index, value)
        return self._treedef.unflatten(leaves)


class StepFunction:
    """A function of a batch, compiled per signature.

    Args:
        body: takes the batch in its nesting, returns nested tensors.
        name: name for traces and messages.
        eager: whether to run the body eagerly, without compiling.
        on_trace: called after every trace.
    """

    def __init__(
        self,
        body: Callable[[Any], Any],
        name: str,
        eager: bool = False,
        on_trace: Callable[[], None] | None = None,
    ) -> None:
        self._body = body
        self._name = name
        self.eager = eager
        self._on_trace = on_trace
        self._steps: dict[Any, Step] = {}
        # Steps found without making a Signature first, by the shapes and types of plain arrays.
        self.by_arrays: dict[Any, Step] = {}
        self._clock = 0

    def step(self, signature: Signature) -> Step:
        """Returns the step for a signature, tracing and compiling it if it is new."""
        step = self._steps.get(signature)
        if step is None:
            with TRACE_LOCK:
                step = self._steps.get(signature)
                if step is None:
                    step = self._make(signature)
        # Two threads may write the same number: good enough for choosing what to drop.
        self._clock += 1
        step.last_used = self._clock
        return step

    def remember(self, key: Any, step: Step) -> None:
        """Makes `by_arrays[key]` the step, if it is a compiled one."""
        if step.compiled:
            if len(self.by_arrays) >= CAPACITY:
                self.by_arrays.clear()
            self.by_arrays[key] = step

    def _make(self, signature: Signature) -> Step:
        step = None if self.eager else self._traced(signature)
        if step is None:
            step = self._eager(signature)
        if len(self._steps) >= CAPACITY:
            oldest = min(self._steps, key=lambda s: self._steps[s].last_used)
            del self._steps[oldest]
        self._steps[signature] = step
        return step

    def _traced(self, signature: Signature) -> Step | None:
        trace = _engine.Trace(self._name)
        try:
            with state_scope(), trace:
                inputs = [
                    trace.input(shape, dtype, f"input_{i}")
                    for i, (shape, dtype) in enumerate(zip(signature.shapes, signature.dtypes))
                ]
                result = self._body(signature.treedef.unflatten(inputs))
                outputs, treedef, constants = _split(result)
            executable = trace.compile(outputs)
        except _engine.TracedValueError as error:
            _logger.info(
                "%s needs the value of a tensor while it is traced%s. From now on its Python code runs for every "
                "batch; what it records between two values is compiled.",
                self._name,
                user_line(traceback.extract_tb(error.__traceback__)),
            )
            self.eager = True
            return None
        finally:
            if self._on_trace is not None:
                self._on_trace()
        step = Step(executable, executable)
        step.set_structure(treedef, constants)
        return step

    def _eager(self, signature: Signature) -> Step:
        body, unflatten, tensor = self._body, signature.treedef.unflatten, _engine.tensor

        def run(*arrays: Any) -> list[Any]:
            with state_scope(), _engine.Tape():  # the body may ask for values before it asks for gradients
                result = body(unflatten([tensor(a) for a in arrays]))
            outputs, treedef, constants = _split(result)
            step.set_structure(treedef, constants)
            _engine.flush()
            return outputs

        step = Step(run)
        return step


def _split(result: Any) -> tuple[list[Any], Any, list[tuple[int, Any]]]:
    """(tensors, treedef, [(index, value) of other leaves]) of a nested result."""
    leaves, treedef = optree.tree_flatten(result, namespace=NAMESPACE)
    tensors: list[Any] = []
    constants: list[tuple[int, Any]] = []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, _engine.Cell):
            leaf = leaf.value
        if isinstance(leaf, _engine.Tensor):
            tensors.append(leaf)
        else:
            constants.append((i, leaf))
    return tensors, treedef, constants


def traced_call(function: Callable[[], Any], name: str) -> Callable[[], Any] | None:
    """Compiles a function without inputs into one engine call; None if it needs values while it is traced."""
    with TRACE_LOCK:
        trace = _engine.Trace(name)
        try:
            with state_scope(), trace:
                tensors, treedef, constants = _split(function())
            executable = trace.compile(tensors)
        except _engine.TracedValueError:
            return None
    step = Step(executable, executable)
    step.set_structure(treedef, constants)
    return lambda: step.rebuild(executable())
