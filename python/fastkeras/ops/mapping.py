"""Calling a function on every element: map, vectorized_map and vectorize."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras.core import tree
from fastkeras.ops._common import Function, Tensor, as_tensor, call, symbolic_op
from fastkeras.ops.control import scan


@symbolic_op
def map(f: Function, xs: Any) -> Any:
    """Calls f on each element of xs along the first dimension and stacks the results.

    Args:
        f: a function of one element (or of a structure of them), returning a tensor or a structure of
            tensors. It is recorded once, as the body of a loop (see `scan`).
        xs: a tensor, or a structure of tensors with the same first dimension.

    Example:
        >>> ops.map(lambda x: x * x, ops.arange(3))
        [0, 1, 4]
    """
    return _map(f, xs)


@symbolic_op
def vectorized_map(function: Function, elements: Any) -> Any:
    """Calls `function` on each element along the first dimension and stacks the results; the same as `map`.

    Example:
        >>> ops.vectorized_map(lambda xy: ops.dot(xy[0], xy[1]), [ones((4, 3)), ones((4, 3))])
        [3.0, 3.0, 3.0, 3.0]
    """
    return _map(function, elements)


def _map(f: Function, xs: Any) -> Any:
    leaves = [as_tensor(x) for x in tree.flatten(xs) if x is not None]
    if not leaves:
        raise ValueError("Expected at least one tensor to map over.")
    if any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError("Cannot map over a scalar: expected tensors with a first dimension.")
    sizes = [leaf.shape[0] for leaf in leaves]
    if len(set(sizes)) > 1:
        raise ValueError(f"The tensors mapped over differ in their first dimension: {sizes}.")
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def vectorize(pyfunc: Function, excluded: Any = None, signature: str | None = None) -> Function:
    """Turns a function of scalars into one of tensors that broadcast.

    Args:
        pyfunc: a function of scalars (or of the core dimensions of `signature`).
        excluded: positions or names of arguments that are passed on as they are.
        signature: core dimensions, such as "(n),(n)->()"; the others are looped over.

    The function is recorded once, as the body of a loop: one that is elementwise and made of ops is better called
    directly.
    """
    held_back = set(excluded or ())
    cores = None
    if signature is not None:
        inputs, arrow, _ = signature.replace(" ", "").partition("->")
        if not arrow:
            raise ValueError(f"Expected a signature like '(n),(n)->()'; received {signature!r}.")
        cores = [0 if t.strip("()") == "" else t.count(",") + 1 for t in inputs.strip("()").split("),(")]

    def vectorized(*args: Any, **kwargs: Any) -> Any:
        loop_names = [k for k in kwargs if k not in held_back]
        places = [i for i in range(len(args)) if i not in held_back]
        values = [as_tensor(args[i]) for i in places] + [as_tensor(kwargs[k]) for k in loop_names]
        ranks = cores if cores is not None else [0] * len(values)
        if len(ranks) != len(values):
            raise TypeError(
                f"The signature {signature!r} is for {len(ranks)} arguments; received {len(values)}."
            )
        lead = np.broadcast_shapes(*[v.shape[: v.ndim - r] for v, r in zip(values, ranks, strict=True)])
        total = int(np.prod(lead, dtype=np.int64))
        flat = []
        for v, r in zip(values, ranks, strict=True):
            core = v.shape[v.ndim - r :]
            wide = v if v.shape == (*lead, *core) else call("broadcast_to", v, shape=[*lead, *core])
            flat.append(call("reshape", wide, shape=[total, *core]))

        def one(elements: list[Tensor]) -> Any:
            full_args = list(args)
            full_kwargs = dict(kwargs)
            for i, e in zip(places, elements):
                full_args[i] = e
            for k, e in zip(loop_names, elements[len(places) :], strict=True):
                full_kwargs[k] = e
            return pyfunc(*full_args, **full_kwargs)

        out = _map(one, flat)
        return tree.map_structure(lambda t: call("reshape", t, shape=[*lead, *t.shape[1:]]), out)

    return vectorized
