"""`rearrange`: reshape and transpose in one readable pattern."""

from __future__ import annotations

import functools
import re

from fastkeras.ops._common import (
    KerasTensor,
    Tensor,
    TensorLike,
    as_tensor,
    call,
    count,
    reshape,
    symbolic_op,
)


def _rearrange_spec(tensor: TensorLike, pattern: str, **axes_lengths: int) -> KerasTensor:
    if not isinstance(tensor, KerasTensor) or None not in tensor.shape:
        return NotImplemented
    left, right = _parse(pattern)
    sizes = _sizes(tensor.shape, left, pattern, axes_lengths)
    shape = [None if None in (g := [sizes[a] for a in group]) else count(g) for group in right]
    return KerasTensor(shape, tensor.dtype)


@symbolic_op(spec=_rearrange_spec)
def rearrange(tensor: TensorLike, pattern: str, **axes_lengths: int) -> Tensor:
    """The tensor with its dimensions reordered, split and joined as a pattern says.

    Args:
        pattern: the names of the dimensions before and after "->"; names in parentheses are dimensions joined
            into one. Every name occurs once on each side.
        axes_lengths: the sizes of dimensions that are split off; one of each group may be left out.

    Example:
        >>> x = ops.zeros((32, 30, 40, 3))
        >>> ops.rearrange(x, "b (h p) w c -> b h w (c p)", p=2).shape
        (32, 15, 40, 6)
    """
    x = as_tensor(tensor)
    left, right = _parse(pattern)
    sizes = _sizes(x.shape, left, pattern, axes_lengths)
    names = [a for group in left for a in group]
    x = reshape(x, [sizes[a] for a in names])
    perm = [names.index(a) for group in right for a in group]
    if perm != list(range(len(perm))):
        x = call("transpose", x, perm=perm)
    return reshape(x, [count([sizes[a] for a in group]) for group in right])


@functools.lru_cache(maxsize=512)
def _parse(pattern: str) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ValueError(f"Expected a pattern such as 'b h w -> b (h w)'; received {pattern!r}.")
    sides = tuple(_groups(side, pattern) for side in (left, right))
    names = [sorted(a for group in side for a in group) for side in sides]
    if names[0] != names[1] or len(set(names[0])) != len(names[0]):
        raise ValueError(f"Every name must occur exactly once on each side of {pattern!r}.")
    return sides[0], sides[1]


def _groups(side: str, pattern: str) -> tuple[tuple[str, ...], ...]:
    tokens = re.findall(r"\w+|\([^()]*\)|\S", side)
    groups = []
    for token in tokens:
        names = tuple(token.strip("()").split())
        if not all(n.isidentifier() for n in names):
            raise ValueError(
                f"Cannot read {token!r} in the pattern {pattern!r}: expected names and parentheses."
            )
        groups.append(names)
    return tuple(groups)


def _sizes(
    shape: tuple[int | None, ...], left: tuple[tuple[str, ...], ...], pattern: str, given: dict[str, int]
) -> dict[str, int | None]:
    if len(left) != len(shape):
        raise ValueError(f"The pattern {pattern!r} is for {len(left)} dimensions; received shape {shape}.")
    sizes: dict[str, int | None] = {}
    for d, group in zip(shape, left, strict=True):
        unknown = [a for a in group if a not in given]
        if len(unknown) > 1:
            raise ValueError(
                f"Cannot tell the sizes of {', '.join(unknown)} in {pattern!r}: give all but one."
            )
        known = count([given[a] for a in group if a in given])
        if d is not None and (d % known if known else d) or (d is not None and not unknown and d != known):
            raise ValueError(
                f"A dimension of size {d} cannot be split as ({' '.join(group)}) with "
                + ", ".join(f"{a}={given[a]}" for a in group if a in given)
            )
        for a in group:
            sizes[a] = given[a] if a in given else (None if d is None else (d // known if known else 0))
    return sizes
