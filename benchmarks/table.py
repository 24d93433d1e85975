"""Prints the markdown tables of the README from a JSON of compare.py.

python benchmarks/table.py FILE                     # one row per model: fastkeras and the best peer
python benchmarks/table.py FILE --models mlp gpt    # one table per model: all libraries
"""

import argparse
import json
from pathlib import Path

from compare import best_peers

NAMES = {
    "fastkeras": "**fastkeras**",
    "tensorflow": "Keras on TensorFlow",
    "jax": "Keras on JAX",
    "torch": "Keras on torch",
    "pytorch": "PyTorch",
    "pytorch-compile": "PyTorch, `torch.compile`",
}
TITLES = {
    "mlp": "MLP 784-128-10 (32)",
    "convnet": "MNIST convnet (128)",
    "wide_deep": "wide & deep, 8 embeddings (256)",
    "bilstm": "2x BiLSTM 64, 200 steps (32)",
    "transformer": "2-block text transformer, 200 tokens (32)",
    "gpt": "GPT 4x256, 128 tokens (8)",
    "resnet50": "ResNet50, 128 px (16)",
    "mobilenetv2": "MobileNetV2, 96 px (32)",
}


def title(spec):
    """A model's name with its batch size, and its policy unless that is float32."""
    name, _, policy = spec.partition(":")
    return TITLES.get(name, name) + (f", {policy}" if policy else "")


def number(value, digits=3):
    """A figure with three significant digits, or a dash."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def memory(row):
    """Peak memory (older reports: memory at the end), in MB."""
    value = row.get("peak_mb", row.get("resident_mb"))
    return "-" if value is None else f"{value:.0f} MB"


def unit(row, key, name):
    """A figure with its unit, or a dash."""
    return f"{number(row[key])} {name}" if key in row else "-"


def print_summary(report):
    """One row per model."""
    print(
        "| model (batch) | steps/s | of the machine's limit | best peer | ratio | first step | peak memory |"
    )
    print("|---|---:|---:|---|---:|---:|---:|")
    for spec, rows in report["models"].items():
        ours, peers = rows.get("fastkeras", {}), best_peers(rows)
        name, rate = peers.get("steps_per_s", (None, None))
        peer = rows.get(name, {})
        ratio = f"{number(ours['steps_per_s'] / rate, 2)}x" if rate and "steps_per_s" in ours else "-"
        share = f"{ours['limit_percent']:.0f}%" if "limit_percent" in ours else "-"
        print(
            f"| {title(spec)} | **{number(ours.get('steps_per_s'))}** | {share} "
            f"| {NAMES.get(name, '-')}: {number(rate)} | {ratio} "
            f"| {unit(ours, 'first_step_s', 's')} ({unit(peer, 'first_step_s', 's')}) "
            f"| {memory(ours)} ({memory(peer)}) |"
        )


def print_model(report, spec):
    """All libraries on one model."""
    columns = (
        "steps/s",
        "of limit",
        "first step",
        "`predict` of one sample",
        "of 32",
        "import",
        "peak memory",
    )
    print(f"| {title(spec)} | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for library, row in report["models"][spec].items():
        cells = (
            number(row.get("steps_per_s")),
            f"{row['limit_percent']:.0f}%" if "limit_percent" in row else "-",
            unit(row, "first_step_s", "s"),
            unit(row, "predict_one_ms", "ms"),
            unit(row, "predict_32_ms", "ms"),
            unit(row, "import_s", "s"),
            memory(row),
        )
        failed = f" ({row['failed']})" if "failed" in row else ""
        print(f"| {NAMES[library]}{failed} | " + " | ".join(cells) + " |")


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("--models", nargs="+", help="one table for each of these instead of the summary")
    args = parser.parse_args()
    report = json.loads(args.report.read_text())
    if not args.models:
        print_summary(report)
    for spec in args.models or ():
        print_model(report, spec)
        print()


if __name__ == "__main__":
    main()
