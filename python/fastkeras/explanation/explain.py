"""`explain`: compiles a model's steps as `predict` and `fit` do, times their instructions, and says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.traced_function import TracedFunction
from fastkeras.explanation.limits import machine_limits
from fastkeras.explanation.report import Explanation, Instruction, MemorySpan, PlanExplanation

_WARM_UP = 3


def explain(
    model: Any,
    x: Any = None,
    y: Any = None,
    training: bool | None = None,
    sample_weight: Any = None,
    runs: int = 30,
    seconds: float = 1.0,
) -> Explanation:
    """Says what runs when a model is called or trained: each instruction, its time, and why it is implemented so.

    The steps are compiled as `predict` and `fit` compile them, and run on copies of the variables: the model does not
    change.

    Args:
        model: a model. To explain training it has to be compiled. Or a `fastkeras.function`, with its one or two
            arguments as `x` and `y`.
        x: one batch of inputs, of shape (batch, ...), nested as the model takes them; or a source of batches, of which
            the first one is taken. If None, random inputs of the shapes that the model was built for, with a batch
            of 1 where it is not known.
        y: the targets of the batch. With them, the train step is explained as well.
        training: True for the train step alone, False for the inference step alone.
        sample_weight: weights of the samples of the batch.
        runs: how often each step is run, at most.
        seconds: how long each step is run, at most.

    Returns:
        An `Explanation`: print it for a table, `html(path)` writes a page.

    Raises:
        ValueError: if the train step is asked for without `y`, the model is not compiled, or its steps cannot be
            compiled because their Python code needs the values of tensors.

    Example:
        >>> report = fastkeras.explain(model, x[:32], y[:32])
        >>> print(report)
        >>> report.html("report.html")
        >>> max(report.instructions, key=lambda i: i.microseconds).layer
    """
    if isinstance(model, TracedFunction):
        name, steps = model.__name__, [_function_step(model, [a for a in (x, y) if a is not None])]
    else:
        name, steps = model.name, _model_steps(model, x, y, training, sample_weight)
    plans = tuple(_explained(f"{name}/", *step, runs, seconds) for step in steps)
    limits = machine_limits()
    machine = (
        f"{_engine.num_threads()} threads, {_engine.isa()}: {limits.matmul_gflops('float32'):.0f} GFLOP/s float32, "
        f"{limits.matmul_gflops('bfloat16'):.0f} bfloat16 matmul; {limits.loop_gbytes(1 << 28):.1f} GB/s memory, "
        f"{max(limits.loop_gbytes(1 << n) for n in (19, 22)):.0f} cache"
    )
    return Explanation(name, plans, machine)


# Name of a compiled step, the step, its inputs.
_Step = tuple[str, Any, Sequence[Any]]


def _model_steps(model: Any, x: Any, y: Any, training: bool | None, sample_weight: Any) -> list[_Step]:
    from fastkeras.training.data_adapters import is_dataset, unpack_x_y_sample_weight

    if is_dataset(x):
        x, y, sample_weight = unpack_x_y_sample_weight(next(iter(x)))
    if training and y is None:
        raise ValueError("explain(training=True) needs the targets of the batch: pass `y`.")
    if x is None:
        x = random_inputs(model)
    steps = []
    if not training:
        steps.append(_model_step(model, "predict", (x, None, None)))
    if y is not None and training is not False:
        model._check_compiled("explain")
        steps.append(_model_step(model, "train", (x, y, sample_weight)))
    return steps


def _model_step(model: Any, phase: str, batch: tuple[Any, Any, Any]) -> _Step:
    from fastkeras.training.data_adapters import get_data_adapter

    leaves = tree.flatten(batch[0])
    size = len(leaves[0]) if leaves and getattr(leaves[0], "shape", ()) else 1
    signature, arrays = next(iter(get_data_adapter(*batch, batch_size=size).batches()))
    step = model._steps_for(phase).step(signature)
    if not step.compiled:
        raise ValueError(
            f"The {phase} step of model '{model.name}' is not one compiled step: its Python code needs the values of "
            "tensors while it runs, or run_eagerly is set. `fastkeras.profiler` shows what it runs."
        )
    return f"{phase}_step", step.executable, arrays


def _function_step(function: TracedFunction, arguments: list[Any]) -> _Step:
    concrete = function.get_concrete_function(*arguments)
    return function.__name__, concrete.executable, function.tensors_among(*arguments)


def random_inputs(model: Any, batch: int = 1) -> Any:
    """Random inputs of the shapes a model was built for, nested as it takes them.

    Args:
        model: a functional or sequential model, or another one with known inputs.
        batch: the size of dimensions that are not known.

    Raises:
        ValueError: if the model does not know its inputs.
    """
    inputs = getattr(model, "_inputs_struct", None)
    if inputs is None:
        inputs = getattr(model, "inputs", None)
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]
    if inputs is None:
        raise ValueError(
            f"Model '{model.name}' does not know the shapes of its inputs: pass a batch as `x`. (Models made of "
            "`Input`s know them.)"
        )
    rng = np.random.default_rng(0)
    # Integers are most often looked up in an embedding: no index may be too large for any.
    sizes = [layer.input_dim for layer in model._flatten_layers() if hasattr(layer, "input_dim")]
    largest = max(1, min([n for n in sizes if isinstance(n, int)], default=2))

    def values(spec: Any) -> np.ndarray:
        shape = tuple(batch if d is None else d for d in spec.shape)
        dtype = str(spec.dtype)
        if dtype == "string":
            raise ValueError(f"Model '{model.name}' takes strings: pass a batch as `x`.")
        if "float" in dtype:
            return rng.random(shape, dtype=np.float32).astype(dtype if dtype != "bfloat16" else np.float32)
        if dtype == "bool":
            return rng.random(shape) < 0.5
        return rng.integers(0, largest, shape).astype(dtype)

    return tree.map_structure(values, inputs)


def random_targets(model: Any, x: Any) -> Any:
    """Random targets of the kind that the losses of a compiled model take, nested as its outputs.

    Args:
        model: a compiled model.
        x: a batch of inputs.

    Raises:
        ValueError: if the model is not compiled.
    """
    model._check_compiled("explain")
    outputs = model.predict(x, batch_size=len(tree.flatten(x)[0]), verbose=0)
    rng = np.random.default_rng(0)

    def targets(loss: Any, output: np.ndarray) -> np.ndarray:
        name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
        if "sparse" in name:
            return rng.integers(0, output.shape[-1], output.shape[:-1]).astype("int32")
        if "categorical" in name:
            return np.eye(output.shape[-1], dtype="float32")[
                rng.integers(0, output.shape[-1], output.shape[:-1])
            ]
        return rng.random(output.shape, dtype=np.float32)

    if isinstance(outputs, dict):
        losses = model.loss if isinstance(model.loss, dict) else dict.fromkeys(outputs, model.loss)
        return {name: targets(losses.get(name), output) for name, output in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        losses = model.loss
        if isinstance(losses, dict):
            losses = [losses.get(name) for name in model.output_names]
        elif not isinstance(losses, (list, tuple)):
            losses = [losses] * len(outputs)
        return [targets(loss, output) for loss, output in zip(losses, outputs)]
    loss = model.loss
    while isinstance(loss, (list, tuple, dict)):
        loss = next(iter(loss.values() if isinstance(loss, dict) else loss))
    return targets(loss, outputs)


def _explained(
    prefix: str, name: str, executable: Any, arrays: Sequence[Any], runs: int, seconds: float
) -> PlanExplanation:
    _engine.measure(executable, _WARM_UP, seconds, tuple(arrays))
    totals, times = _engine.measure(executable, max(1, runs), seconds, tuple(arrays))
    rows = _engine.instructions(executable)
    for row, ns in zip(rows, times):
        if row["products"] and row["compute"]:
            machine_limits().raise_matmul(row["compute"], row["products"] / max(ns, 1))
    memory = _engine.memory(executable)
    return PlanExplanation(
        name=name,
        instructions=tuple(
            _instruction(i, row, ns / 1e3, prefix) for i, (row, ns) in enumerate(zip(rows, times))
        ),
        microseconds=min(totals) / 1e3,
        runs=len(totals),
        passes=tuple(_engine.passes(executable)),
        memory=tuple(MemorySpan(*span) for span in memory["spans"]),
        arena_bytes=memory["arena_bytes"],
        peak_bytes=memory["peak_bytes"],
        kept_bytes=memory["kept_bytes"],
        graph=executable.graph_text(),
        lowered=executable.lowered_text(),
    )


def _instruction(index: int, row: dict[str, Any], microseconds: float, prefix: str) -> Instruction:
    limit, bound = _limit(row)
    layers = [label.removeprefix(prefix) for label in row["label"].split(" + ") if label]
    return Instruction(
        index=index,
        op=row["op"],
        kind=row["kind"],
        layers=tuple(dict.fromkeys(layers)),
        implementation=row["implementation"],
        refusals=tuple(row["refusals"]),
        inputs=tuple(row["inputs"]),
        outputs=tuple(row["outputs"]),
        sources=tuple(row["sources"]),
        operations=row["operations"],
        bytes_read=row["bytes_read"],
        bytes_written=row["bytes_written"],
        microseconds=microseconds,
        limit_microseconds=limit,
        bound=bound,
        details=row["details"],
    )


def _limit(row: dict[str, Any]) -> tuple[float, str]:
    """Microseconds that an instruction takes at best, and what limits it."""
    limits = machine_limits()
    traffic = row["bytes_read"] + row["bytes_written"]
    memory = traffic / limits.loop_gbytes(traffic) / 1e3
    if row["products"] and row["compute"]:
        compute = row["products"] / limits.matmul_gflops(row["compute"]) / 1e3
        if compute > memory:
            return compute, "compute"
    return memory, "memory"
