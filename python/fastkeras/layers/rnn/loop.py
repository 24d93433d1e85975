"""The loop over time that all recurrent layers share: one `ops.scan`, or a Python loop where it is unrolled.

Masked steps leave the states as they are. Their output is zero, or that of the last step that was not masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras import ops
from fastkeras.core import tree

Step = Callable[[Any, Any], tuple[Any, Any]]


def run_loop(
    step: Step,
    sequences: Any,
    states: Any,
    *,
    prepare: Callable[[Any], Any] | None = None,
    reverse: bool = False,
    mask: Any = None,
    unroll: bool = False,
    zero_masked: bool = False,
    all_outputs: bool = True,
    output_state: int = 0,
) -> tuple[Any, Any, Any]:
    """Runs `step` on every time step of `sequences`.

    Args:
        step: function of one step's input and the states that returns its output and the new states.
        sequences: tensor `(batch, time, ...)`.
        states: the first states, in any nest.
        prepare: applied once to the whole of `(time, batch, ...)`: what needs no states is done there.
        reverse: whether to begin with the last step. The outputs are then in the order of computation.
        mask: `(batch, time)`, False where a step is to be passed over; further axes count as one.
        unroll: whether to repeat the step in the program instead of looping.
        zero_masked: whether the output of masked steps is zero.
        all_outputs: whether the outputs of all steps are wanted.
        output_state: the index of the state that the cell returns as its output too, as far as it does: in a stack
            that of the last cell.

    Returns:
        The last output, all outputs `(batch, time, ...)` (or None) and the last states, in the nest of `states`.
    """
    xs = ops.swapaxes(sequences, 0, 1)
    if prepare is not None:
        xs = prepare(xs)
    keep = None if mask is None else ops.swapaxes(steps_to_keep(mask), 0, 1)
    step = _in_nest_of(states, step)
    if unroll:
        return _unrolled(step, xs, states, keep, reverse, zero_masked, all_outputs)
    return _scanned(step, xs, states, keep, reverse, zero_masked, all_outputs, output_state)


def steps_to_keep(mask: Any) -> Any:
    """The mask as booleans `(batch, time)`."""
    mask = ops.cast(mask, "bool")
    if len(mask.shape) > 2:
        mask = ops.any(mask, axis=tuple(range(2, len(mask.shape))))
    return mask


def _in_nest_of(states: Any, step: Step) -> Step:
    """`step` with new states in the nest and the types that the states came in, whatever a cell returns."""
    dtypes = [x.dtype for x in tree.flatten(states)]
    count = len(dtypes)

    def wrapped(x: Any, now: Any) -> tuple[Any, Any]:
        output, new = step(x, now)
        flat = tree.flatten(new)
        if len(flat) != count:
            raise ValueError(
                f"The cell was given {count} state tensors and returned {len(flat)}. Expected `call(inputs, "
                "states)` to return the output and as many new states as it has."
            )
        # Cells in a stack may compute in types of their own.
        flat = [
            x if getattr(x, "dtype", d) == d else ops.cast(x, d) for x, d in zip(flat, dtypes, strict=True)
        ]
        return output, tree.pack_sequence_as(states, flat)

    return wrapped


def _choose(keep: Any, new: Any, old: Any) -> Any:
    """`new` for the samples to keep, else `old`; `keep` is `(batch,)`."""
    return ops.where(ops.reshape(keep, (-1, *[1] * (len(new.shape) - 1))), new, old)


def _scanned(
    step: Step,
    xs: Any,
    states: Any,
    keep: Any,
    reverse: bool,
    zero_masked: bool,
    all_outputs: bool,
    output_state: int,
) -> tuple[Any, Any, Any]:
    def as_output(states: Any) -> Any:
        return tree.flatten(states[output_state])[0]

    # What the recording of the body finds out about the cell.
    is_state = fill = False

    def body(carry: Any, now: Any) -> tuple[Any, Any]:
        nonlocal is_state, fill
        x, kept = now if keep is not None else (now, None)
        output, new = step(x, carry)
        is_state = output is as_output(new)
        if kept is not None:
            if all_outputs or not is_state:
                before = as_output(carry)
                if zero_masked:
                    output = _choose(kept, output, ops.zeros_like(output))
                elif before.shape == output.shape:
                    output = _choose(kept, output, ops.cast(before, output.dtype))
                else:
                    fill = True
            new = tree.map_structure(lambda a, b: _choose(kept, a, b), new, carry)
        # A single output that is a state as well need not be noted at every step.
        return new, output if all_outputs or not is_state else None

    last_states, ys = ops.scan(body, states, xs if keep is None else (xs, keep), reverse=reverse)
    if ys is None:
        last = as_output(last_states)
        if keep is not None and zero_masked:
            last = _choose(keep[0 if reverse else -1], last, ops.zeros_like(last))
        return last, None, last_states
    if fill:
        ys = _filled(ys, keep, reverse)
    last = ys[0 if reverse else -1]
    if not all_outputs:
        return last, None, last_states
    if reverse:
        ys = ops.flip(ys, axis=0)
    return last, ops.swapaxes(ys, 0, 1), last_states


def _filled(ys: Any, keep: Any, reverse: bool) -> Any:
    """Outputs that are no states: a masked step repeats the one before it; the first ones are zero."""

    def body(before: Any, now: Any) -> tuple[Any, Any]:
        y = _choose(now[1], now[0], before)
        return y, y

    return ops.scan(body, ops.zeros_like(ys[0]), (ys, keep), reverse=reverse)[1]


def _unrolled(
    step: Step, xs: Any, states: Any, keep: Any, reverse: bool, zero_masked: bool, all_outputs: bool
) -> tuple[Any, Any, Any]:
    outputs: list[Any] = []
    before = None
    steps = range(xs.shape[0])
    for t in reversed(steps) if reverse else steps:
        output, new = step(xs[t], states)
        if keep is None:
            states = new
        else:
            other = ops.zeros_like(output) if zero_masked or before is None else before
            output = _choose(keep[t], output, other)
            states = tree.map_structure(lambda a, b, t=t: _choose(keep[t], a, b), new, states)
        before = output
        if all_outputs:
            outputs.append(output)
    return before, ops.stack(outputs, axis=1) if all_outputs else None, states
