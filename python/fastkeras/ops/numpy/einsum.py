"""Einsum: any Einstein summation, worked out as transposes, matrix products, products and sums.

An equation is planned once for given shapes: operands are reduced to the labels that matter, then contracted
two at a time, the cheapest pair first. A pair becomes one batched matrix product whose operands are transposed
only when no reading order of theirs fits; a pair with nothing to sum becomes a product.
"""

from __future__ import annotations

import functools
from typing import Any

from fastkeras.ops._common import (
    Tensor,
    TensorLike,
    call,
    cast_to,
    count,
    reduce_sum,
    reshape,
    same_dtype,
    symbolic_op,
)
from fastkeras.ops.numpy.contraction import matrix_product
from fastkeras.ops.numpy.creation import _diagonal_of

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
    if tensors[0].dtype == "int8":
        tensors = [call("cast", t, dtype="int32") for t in tensors]
    terms, output = _parse(subscripts, tuple(t.ndim for t in tensors))
    sizes = _sizes(subscripts, terms, tensors)
    parts = [_simplify(t, term, sizes) for t, term in zip(tensors, terms, strict=True)]
    while len(parts) > 1:
        i, j = _cheapest_pair(parts, output, sizes) if len(parts) > 2 else (0, 1)
        right, left = parts.pop(j), parts.pop(i)
        needed = set(output).union(*(labels for _, labels in parts))
        parts.append(_contract(left, right, needed, output if not parts else "", sizes))
    return _finish(*parts[0], output, sizes)


@functools.lru_cache(maxsize=512)
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
            raise ValueError(f"Term {term!r} of the equation {subscripts!r} is not made of letters and one '...'.")
        width = rank - len(letters)
        if width < 0 or (width and "..." not in term):
            raise ValueError(
                f"Term {term!r} of the equation {subscripts!r} names {len(letters)} dimensions; "
                f"operand {i} has {rank}."
            )
        widths.append(width)
    most = max(widths)
    if most > len(_DOTS):
        raise ValueError(f"'...' stands for {most} dimensions in {subscripts!r}; at most {len(_DOTS)} are supported.")
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


def _sizes(subscripts: str, terms: tuple[str, ...], tensors: list[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for i, (term, t) in enumerate(zip(terms, tensors, strict=True)):
        for c, d in zip(term, t.shape, strict=True):
            known = sizes.setdefault(c, d)
            if known != d:
                if known != 1 and d != 1:
                    raise ValueError(
                        f"Dimension {c!r} of the equation {subscripts!r} has size {known} in one operand and {d} in "
                        f"operand {i} (of shape {t.shape})."
                    )
                sizes[c] = max(known, d)
    return sizes


def _simplify(t: Tensor, term: str, sizes: dict[str, int]) -> tuple[Tensor, str]:
    """Takes diagonals for labels named twice and drops dimensions of size 1 that broadcast."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            a = term.index(c)
            b = term.index(c, a + 1)
            t = _diagonal_of(t, 0, a, b)
            term = term[:a] + term[a + 1 : b] + term[b + 1 :] + c
    keep = [i for i, c in enumerate(term) if not (t.shape[i] == 1 and sizes[c] != 1)]
    if len(keep) < len(term):
        t = reshape(t, [t.shape[i] for i in keep])
        term = "".join(term[i] for i in keep)
    return t, term


def _cheapest_pair(parts: list[tuple[Tensor, str]], output: str, sizes: dict[str, int]) -> tuple[int, int]:
    """The pair to contract first: the one that gives the smallest result, less what it uses up."""
    best, choice = None, (0, 1)
    for i in range(len(parts)):
        for j in range(i + 1, len(parts)):
            others = set(output).union(*(labels for k, (_, labels) in enumerate(parts) if k not in (i, j)))
            both = set(parts[i][1]) | set(parts[j][1])
            result = count([sizes[c] for c in both & others])
            work = count([sizes[c] for c in both])
            cost = (result - count(parts[i][0].shape) - count(parts[j][0].shape), work)
            if best is None or cost < best:
                best, choice = cost, (i, j)
    return choice


def _sum_out(part: tuple[Tensor, str], keep: set[str]) -> tuple[Tensor, str]:
    t, labels = part
    axes = [i for i, c in enumerate(labels) if c not in keep]
    if not axes:
        return part
    return reduce_sum(t, axes), "".join(c for c in labels if c in keep)


def _contract(
    left: tuple[Tensor, str], right: tuple[Tensor, str], needed: set[str], target: str, sizes: dict[str, int]
) -> tuple[Tensor, str]:
    """Multiplies two operands and sums over the labels that nothing else needs."""
    left = _sum_out(left, needed | set(right[1]))
    right = _sum_out(right, needed | set(left[1]))
    (a, la), (b, lb) = left, right
    shared = [c for c in la if c in lb]
    summed = [c for c in shared if c not in needed]
    batch = [c for c in shared if c in needed]
    rows = [c for c in la if c not in lb]
    columns = [c for c in lb if c not in la]
    if not summed:
        return _multiply(a, la, b, lb, target)
    if not rows and not columns:
        # Dot products: one fused multiply and sum beats many 1 x 1 matrix products.
        product, labels = _multiply(a, la, b, lb, "")
        return _sum_out((product, labels), needed)
    # Order the groups so that the result comes out as the output wants it, where a choice is free.
    if target:
        batch.sort(key=target.index)
        rows.sort(key=target.index)
        columns.sort(key=target.index)
        if rows and columns and target.index(columns[0]) < target.index(rows[0]):
            (a, la), (b, lb) = (b, lb), (a, la)
            rows, columns = columns, rows
    ma, transpose_a = _group(a, la, batch, rows, summed, sizes)
    mb, transpose_b = _group(b, lb, batch, columns, summed, sizes)
    # The first operand wants its summed dimension last, the second wants it first.
    out = matrix_product(ma, mb, transpose_a, not transpose_b)
    labels = "".join(batch + rows + columns)
    return reshape(out, [sizes[c] for c in labels]), labels


def _group(
    t: Tensor, labels: str, batch: list[str], free: list[str], summed: list[str], sizes: dict[str, int]
) -> tuple[Tensor, bool]:
    """t as [*batch, free, summed], or as [*batch, summed, free] and True when that moves no data."""
    lead = [sizes[c] for c in batch]
    n, k = count([sizes[c] for c in free]), count([sizes[c] for c in summed])
    if labels == "".join(batch + summed + free) and free:
        return reshape(t, [*lead, k, n]), True
    perm = [labels.index(c) for c in batch + free + summed]
    if perm != list(range(len(perm))):
        t = call("transpose", t, perm=perm)
    return reshape(t, [*lead, n, k]), False


def _multiply(a: Tensor, la: str, b: Tensor, lb: str, target: str) -> tuple[Tensor, str]:
    """The product of two operands, each brought to the order of the result by transposing and adding ones."""
    everything = la + "".join(c for c in lb if c not in la)
    order = "".join(c for c in target if c in everything) if target else ""
    order += "".join(c for c in everything if c not in order)
    a, b = _align(a, la, order), _align(b, lb, order)
    return (call("logical_and", a, b) if a.dtype == "bool" else a * b), order


def _align(t: Tensor, labels: str, order: str) -> Tensor:
    perm = [labels.index(c) for c in order if c in labels]
    if perm != list(range(len(perm))):
        t = call("transpose", t, perm=perm)
    sizes = iter(t.shape)
    return reshape(t, [next(sizes) if c in labels else 1 for c in order])


def _finish(t: Tensor, labels: str, output: str, sizes: dict[str, int]) -> Tensor:
    dtype = t.dtype
    t, labels = _sum_out((t, labels), set(output))
    perm = [labels.index(c) for c in output if c in labels]
    if perm != list(range(len(perm))):
        t = call("transpose", t, perm=perm)
    # A label only ones carried, all dropped: it comes back with size 1.
    t = reshape(t, [sizes[c] for c in output])
    return cast_to(t, dtype)
