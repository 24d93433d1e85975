"""Einsum: any Einstein summation, worked out as transposes, matrix products, products and sums.

An equation is planned once for given shapes: operands are reduced to the labels that matter, then contracted
two at a time, the cheapest pair first. A pair becomes one batched matrix product whose operands are
transposed only when no reading order of theirs fits; a pair with nothing to sum becomes a product. The plan
is a list of engine calls, remembered for the next time.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from fastkeras.ops._common import FLOATS, Tensor, TensorLike, call, cast_to, count, same_dtype, symbolic_op
from fastkeras.ops.numpy.contraction import matrix_product

# A label is one character: a letter of the equation, or one of these for a dimension that `...` stands for.
_DOTS = "0123456789"


@symbolic_op
def einsum(subscripts: str, *operands: TensorLike, **kwargs: Any) -> Tensor:
    """Evaluates an Einstein summation over any number of operands.

    Labels that two operands share are multiplied along; labels missing from the output are summed over; `...`
    stands for dimensions that broadcast. Without `->`, the output has the labels that occur once, sorted.

    Args:
        subscripts: the equation, such as "bij,bjk->bik".
        operands: a tensor for each term of the equation. Their type is promoted; int8 operands give int32.
        kwargs: `optimize` is accepted and ignored.

    Example:
        >>> ops.einsum("ij->j", [[1, 2], [3, 4]])
        [4, 6]
        >>> ops.einsum("i,i", [1, 2], [3, 4])
        11
    """
    kwargs.pop("optimize", None)
    if kwargs:
        raise TypeError(f"ops.einsum got unexpected keyword arguments: {', '.join(sorted(kwargs))}.")
    if not operands:
        raise ValueError("ops.einsum needs at least one operand.")
    tensors = same_dtype(operands)
    dtype = tensors[0].dtype
    plan = _plan(subscripts, tuple(t.shape for t in tensors))
    if dtype in FLOATS:
        return _run(plan, tensors)
    # Integers in at least 32 bits, booleans counted and compared with 0.
    work = {"bool": "int32", "int8": "int32"}.get(dtype, dtype)
    out = _run(plan, [cast_to(t, work) for t in tensors])
    return call("not_equal", out, 0) if dtype == "bool" else out


def _run(plan: list[tuple[str, tuple[int, ...], dict[str, Any]]], values: list[Tensor]) -> Tensor:
    values = list(values)
    for op, inputs, attributes in plan:
        if op == "matmul":
            values.append(matrix_product(values[inputs[0]], values[inputs[1]], **attributes))
        else:
            values.append(call(op, *[values[i] for i in inputs], **attributes))
    return values[-1]


class _Part:
    """A tensor of a plan: its place among the values, its labels and their sizes."""

    __slots__ = ("place", "labels", "shape")

    def __init__(self, place: int, labels: str, shape: Sequence[int]) -> None:
        self.place = place
        self.labels = labels
        self.shape = list(shape)


class _Planner:
    """Collects the engine calls of an equation; every method returns the part that a call makes."""

    def __init__(self, operands: int) -> None:
        self.steps: list[tuple[str, tuple[int, ...], dict[str, Any]]] = []
        self.values = operands

    def emit(
        self, op: str, inputs: tuple[_Part, ...], labels: str, size: Sequence[int], /, **attributes: Any
    ) -> _Part:
        self.steps.append((op, tuple(p.place for p in inputs), attributes))
        self.values += 1
        return _Part(self.values - 1, labels, size)

    def reshape(self, p: _Part, labels: str, shape: Sequence[int]) -> _Part:
        if list(shape) == p.shape:
            return _Part(p.place, labels, shape)
        return self.emit("reshape", (p,), labels, shape, shape=list(shape))

    def order(self, p: _Part, labels: str) -> _Part:
        """Transposes to the given order of the same labels."""
        perm = [p.labels.index(c) for c in labels]
        if perm == list(range(len(perm))):
            return p
        return self.emit("transpose", (p,), labels, [p.shape[i] for i in perm], perm=perm)

    def sum_out(self, p: _Part, keep: set[str]) -> _Part:
        axes = [i for i, c in enumerate(p.labels) if c not in keep]
        if not axes:
            return p
        labels = "".join(c for c in p.labels if c in keep)
        shape = [d for i, d in enumerate(p.shape) if i not in axes]
        return self.emit("reduce_sum", (p,), labels, shape, axes=axes, keepdims=False)

    def diagonal(self, p: _Part, c: str) -> _Part:
        """The diagonal of the first two dimensions with label c: every (n + 1)-th element of the square."""
        a = p.labels.index(c)
        b = p.labels.index(c, a + 1)
        n = p.shape[a]
        rest = [i for i in range(len(p.shape)) if i not in (a, b)]
        perm = [*rest, a, b]
        lead = [p.shape[i] for i in rest]
        labels = "".join(p.labels[i] for i in rest) + c
        if perm != list(range(len(perm))):
            p = self.emit("transpose", (p,), "", [*lead, n, n], perm=perm)
        p = self.emit("reshape", (p,), "", [*lead, n * n], shape=[*lead, n * n])
        start, stop, step = [0] * (len(lead) + 1), [*lead, n * n], [1] * len(lead) + [n + 1]
        return self.emit("slice", (p,), labels, [*lead, n], start=start, stop=stop, step=step)

    def multiply(self, a: _Part, b: _Part, target: str) -> _Part:
        """The product of two parts, each transposed and padded with ones to the order of the result."""
        everything = a.labels + "".join(c for c in b.labels if c not in a.labels)
        order = "".join(c for c in target if c in everything)
        order += "".join(c for c in everything if c not in order)
        sizes = {**dict(zip(a.labels, a.shape, strict=True)), **dict(zip(b.labels, b.shape, strict=True))}
        a, b = (
            self.reshape(
                self.order(p, "".join(c for c in order if c in p.labels)),
                order,
                [sizes[c] if c in p.labels else 1 for c in order],
            )
            for p in (a, b)
        )
        return self.emit("multiply", (a, b), order, [sizes[c] for c in order])


@functools.lru_cache(maxsize=512)
def _plan(
    subscripts: str, shapes: tuple[tuple[int, ...], ...]
) -> list[tuple[str, tuple[int, ...], dict[str, Any]]]:
    terms, output = _parse(subscripts, tuple(len(s) for s in shapes))
    sizes = _sizes(subscripts, terms, shapes)
    planner = _Planner(len(shapes))
    parts = [
        _simplify(planner, _Part(i, t, s), sizes) for i, (t, s) in enumerate(zip(terms, shapes, strict=True))
    ]
    while len(parts) > 1:
        i, j = _cheapest_pair(parts, output, sizes) if len(parts) > 2 else (0, 1)
        right, left = parts.pop(j), parts.pop(i)
        needed = set(output).union(*(p.labels for p in parts))
        parts.append(_contract(planner, left, right, needed, "" if parts else output, sizes))
    last = planner.sum_out(parts[0], set(output))
    last = planner.order(last, "".join(c for c in output if c in last.labels))
    # Labels that only dimensions of size 1 carry may have been dropped: they come back.
    shape = [sizes[c] for c in output]
    if not planner.steps or last.shape != shape or last.place != planner.values - 1:
        planner.emit("reshape", (last,), output, shape, shape=shape)
    return planner.steps


def _parse(subscripts: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The labels of each operand and of the output, `...` written out."""
    equation = subscripts.replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"The equation {subscripts!r} has {len(terms)} terms for {len(ranks)} operands.")
    widths = []
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        letters = term.replace("...", "", 1)
        if not all(c.isalpha() for c in letters):
            raise ValueError(
                f"Term {term!r} of the equation {subscripts!r} is not made of letters and one '...'."
            )
        width = rank - len(letters)
        if width < 0 or (width and "..." not in term):
            raise ValueError(
                f"Term {term!r} of the equation {subscripts!r} names {len(letters)} dimensions; "
                f"operand {i} has {rank}."
            )
        widths.append(width)
    most = max(widths)
    if most > len(_DOTS):
        raise ValueError(
            f"'...' stands for {most} dimensions in {subscripts!r}; at most {len(_DOTS)} are supported."
        )
    dots = _DOTS[:most]
    terms = [t.replace("...", dots[most - w :]) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        output = right.replace("...", dots, 1)
    else:
        joined = "".join(terms)
        output = dots + "".join(sorted(c for c in set(joined) - set(dots) if joined.count(c) == 1))
    for c in output:
        if output.count(c) > 1:
            raise ValueError(f"The output of the equation {subscripts!r} names the dimension {c!r} twice.")
        if not any(c in t for t in terms):
            raise ValueError(f"The output of the equation {subscripts!r} names {c!r}, which no operand has.")
    return tuple(terms), output


def _sizes(subscripts: str, terms: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        for c, d in zip(term, shape, strict=True):
            known = sizes.setdefault(c, d)
            if known != d:
                if known != 1 and d != 1:
                    raise ValueError(
                        f"Dimension {c!r} of the equation {subscripts!r} has size {known} in one operand "
                        f"and {d} in "
                        f"operand {i} (of shape {shape})."
                    )
                sizes[c] = d if known == 1 else known
    return sizes


def _simplify(planner: _Planner, p: _Part, sizes: dict[str, int]) -> _Part:
    """Takes diagonals for labels named twice and drops dimensions of size 1 that broadcast."""
    for c in sorted(set(p.labels)):
        while p.labels.count(c) > 1:
            p = planner.diagonal(p, c)
    keep = [i for i, c in enumerate(p.labels) if not (p.shape[i] == 1 and sizes[c] != 1)]
    if len(keep) < len(p.labels):
        p = planner.reshape(p, "".join(p.labels[i] for i in keep), [p.shape[i] for i in keep])
    return p


def _cheapest_pair(parts: list[_Part], output: str, sizes: dict[str, int]) -> tuple[int, int]:
    """The pair to contract first: the one that gives the smallest result, less what it uses up."""
    best, choice = None, (0, 1)
    for i in range(len(parts)):
        for j in range(i + 1, len(parts)):
            others = set(output).union(*(p.labels for k, p in enumerate(parts) if k not in (i, j)))
            both = set(parts[i].labels) | set(parts[j].labels)
            result = count([sizes[c] for c in both & others])
            work = count([sizes[c] for c in both])
            cost = (result - count(parts[i].shape) - count(parts[j].shape), work)
            if best is None or cost < best:
                best, choice = cost, (i, j)
    return choice


def _contract(
    planner: _Planner, a: _Part, b: _Part, needed: set[str], target: str, sizes: dict[str, int]
) -> _Part:
    """Multiplies two parts and sums over the labels that nothing else needs."""
    a = planner.sum_out(a, needed | set(b.labels))
    b = planner.sum_out(b, needed | set(a.labels))
    shared = [c for c in a.labels if c in b.labels]
    summed = [c for c in shared if c not in needed]
    batch = [c for c in shared if c in needed]
    rows = [c for c in a.labels if c not in b.labels]
    columns = [c for c in b.labels if c not in a.labels]
    if not summed:
        return planner.multiply(a, b, target)
    if not rows and not columns:
        # Dot products: one fused multiply and sum beats many 1 x 1 matrix products.
        return planner.sum_out(planner.multiply(a, b, ""), needed)
    if target:
        # The groups in the order of the output, and the operands too, as far as that is a free choice.
        batch.sort(key=target.index)
        rows.sort(key=target.index)
        columns.sort(key=target.index)
        if rows and columns and target.index(columns[0]) < target.index(rows[0]):
            a, b, rows, columns = b, a, columns, rows
    ma, flipped_a = _group(planner, a, batch, rows, summed, sizes)
    mb, flipped_b = _group(planner, b, batch, columns, summed, sizes)
    lead, n, m = (
        [sizes[c] for c in batch],
        count([sizes[c] for c in rows]),
        count([sizes[c] for c in columns]),
    )
    # The first operand wants its summed dimension last, the second wants it first.
    product = planner.emit(
        "matmul", (ma, mb), "", [*lead, n, m], transpose_a=flipped_a, transpose_b=not flipped_b
    )
    labels = "".join(batch + rows + columns)
    return planner.reshape(product, labels, [sizes[c] for c in labels])


def _group(
    planner: _Planner, p: _Part, batch: list[str], free: list[str], summed: list[str], sizes: dict[str, int]
) -> tuple[_Part, bool]:
    """p as [*batch, free, summed], or as [*batch, summed, free] and True when that moves no data."""
    lead = [sizes[c] for c in batch]
    n, k = count([sizes[c] for c in free]), count([sizes[c] for c in summed])
    if p.labels == "".join(batch + summed + free) and free:
        return planner.reshape(p, "", [*lead, k, n]), True
    return planner.reshape(planner.order(p, "".join(batch + free + summed)), "", [*lead, n, k]), False
