"""The results of `explain`: instructions with their costs, totals, and the text table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

# Type names, as short as tables need them.
_SHORT = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u"}
NO_LAYER = "(no layer)"


@dataclass(frozen=True)
class Instruction:
    """One kernel of a compiled step.

    Attributes:
        index: its position in the step; instructions run one after the other.
        op: what it computes; `"fused"` is a loop made of many elementwise ops, moves and reductions.
        kind: `"matmul"`, `"convolution"`, `"elementwise"`, `"reduction"`, `"pooling"` and so on.
        layers: the layers it works for, by name; more than one where loops of several were fused.
        implementation: who computes it.
        refusals: (implementation, reason) of those that would have been preferred.
        inputs, outputs: types as text, `"float32[32,784]"`.
        sources: for each input the index of the instruction that computes it, -1 for what exists before.
        operations: 2 for each multiply-add of a product or convolution; 1 for each elementwise operation.
        bytes_read, bytes_written: sizes of the operands.
        microseconds: its time in the quickest of the measured runs.
        limit_microseconds: the time it would take at the limits of the machine.
        bound: `"compute"` or `"memory"`: which limit is the nearer one.
        details: the loop of a fused instruction, the instructions inside control flow, as text.
    """

    index: int
    op: str
    kind: str
    layers: tuple[str, ...]
    implementation: str
    refusals: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sources: tuple[int, ...]
    operations: float
    bytes_read: float
    bytes_written: float
    microseconds: float
    limit_microseconds: float
    bound: str
    details: str = field(repr=False)

    @property
    def ahead(self) -> bool:
        """Whether it runs ahead of the runs, when a variable has changed, and its results are kept."""
        return self.kind == "prologue"

    @property
    def layer(self) -> str:
        """The layers, as text."""
        return " + ".join(self.layers) or NO_LAYER

    @property
    def gflops(self) -> float:
        """Billions of operations per second."""
        return self.operations / max(self.microseconds, 1e-3) / 1e3

    @property
    def gbytes(self) -> float:
        """Billions of bytes read and written per second."""
        return (self.bytes_read + self.bytes_written) / max(self.microseconds, 1e-3) / 1e3

    @property
    def fraction_of_limit(self) -> float:
        """How near it comes to the limit of the machine: 1 is there."""
        return self.limit_microseconds / max(self.microseconds, 1e-3)


@dataclass(frozen=True)
class Total:
    """What the instructions of one layer, or of one kind, take together.

    Attributes:
        name: the layer or kind.
        instructions: how many instructions work for it.
        microseconds, operations, bytes: sums; an instruction that works for n layers counts 1/n for each.
        share: part of the step's time.
        limit_microseconds: the time at the limits of the machine.
    """

    name: str
    instructions: int
    microseconds: float
    share: float
    operations: float
    bytes: float
    limit_microseconds: float

    @property
    def fraction_of_limit(self) -> float:
        """How near the time comes to the limit of the machine."""
        return self.limit_microseconds / max(self.microseconds, 1e-3)


@dataclass(frozen=True)
class MemorySpan:
    """A value's stay in the working memory of a step: `bytes` at `offset`, from instruction `first` to `last`."""

    offset: int
    bytes: int
    first: int
    last: int
    what: str


@dataclass(frozen=True)
class PlanExplanation:
    """One compiled step.

    Attributes:
        name: `"predict_step"` or `"train_step"`.
        instructions: in the order in which they run.
        microseconds: the time of a whole run, in the quickest of those measured.
        runs: how many were measured.
        passes: (name, microseconds, nodes after it) of each pass of the compiler.
        memory: stays in the working memory.
        arena_bytes: size of that memory.
        peak_bytes: the most of it in use at one time.
        kept_bytes: what instructions of the kind `"prologue"` leave for the runs; they run when a variable has changed.
        graph: the recorded graph, as text.
        lowered: the graph after all passes, as text.
    """

    name: str
    instructions: tuple[Instruction, ...]
    microseconds: float
    runs: int
    passes: tuple[tuple[str, float, int], ...]
    memory: tuple[MemorySpan, ...]
    arena_bytes: int
    peak_bytes: int
    kept_bytes: int
    graph: str = field(repr=False)
    lowered: str = field(repr=False)

    def by_layer(self) -> list[Total]:
        """Totals of each layer, the longest first."""
        return self._totals(lambda i: i.layers or (NO_LAYER,))

    def by_kind(self) -> list[Total]:
        """Totals of each kind of instruction, the longest first."""
        return self._totals(lambda i: (i.kind,))

    @property
    def operations(self) -> float:
        """Operations of one run."""
        return sum(i.operations for i in self.instructions)

    @property
    def limit_microseconds(self) -> float:
        """The time of a run if every instruction ran at its limit."""
        return sum(i.limit_microseconds for i in self.instructions)

    def _totals(self, keys: Callable[[Instruction], Sequence[str]]) -> list[Total]:
        groups: dict[str, list[tuple[Instruction, float]]] = {}
        for i in self.instructions:
            names = keys(i)
            for name in names:
                groups.setdefault(name, []).append((i, 1 / len(names)))
        whole = sum(i.microseconds for i in self.instructions) or 1.0
        out = []
        for name, members in groups.items():
            time = sum(i.microseconds * part for i, part in members)
            out.append(
                Total(
                    name,
                    len(members),
                    time,
                    time / whole,
                    sum(i.operations * part for i, part in members),
                    sum((i.bytes_read + i.bytes_written) * part for i, part in members),
                    sum(i.limit_microseconds * part for i, part in members),
                )
            )
        return sorted(out, key=lambda t: -t.microseconds)

    def __str__(self) -> str:
        rows = [
            [
                str(i.index),
                shortened(i.layer, 30),
                i.op,
                shortened(short_type(i.outputs[0]) if i.outputs else "", 22),
                shortened(i.implementation, 46),
                f"{i.microseconds:.1f}",
                f"{100 * i.microseconds / max(self.microseconds, 1e-3):.1f}%",
                rate(i.gflops),
                rate(i.gbytes),
                f"{100 * i.fraction_of_limit:.0f}%",
            ]
            for i in self.instructions
            if not i.ahead
        ]
        head = ["#", "layer", "op", "result", "implementation", "us", "share", "GFLOP/s", "GB/s", "of limit"]
        lines = [self.heading(), "", *table(head, rows, left=(1, 2, 3, 4))]
        refusals = self._refusal_lines()
        if refusals:
            lines += ["", "Why not another implementation:", *refusals]
        for title, totals in (("layer", self.by_layer()), ("kind", self.by_kind())):
            lines += ["", *self._total_lines(title, totals)]
        passes = ", ".join(f"{name} {us / 1e3:.2f}" for name, us, _ in self.passes)
        lines += [
            "",
            f"Compiled in {sum(us for _, us, _ in self.passes) / 1e3:.1f} ms ({passes}).",
            f"Working memory: {readable_bytes(self.arena_bytes)}, at most {readable_bytes(self.peak_bytes)} in use.",
        ]
        if self.kept_bytes:
            ahead = [i.index for i in self.instructions if i.ahead]
            numbers = f"#{ahead[0]} to #{ahead[-1]}" if len(ahead) > 1 else f"#{ahead[0]}"
            lines.append(
                f"Computed ahead of the runs and kept: {readable_bytes(self.kept_bytes)} ({numbers})."
            )
        return "\n".join(lines)

    @property
    def count(self) -> int:
        """How many instructions each run has."""
        return sum(not i.ahead for i in self.instructions)

    def heading(self) -> str:
        """One line that says what this is and what it takes."""
        return (
            f"{self.name}: {self.count} instructions, {readable_us(self.microseconds)}, "
            f"{100 * self.limit_microseconds / max(self.microseconds, 1e-3):.0f}% of the machine's limit, "
            f"{readable(self.operations)}FLOP (quickest of {self.runs} runs)"
        )

    def _refusal_lines(self) -> list[str]:
        # Instructions that share a reason share a line.
        groups: dict[tuple[str, str], list[int]] = {}
        for i in self.instructions:
            for refusal in i.refusals:
                groups.setdefault(refusal, []).append(i.index)
        return [
            f"  {who} refuses {', '.join(f'#{n}' for n in numbers)}: {why}"
            for (who, why), numbers in groups.items()
        ]

    def _total_lines(self, title: str, totals: list[Total]) -> list[str]:
        rows = [
            [
                shortened(t.name, 40),
                str(t.instructions),
                f"{t.microseconds:.1f}",
                f"{100 * t.share:.1f}%",
                readable(t.operations),
                readable_bytes(t.bytes),
                f"{100 * t.fraction_of_limit:.0f}%",
            ]
            for t in totals
        ]
        head = [f"by {title}", "instructions", "us", "share", "FLOP", "memory traffic", "of limit"]
        return table(head, rows, left=(0,))


@dataclass(frozen=True)
class Explanation:
    """What `explain` found.

    Printing it gives a text table; `html` writes a page. `instructions`, `by_layer()` and `by_kind()` are those of the
    train step if it is explained, else of the inference step; `plans` holds both.

    Attributes:
        model: name of the model.
        plans: the compiled steps.
        machine: the limits that fractions refer to, as text.
    """

    model: str
    plans: tuple[PlanExplanation, ...]
    machine: str

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions of the last of `plans`."""
        return self.plans[-1].instructions

    def by_layer(self) -> list[Total]:
        """Totals of each layer, the longest first."""
        return self.plans[-1].by_layer()

    def by_kind(self) -> list[Total]:
        """Totals of each kind of instruction, the longest first."""
        return self.plans[-1].by_kind()

    def html(self, path: Any) -> None:
        """Writes a page that needs nothing but itself: time bar, picture of the fused graph, memory map, tables.

        Args:
            path: the file to write.
        """
        from pathlib import Path

        from fastkeras.explanation.page import page

        Path(path).write_text(page(self), encoding="utf-8")

    def __str__(self) -> str:
        return "\n\n".join([f"{self.model} on {self.machine}", *map(str, self.plans)])

    __repr__ = __str__


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """Aligned lines of text: columns of numbers to the right, those in `left` to the left."""
    everything = [list(head), *map(list, rows)]
    widths = [max(len(row[c]) for row in everything) for c in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if c in left else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in everything
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def short_type(text: str) -> str:
    """`"float32[32,784]"` as `"f32[32,784]"`."""
    name, bracket, dims = text.partition("[")
    letters = name.rstrip("0123456789")
    return _SHORT.get(letters, letters) + name[len(letters) :] + bracket + dims


def shortened(text: str, width: int) -> str:
    """The text, or its two ends where it is too long."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]


def readable(number: float) -> str:
    """A count with the prefix of its size: `"12.3 M"`."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return f"{number:.0f} "


def readable_bytes(number: float) -> str:
    """A size: `"12.3 MB"`."""
    return readable(number) + "B"


def readable_us(us: float) -> str:
    """A time given in microseconds."""
    return f"{us:.1f} us" if us < 1000 else f"{us / 1e3:.2f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"


def rate(number: float) -> str:
    """A rate in a table: three digits are enough."""
    return (
        ""
        if number == 0
        else f"{number:.0f}"
        if number >= 100
        else f"{number:.3g}"
        if number >= 0.01
        else "0"
    )
