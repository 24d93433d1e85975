"""Times custom training loops: fastkeras beside Keras-TF under `tf.function` and raw PyTorch with fused Adam.

Each way runs in a process of its own, in turn, for several rounds; the figures are medians over rounds.

    python benchmarks/loops.py --peers-python PEERS/bin/python [--seconds 3] [--rounds 3] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from compare import cpu_name

HERE = Path(__file__).parent
WAYS = (
    "fastkeras-eager",
    "fastkeras-function",
    "fastkeras-fit",
    "keras-tf-function",
    "torch-eager",
    "fastkeras-recording",
)


def measure(python, way, seconds):
    """One process's figures, or None when the library is not there."""
    ours = way.startswith("fastkeras")
    run = subprocess.run(
        [python, str(HERE / "loop_worker.py"), way, str(seconds)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") if ours else ""},
    )
    if run.returncode != 0:
        print(f"{way}: {(run.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
        return None
    return json.loads(run.stdout.strip().splitlines()[-1])


def main():
    """Runs all ways and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    rows = {}
    for _ in range(args.rounds):
        for way in WAYS:
            python = sys.executable if way.startswith("fastkeras") else args.peers_python
            result = measure(python, way, args.seconds)
            if result:
                rows.setdefault(way, []).append(result)
    medians = {
        way: {k: statistics.median(r[k] for r in rounds) for k in rounds[0] if k != "way"}
        for way, rounds in rows.items()
    }
    print(f"{cpu_name()}, {os.cpu_count()} cores; MLP 784-128-10, batch 32, Adam")
    print(f"{'':22}{'steps/s':>10}{'call of one sample, us':>26}")
    for way, row in medians.items():
        if "steps_per_s" in row:
            print(f"{way:22}{row['steps_per_s']:>10.0f}{row['call_one_us']:>26.1f}")
    own = medians.get("fastkeras-recording")
    if own:
        print(
            f"recording {own['record_us_per_op']:.2f} us per op, "
            f"a cached program {own['flush_us_per_node']:.3f} us per node"
        )
    eager = medians["fastkeras-eager"]["steps_per_s"]
    for way in ("torch-eager", "keras-tf-function"):
        if way in medians:
            print(f"fastkeras-eager / {way}: {eager / medians[way]['steps_per_s']:.2f}")
    function = medians["fastkeras-function"]["steps_per_s"]
    print(f"fastkeras-function / fastkeras-fit: {function / medians['fastkeras-fit']['steps_per_s']:.2f}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
            "loops": medians,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
