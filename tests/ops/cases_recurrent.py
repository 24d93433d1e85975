"""Cases of recurrent sequences. Gradients with respect to everything an op takes are checked on short ones."""

from __future__ import annotations

import itertools
from typing import Any

from case_types import DOUBLE, DOUBLE_WHY, Case, Spec, add

_WHY = "sums of products, handed on from step to step"


def recurrent_inputs(
    op: str, batch: int, time: int, units: int, attrs: dict[str, Any], dtype: str = "float32"
) -> list[Spec]:
    """Data for the operands of `op` with these attributes."""
    state, sequence = (batch, units), (batch, time, units)
    gates = 4 if op.startswith("lstm") else 3 if op.startswith("gru") else 1
    scale = 1.5 / units**0.5
    kinds = {
        "x": Spec((batch, time, gates * units), dtype, -2, 2),
        "kernel": Spec((units, gates * units), dtype, -scale, scale),
        "bias": Spec((gates * units,), dtype, -1, 1),
        "state": Spec(state, dtype, -1, 1),
        "sequence": Spec(sequence, dtype, -1, 1),
        "gates": Spec((batch, time, gates * units), dtype, 0.1, 0.9),
    }
    named = {
        "lstm_sequence": ("x", "kernel", "bias", "state", "state"),
        "lstm_sequence_grad": ("kernel", "state", "gates", "sequence", "state", "state"),
        "gru_sequence": ("x", "kernel", "bias", "state"),
        "gru_sequence_grad": ("kernel", "sequence", "gates", "sequence", "state"),
        "simple_rnn_sequence": ("x", "kernel", "bias", "state"),
        "simple_rnn_sequence_grad": ("kernel", "sequence", "state"),
    }
    inputs = [kinds[name] for name in named[op]]
    if attrs.get("dh"):
        inputs.append(kinds["sequence"])
    if attrs.get("mask"):
        inputs.append(Spec((batch, time), "bool"))
    if attrs.get("dropout"):
        inputs.append(Spec((gates, *state), dtype, 0.5, 1.5))
    return inputs


def floats(inputs: list[Spec]) -> tuple[int, ...]:
    return tuple(i for i, spec in enumerate(inputs) if spec.dtype != "bool")


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lstm_sequence", {}),
    ("gru_sequence", {"reset_after": True}),
    ("gru_sequence", {"reset_after": False}),
    ("simple_rnn_sequence", {"activation": "tanh"}),
    ("simple_rnn_sequence", {"activation": "relu"}),
)
OPTIONS = [
    {"reverse": reverse, "mask": mask, "dropout": dropout}
    for reverse, mask, dropout in itertools.product((False, True), repeat=3)
]

for (_op, _kind), _gradient in itertools.product(KINDS, (False, True)):
    _name = f"{_op}_grad" if _gradient else _op
    for _n, _options in enumerate(OPTIONS):
        _attrs = {**_kind, **_options, **({"dh": _n % 3 != 0} if _gradient else {})}
        _inputs = recurrent_inputs(_name, 2, 3, 3, _attrs)
        _relu = _kind.get("activation") == "relu"
        _checked = floats(_inputs)
        if _relu and _gradient:  # the states only say where the activation is flat
            _checked = tuple(i for i in _checked if i != 1)
        _plain = not (_options["mask"] or _options["dropout"])
        add(
            _name,
            Case(
                _inputs,
                _attrs,
                (2e-5, 2e-6),
                _WHY,
                grad=_checked if not _relu or _gradient else "the kinks of relu are not where the data are",
                smooth=not _relu and (_plain or _options["reverse"]),
            ),
        )
    # Sizes around those of vectors and of the tiles of rows; one step, one sample; no step, no sample.
    for _n, _sizes in enumerate(
        ((1, 1, 1), (1, 9, 16), (33, 4, 20), (7, 5, 64), (30, 3, 70), (13, 6, 33), (2, 0, 3), (0, 2, 3))
    ):
        _attrs = {**_kind, **OPTIONS[_n % 8], **({"dh": True} if _gradient else {})}
        add(_name, Case(recurrent_inputs(_name, *_sizes, _attrs), _attrs, (1e-4, 1e-5), _WHY))
    _attrs = {**_kind, **OPTIONS[7]}
    add(_name, Case(recurrent_inputs(_name, 3, 4, 5, _attrs, "float64"), _attrs, DOUBLE, DOUBLE_WHY))
    for _dtype, _tolerance in (("float16", 4e-3), ("bfloat16", 3e-2)):
        _case = Case(
            recurrent_inputs(_name, 3, 4, 5, _attrs, _dtype), _attrs, (_tolerance, _tolerance), "rounds"
        )
        add(_name, _case)
    if not _gradient:
        _attrs = {**_kind, **OPTIONS[2], "history": False}
        add(_name, Case(recurrent_inputs(_name, 5, 6, 17, _attrs), _attrs, (2e-5, 2e-6), _WHY))
