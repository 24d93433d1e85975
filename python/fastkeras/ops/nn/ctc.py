"""Connectionist temporal classification: the loss of a sequence without alignment, and decoding."""

from __future__ import annotations

from fastkeras.ops._common import (
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    call,
    cast_to,
    iota,
    join,
    missing,
    reduce_max,
    reduce_sum,
    symbolic_op,
)

# Stands for log(0): far below any log-probability, and finite, so that differences of two are defined.
_NEVER = -1e7


@symbolic_op
def ctc_loss(
    target: TensorLike,
    output: TensorLike,
    target_length: TensorLike,
    output_length: TensorLike,
    mask_index: int = 0,
) -> Tensor:
    """The negative log-probability of the label sequences, summed over all their alignments with the outputs.

    Args:
        target: (batch, labels), class indices.
        output: (batch, time, classes), logits.
        target_length: (batch,), how many of the labels count.
        output_length: (batch,), how many of the time steps count.
        mask_index: the class that means "no label".

    Returns:
        (batch,). A sequence that cannot be aligned (more labels, with a blank between equal ones, than time
        steps) gets a loss of 1e7.
    """
    target, output = cast_to(as_tensor(target), "int32"), as_float(output)
    target_length, output_length = (cast_to(as_tensor(n), "int32") for n in (target_length, output_length))
    if target.ndim != 2 or output.ndim != 3 or target.shape[0] != output.shape[0]:
        raise ValueError(
            "Expected target (batch, labels) and output (batch, time, classes); received shapes "
            f"{target.shape} and {output.shape}."
        )
    output = output if output.dtype == "float64" else cast_to(output, "float32")
    batch, steps, _ = output.shape
    labels = target.shape[1]
    log_p = call("log_softmax", output, axis=2)
    # States: blank, label 1, blank, label 2, ..., blank.
    states = 2 * labels + 1
    blank = call("full", value=mask_index, shape=[batch, labels, 1], dtype="int32")
    pairs = join([blank, call("reshape", target, shape=[batch, labels, 1])], 2)
    path = join(
        [
            call("reshape", pairs, shape=[batch, 2 * labels]),
            call("full", value=mask_index, shape=[batch, 1], dtype="int32"),
        ],
        1,
    )
    index = call(
        "broadcast_to", call("reshape", path, shape=[batch, 1, states]), shape=[batch, steps, states]
    )
    emission = call("take_along_axis", log_p, index, axis=2)
    # A label may follow the one before directly, without the blank between, unless the two are equal.
    never = call("full", value=_NEVER, shape=[batch, 2], dtype=output.dtype)
    if states > 2:
        skips = call(
            "logical_and",
            call("not_equal", path[:, 2:], mask_index),
            call("not_equal", path[:, 2:], path[:, :-2]),
        )
        skip = join(
            [never, call("where", skips, call("full", value=0, shape=[], dtype=output.dtype), _NEVER)], 1
        )
    else:
        skip = never[:, :states]
    position = call("reshape", iota(states), shape=[1, states])
    alpha = call("where", call("less", position, 2), emission[:, 0], _NEVER)
    for t in range(1, steps):
        one = join([never[:, :1], alpha[:, :-1]], 1)
        two = join([never, alpha[:, :-2]], 1)[:, :states] + skip if states > 2 else never[:, :states]
        moved = _log_sum(alpha, one, two) + emission[:, t]
        running = call("reshape", call("greater", output_length, t), shape=[batch, 1])
        alpha = call("where", running, call("maximum", moved, _NEVER), alpha)
    # Done at the last label or the blank after it.
    end = call("reshape", target_length * 2, shape=[batch, 1])
    final = call("logical_or", call("equal", position, end), call("equal", position, end - 1))
    alpha = call("where", final, alpha, _NEVER)
    largest = call("stop_gradient", reduce_max(alpha, [1], True))
    total = call("log", reduce_sum(call("exp", alpha - largest), [1])) + call(
        "reshape", largest, shape=[batch]
    )
    return -total


def _log_sum(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    largest = call("stop_gradient", call("maximum", call("maximum", a, b), c))
    return largest + call(
        "log", call("exp", a - largest) + call("exp", b - largest) + call("exp", c - largest)
    )


@symbolic_op
def ctc_decode(
    inputs: TensorLike,
    sequence_lengths: TensorLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Tensor, Tensor]:
    """The most likely label sequences.

    Args:
        inputs: (batch, time, classes), logits.
        sequence_lengths: (batch,), how many of the time steps count.
        strategy: "greedy", which takes the likeliest class of each step; "beam_search" is missing.
        merge_repeated: whether a class in consecutive steps is one label.
        mask_index: the class that means "no label"; the last one if None.

    Returns:
        The labels (1, batch, time), filled up with -1, and the negative sum of the chosen logits (batch, 1).
    """
    if strategy == "beam_search":
        raise missing("ops.ctc_decode(strategy='beam_search')", "Use strategy='greedy'.")
    if strategy != "greedy":
        raise ValueError(f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")
    x = as_float(inputs)
    x = x if x.dtype == "float64" else cast_to(x, "float32")
    if x.ndim != 3:
        raise ValueError(f"Expected inputs (batch, time, classes); received shape {x.shape}.")
    batch, steps, classes = x.shape
    blank = classes - 1 if mask_index is None else mask_index
    lengths = call("reshape", cast_to(as_tensor(sequence_lengths), "int32"), shape=[batch, 1])
    time = call("reshape", iota(steps), shape=[1, steps])
    counts = call("less", time, lengths)
    labels = call("where", counts, call("argmax", x, axis=2), blank)
    scores = reduce_sum(call("where", counts, reduce_max(x, [2]), 0.0), [1], True)
    if merge_repeated and steps > 1:
        first = call("full", value=0, shape=[batch, 1], dtype="bool")
        repeated = join([first, call("equal", labels[:, 1:], labels[:, :-1])], 1)
        labels = call("where", repeated, blank, labels)
    empty = call("equal", labels, blank)
    # Labels move to the front in their order: sort by time, what is empty last.
    order = call("argsort", call("where", empty, steps, time), axis=1)
    labels = call("take_along_axis", call("where", empty, -1, labels), order, axis=1)
    return call("reshape", labels, shape=[1, batch, steps]), -scores
