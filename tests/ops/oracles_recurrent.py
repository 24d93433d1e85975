"""Recurrent sequences, step by step: the equations of the cells and of their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray


def _sigmoid(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


def _gate(x: Array, units: int, gate: int) -> Array:
    return x[..., gate * units : (gate + 1) * units]


class _Options:
    """The operands after the named ones, in the order in which the ops take them."""

    def __init__(self, extras: tuple[Array, ...], **given: bool) -> None:
        left = list(extras)
        found = {name: left.pop(0) if given.get(name) else None for name in ("dh", "mask", "dropout")}
        assert not left
        self.dh, self._mask, self.dropout = found["dh"], found["mask"], found["dropout"]

    def keep(self, t: int, new: Array, old: Array) -> Array:
        return new if self._mask is None else np.where(self._mask[:, t, None], new, old)

    def dropped(self, h: Array, gate: int) -> Array:
        return h if self.dropout is None else h * self.dropout[gate]


def _times(steps: int, reverse: bool) -> Iterator[tuple[int, int | None]]:
    """Each time and the one before it in the order of computation."""
    order = range(steps)[::-1] if reverse else range(steps)
    previous = None
    for t in order:
        yield t, previous
        previous = t


def _lstm(
    xw: Array, kernel: Array, bias: Array, h: Array, c: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, history: bool = True,
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout)
    units = len(kernel)
    states, cells, old = np.zeros((3, *xw.shape[:2], units))
    gates = np.zeros(xw.shape)
    for t, _ in _times(xw.shape[1], reverse):
        i, f, g, out = (
            _gate(xw[:, t] + bias, units, n) + o.dropped(h, n) @ _gate(kernel, units, n) for n in range(4)
        )
        old[:, t] = h
        i, f, g, out = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(out)
        new = f * c + i * g
        h, c = o.keep(t, out * np.tanh(new), h), o.keep(t, new, c)
        states[:, t], cells[:, t], gates[:, t] = h, c, np.concatenate([i, f, g, out], -1)
    return (states, h, c, gates, cells, old) if history else (states, h, c)


def _lstm_grad(
    kernel: Array, c0: Array, gates: Array, cells: Array, dh_last: Array, dc: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, **given: bool,
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout, **given)
    dh = dh_last
    units = len(kernel)
    dxw = np.zeros(gates.shape)
    for t, before in reversed(list(_times(gates.shape[1], reverse))):
        i, f, g, out = (_gate(gates[:, t], units, n) for n in range(4))
        c, y = c0 if before is None else cells[:, before], np.tanh(cells[:, t])
        dh = dh if o.dh is None else dh + o.dh[:, t]
        inside = dc + dh * out * (1 - y**2)
        parts = [
            inside * g * i * (1 - i), inside * c * f * (1 - f), inside * i * (1 - g**2), dh * y * out * (1 - out)
        ]  # fmt: skip
        back = sum(o.dropped(p @ _gate(kernel, units, n).T, n) for n, p in enumerate(parts))
        da = np.concatenate(parts, -1)
        dxw[:, t] = o.keep(t, da, np.zeros_like(da))
        dh, dc = o.keep(t, back, dh), o.keep(t, inside * f, dc)
    return dxw, dxw.sum((0, 1)), dh, dc


def _gru(
    xw: Array, kernel: Array, bias: Array, h: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, history: bool = True,
    reset_after: bool = True,
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout)
    units = len(kernel)
    states, candidates, old = np.zeros((3, *xw.shape[:2], units))
    gates = np.zeros(xw.shape)
    for t, _ in _times(xw.shape[1], reverse):
        old[:, t] = h
        x = [_gate(xw[:, t], units, n) for n in range(3)]
        k = [_gate(kernel, units, n) for n in range(3)]
        b = [_gate(bias, units, n) for n in range(3)]
        z, r = (_sigmoid(x[n] + o.dropped(h, n) @ k[n] + b[n]) for n in range(2))
        if reset_after:
            candidate = o.dropped(h, 2) @ k[2] + b[2]
            g = np.tanh(x[2] + r * candidate)
        else:
            candidate = r * o.dropped(h, 2)
            g = np.tanh(x[2] + candidate @ k[2] + b[2])
        h = o.keep(t, z * h + (1 - z) * g, h)
        states[:, t], candidates[:, t], gates[:, t] = h, candidate, np.concatenate([z, r, g], -1)
    return (states, h, gates, candidates, old) if history else (states, h)


def _gru_grad(
    kernel: Array, old: Array, gates: Array, candidates: Array, dh_last: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, reset_after: bool = True, **given: bool,
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout, **given)
    dh = dh_last
    units = len(kernel)
    k = [_gate(kernel, units, n) for n in range(3)]
    dxw, inner = np.zeros((2, *gates.shape))
    for t, _ in reversed(list(_times(gates.shape[1], reverse))):
        z, r, g = (_gate(gates[:, t], units, n) for n in range(3))
        h = old[:, t]
        dh = dh if o.dh is None else dh + o.dh[:, t]
        of_z, of_g = dh * (h - g) * z * (1 - z), dh * (1 - z) * (1 - g**2)
        back = dh * z + o.dropped(of_z @ k[0].T, 0)
        if reset_after:
            of_r = of_g * candidates[:, t] * r * (1 - r)
            back = back + o.dropped(of_g * r @ k[2].T, 2)
        else:
            of_reset = o.dropped(of_g @ k[2].T, 2)
            of_r = of_reset * h * r * (1 - r)
            back = back + of_reset * r
        back = back + o.dropped(of_r @ k[1].T, 1)
        da = np.concatenate([of_z, of_r, of_g], -1)
        dxw[:, t] = o.keep(t, da, np.zeros_like(da))
        of_product = np.concatenate([of_z, of_r, of_g * r if reset_after else of_g], -1)
        inner[:, t] = o.keep(t, of_product, np.zeros_like(da))
        dh = o.keep(t, back, dh)
    return dxw, inner.sum((0, 1)), dh


def _simple(
    xw: Array, kernel: Array, bias: Array, h: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, history: bool = True, activation: str = "tanh",
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout)
    states, old = np.zeros((2, *xw.shape))
    for t, _ in _times(xw.shape[1], reverse):
        old[:, t] = h
        a = xw[:, t] + bias + o.dropped(h, 0) @ kernel
        h = o.keep(t, np.tanh(a) if activation == "tanh" else np.maximum(a, 0), h)
        states[:, t] = h
    return (states, h, old) if history else (states, h)


def _simple_grad(
    kernel: Array, states: Array, dh_last: Array, *extras: Array,
    reverse: bool = False, mask: bool = False, dropout: bool = False, activation: str = "tanh", **given: bool,
) -> tuple[Array, ...]:  # fmt: skip
    o = _Options(extras, mask=mask, dropout=dropout, **given)
    dh = dh_last
    dxw = np.zeros(states.shape)
    for t, _ in reversed(list(_times(states.shape[1], reverse))):
        dh = dh if o.dh is None else dh + o.dh[:, t]
        slope = 1 - states[:, t] ** 2 if activation == "tanh" else (states[:, t] > 0).astype(float)
        dxw[:, t] = o.keep(t, dh * slope, np.zeros_like(dh))
        dh = o.keep(t, o.dropped(dh * slope @ kernel.T, 0), dh)
    return dxw, dxw.sum((0, 1)), dh


RECURRENT_ORACLES: dict[str, Any] = {
    "lstm_sequence": _lstm,
    "lstm_sequence_grad": _lstm_grad,
    "gru_sequence": _gru,
    "gru_sequence_grad": _gru_grad,
    "simple_rnn_sequence": _simple,
    "simple_rnn_sequence_grad": _simple_grad,
}
