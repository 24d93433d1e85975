"""The page of an explanation: one HTML file that refers to nothing outside of itself."""

from __future__ import annotations

from html import escape
from importlib import resources

from fastkeras.explanation.drawing import layered
from fastkeras.explanation.report import (
    Explanation,
    Instruction,
    PlanExplanation,
    Total,
    rate,
    readable,
    readable_bytes,
    readable_us,
    short_type,
    shortened,
)

# Colours of kinds, to be read on white and on near-black.
_COLOURS = {
    "matmul": "#4c78d8",
    "convolution": "#3a9fbf",
    "elementwise": "#e0903a",
    "reduction": "#c9a800",
    "normalization": "#5aa845",
    "softmax": "#2f9e7a",
    "pooling": "#8a6fd1",
    "indexing": "#c65fa6",
    "movement": "#8c8c94",
    "sorting": "#b07a52",
    "random": "#d95f5f",
    "control flow": "#6b7a90",
}
_OTHER = "#a05f5f"
_NODE_WIDTH, _NODE_HEIGHT, _GAP, _ROW = 172, 48, 14, 84


def page(explanation: Explanation) -> str:
    """The HTML text of an explanation."""
    files = resources.files("fastkeras.explanation")
    style = (files / "page.css").read_text(encoding="utf-8")
    script = (files / "page.js").read_text(encoding="utf-8")
    title = escape(f"{explanation.model}: what it does and why")
    colours = f":root{{--kind:{_OTHER}}}" + "".join(
        f".{_css(kind)}{{--kind:{colour}}}" for kind, colour in _COLOURS.items()
    )
    sections = "\n".join(_section(plan, n) for n, plan in enumerate(explanation.plans))
    names = [f'<a href="#plan{n}">{escape(p.name)}</a>' for n, p in enumerate(explanation.plans)]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<style>\n{style}{colours}\n</style>\n</head>\n<body>\n<header><h1>{escape(explanation.model)}</h1>\n"
        f"<p>{escape(explanation.machine)}</p>\n<nav>{' '.join(names)}</nav></header>\n"
        f"{sections}\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _section(plan: PlanExplanation, n: int) -> str:
    compiled = sum(us for _, us, _ in plan.passes)
    cards = [
        ("one run", readable_us(plan.microseconds)),
        ("instructions", str(plan.count)),
        ("of the limit", f"{100 * plan.limit_microseconds / max(plan.microseconds, 1e-3):.0f}%"),
        ("arithmetic", readable(plan.operations) + "FLOP"),
        ("compiled in", readable_us(compiled)),
        ("working memory", readable_bytes(plan.arena_bytes)),
    ]
    if plan.kept_bytes:
        cards.append(("computed ahead", readable_bytes(plan.kept_bytes)))
    boxes = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in cards)
    used = [t.name for t in plan.by_kind()]
    legend = "".join(f'<span class="{_css(k)}"><i></i>{escape(k)}</span>' for k in used)
    return f"""<section id="plan{n}">
<h2>{escape(plan.name)}</h2>
<div class="cards">{boxes}</div>
<h3>Time</h3>
{_time_bar(plan, n)}
<div class="legend">{legend}</div>
<div class="pair"><div><h3>By kind</h3>{_totals(plan.by_kind(), coloured=True)}</div>
<div><h3>By layer</h3><div class="long">{_totals(plan.by_layer())}</div></div></div>
<h3>Instructions</h3>
<p class="note">Click a heading to sort. Rates are compared with what this machine reaches: a large matrix product,
and a loop over data of the same size. Implementations that refuse would have been preferred. What is computed ahead
of the runs stands at the end.</p>
<div class="wide">{_instructions(plan, n)}</div>
<h3>Fused graph</h3>
<p class="note">Each box is an instruction, filled by its share of the time; lines carry tensors (point at one for its
type). Click a box for its row in the table.</p>
<div class="graph">{_graph(plan, n)}</div>
<h3>Working memory</h3>
<p class="note">{readable_bytes(plan.arena_bytes)}, at most {readable_bytes(plan.peak_bytes)} in use at one time. To the
right the instructions, downwards the addresses; dashed areas are scratch memory of one instruction.</p>
{_memory(plan)}
<h3>Compiler passes</h3>
{_passes(plan)}
<details><summary>The graph as it was recorded</summary><pre>{escape(plan.graph)}</pre></details>
<details><summary>The graph after all passes</summary><pre>{escape(plan.lowered)}</pre></details>
</section>"""


def _css(kind: str) -> str:
    return "k-" + kind.replace(" ", "-")


def _share(plan: PlanExplanation, i: Instruction) -> float:
    return i.microseconds / max(sum(k.microseconds for k in plan.instructions), 1e-3)


def _hint(i: Instruction) -> str:
    lines = [
        f"#{i.index} {i.op} ({i.kind})",
        i.layer,
        i.implementation,
        f"{readable_us(i.microseconds)}, {100 * i.fraction_of_limit:.0f}% of the {i.bound} limit",
        f"{', '.join(map(short_type, i.inputs))} -> {', '.join(map(short_type, i.outputs))}",
        *(f"{who} refuses: {why}" for who, why in i.refusals),
    ]
    return escape("\n".join(lines))


def _time_bar(plan: PlanExplanation, n: int) -> str:
    width, at = 1000.0, 0.0
    parts = []
    for i in plan.instructions:
        w = width * _share(plan, i)
        # The longest label that fits.
        fits = [t for t in (f"{i.index} {i.op}", str(i.index)) if 6.2 * len(t) + 4 < w]
        text = f'<text x="{at + w / 2:.2f}" y="24">{escape(fits[0])}</text>' if fits else ""
        parts.append(
            f'<g class="{_css(i.kind)}" data-row="p{n}i{i.index}"><title>{_hint(i)}</title>'
            f'<rect x="{at:.2f}" y="2" width="{max(w, 0.4):.2f}" height="36"/>{text}</g>'
        )
        at += w
    return (
        '<svg class="bar" viewBox="0 0 1000 40" role="img" aria-label="time of each instruction">'
        f"{''.join(parts)}</svg>"
    )


def _graph(plan: PlanExplanation, n: int) -> str:
    sources = [tuple(dict.fromkeys(s for s in i.sources if s >= 0)) for i in plan.instructions]
    drawing = layered(sources, _NODE_WIDTH, _GAP)
    # What an edge carries, by its two ends.
    types = {(s, i.index): text for i in plan.instructions for s, text in zip(i.sources, i.inputs) if s >= 0}
    margin = 12
    width = drawing.width + 2 * margin
    height = len(drawing.rows) * _ROW - (_ROW - _NODE_HEIGHT) + 2 * margin

    def top(k: int) -> float:
        return margin + drawing.places[k].row * _ROW

    # A line for each source and all that it passes on the way, and one for each end.
    trunks: dict[int, list[str]] = {}
    lines = []
    for k, place in enumerate(drawing.places):
        x0 = margin + place.x
        if place.passage:
            trunks[place.node].append(f"M{x0:.0f} {top(k):.0f}v{_NODE_HEIGHT}")
        for below in place.down:
            target = drawing.places[below]
            x1, y0, y1 = margin + target.x, top(k) + _NODE_HEIGHT, top(below)
            mid = (y0 + y1) / 2
            part = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {mid:.0f} {x1:.0f} {mid:.0f} {x1:.0f} {y1:.0f}"
            if target.passage:
                trunks.setdefault(place.node, []).append(part)
            else:
                lines.append(_line(part, place.node, [types[place.node, target.node]]))
    carried: dict[int, set[str]] = {}
    for (source, _), text in types.items():
        carried.setdefault(source, set()).add(text)
    lines += [_line("".join(parts), source, sorted(carried[source])) for source, parts in trunks.items()]
    longest = max((_share(plan, i) for i in plan.instructions), default=1.0) or 1.0
    boxes = []
    for i in plan.instructions:
        x, y, share = margin + drawing.places[i.index].x - _NODE_WIDTH / 2, top(i.index), _share(plan, i)
        filled = _NODE_WIDTH * share / longest
        boxes.append(
            f'<g class="{_css(i.kind)}" data-row="p{n}i{i.index}" transform="translate({x:.1f} {y:.1f})">'
            f'<title>{_hint(i)}</title><rect class="box" width="{_NODE_WIDTH}" height="{_NODE_HEIGHT}" rx="5"/>'
            f'<rect class="fill" width="{filled:.1f}" height="{_NODE_HEIGHT}" rx="5"/>'
            f'<rect class="stripe" width="5" height="{_NODE_HEIGHT}" rx="2"/>'
            f'<text class="op" x="12" y="15">{escape(shortened(f"{i.index} {i.op}", 24))}</text>'
            f'<text x="12" y="29">{escape(shortened(i.layer, 25))}</text>'
            f'<text x="12" y="43">{readable_us(i.microseconds)}, {100 * share:.1f}%</text></g>'
        )
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="the fused graph"><g class="edges">{"".join(lines)}</g>{"".join(boxes)}</svg>'
    )


def _line(path: str, source: int, carried: list[str]) -> str:
    return f'<path d="{path}"><title>{escape(f"#{source} -> " + ", ".join(carried))}</title></path>'


def _memory(plan: PlanExplanation) -> str:
    steps, arena = max(len(plan.instructions), 1), max(plan.arena_bytes, 1)
    width, height = 1000.0, 240.0
    parts = []
    for span in sorted(plan.memory, key=lambda s: -s.bytes):
        scratch = span.what == "scratch"
        kind = plan.instructions[span.first].kind
        where = f"{readable_bytes(span.bytes)} at {span.offset}\nfrom #{span.first} to #{span.last}"
        title = escape(f"{short_type(span.what)}, {where}")
        parts.append(
            f'<rect class="{_css(kind)}{" scratch" if scratch else ""}" x="{width * span.first / steps:.2f}" '
            f'y="{height * span.offset / arena:.2f}" width="{width * (span.last + 1 - span.first) / steps:.2f}" '
            f'height="{max(height * span.bytes / arena, 0.6):.2f}"><title>{title}</title></rect>'
        )
    return f'<svg class="memory" viewBox="0 0 1000 240" role="img" aria-label="working memory">{"".join(parts)}</svg>'


def _cell(text: str, value: float | None = None, kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    if value is not None:
        attributes += f' data-value="{value:.6g}"'
    return f"<td{attributes}>{text}</td>"


def _table(head: list[str], rows: list[str], name: str = "") -> str:
    # The cells of the first row say which columns hold numbers.
    first = rows[0].split("<td")[1:] if rows else []
    numbers = [cell.startswith(' class="num"') for cell in first] + [False] * len(head)
    heads = "".join(
        f'<th class="num">{escape(h)}</th>' if number else f"<th>{escape(h)}</th>"
        for h, number in zip(head, numbers)
    )
    return f'<table class="sortable {name}"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _bar_cell(us: float, share: float, kind: str = "") -> str:
    return (
        f'<td class="share" data-value="{us:.6g}"><div class="{kind}" style="width:{100 * share:.1f}%"></div>'
        f"<span>{100 * share:.1f}%</span></td>"
    )


def _instructions(plan: PlanExplanation, n: int) -> str:
    rows = []
    for i in sorted(plan.instructions, key=lambda i: i.ahead):  # what runs each time comes first
        types = f"{', '.join(map(short_type, i.inputs))} → {', '.join(map(short_type, i.outputs))}"
        refused = "".join(
            f'<div class="why">{escape(f"{who} refuses: {why}")}</div>' for who, why in i.refusals
        )
        what = "loop" if i.op == "fused" else "bodies"
        loop = (
            f"<details><summary>{what}</summary><pre>{escape(i.details)}</pre></details>" if i.details else ""
        )
        cells = [
            _cell(str(i.index), i.index, "num"),
            _cell(f'<i class="{_css(i.kind)}"></i>{escape(i.op)}', None, "nowrap"),
            _cell(escape(i.layer)),
            _cell(f'<div class="types" title="{escape(types)}">{escape(types)}</div>{loop}'),
            _cell(escape(i.implementation) + refused),
            _cell(f"{i.microseconds:.1f}", i.microseconds, "num"),
            _bar_cell(i.microseconds, _share(plan, i), _css(i.kind)),
            _cell(rate(i.gflops), i.gflops, "num"),
            _cell(rate(i.gbytes), i.gbytes, "num"),
            _cell(f"{100 * i.fraction_of_limit:.0f}%", i.fraction_of_limit, "num"),
            _cell(i.bound),
        ]
        rows.append(f'<tr id="p{n}i{i.index}">{"".join(cells)}</tr>')
    head = [
        "#", "op", "layer", "operands", "implementation", "us", "share", "GFLOP/s", "GB/s", "of limit", "bound by"
    ]  # fmt: skip
    return _table(head, rows, "instructions")


def _totals(totals: list[Total], coloured: bool = False) -> str:
    rows = []
    for t in totals:
        mark = f'<i class="{_css(t.name)}"></i>' if coloured else ""
        cells = [
            _cell(mark + escape(t.name)),
            _cell(str(t.instructions), t.instructions, "num"),
            _cell(f"{t.microseconds:.1f}", t.microseconds, "num"),
            _bar_cell(t.microseconds, t.share, _css(t.name) if coloured else "plain"),
            _cell(readable(t.operations), t.operations, "num"),
            _cell(readable_bytes(t.bytes), t.bytes, "num"),
            _cell(f"{100 * t.fraction_of_limit:.0f}%", t.fraction_of_limit, "num"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table(["", "instructions", "us", "share", "FLOP", "traffic", "of limit"], rows)


def _passes(plan: PlanExplanation) -> str:
    whole = sum(us for _, us, _ in plan.passes) or 1.0
    rows = [
        f"<tr>{_cell(escape(name))}{_cell(f'{us:.0f}', us, 'num')}{_bar_cell(us, us / whole, 'plain')}"
        f"{_cell(str(nodes), nodes, 'num')}</tr>"
        for name, us, nodes in plan.passes
    ]
    return _table(["pass", "us", "share", "nodes after it"], rows)
