"""Times fastkeras beside Keras on TensorFlow, JAX and torch: same model code, same machine, one run.

Each library runs in a process of its own, in turn, for several rounds, so that a noisy moment hits all of them;
the figures are medians over rounds. Only ratios from one run mean anything on a shared machine.

    python benchmarks/compare.py --peers-python PEERS/bin/python [--models mlp convnet] [--seconds 5] [--rounds 3]

PEERS is an environment with keras==3.15.1 and whichever of tensorflow, jax and torch should be compared; a backend that
does not import there is reported as missing.
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

HERE = Path(__file__).parent
PEERS = ("tensorflow", "jax", "torch")


def machine_limits():
    """Peak float32 matmul rate (GFLOP/s) and copy bandwidth (GB/s), measured now with NumPy-free engine calls."""
    import time

    import numpy as np
    from fastkeras import _engine

    def best(executable, inputs, repeats=20):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            executable(*inputs)
            times.append(time.perf_counter() - start)
        return min(times)

    n = 2048
    trace = _engine.Trace()
    with trace:
        product = _engine.call("matmul", trace.input((n, n), "float32"), trace.input((n, n), "float32"))
    a = np.ones((n, n), "float32")
    gflops = 2 * n**3 / best(trace.compile([product]), (a, a)) / 1e9
    size = 32 << 20
    trace = _engine.Trace()
    with trace:
        doubled = trace.input((size,), "float32") * 2.0
    gbytes = 8 * size / best(trace.compile([doubled]), (np.ones(size, "float32"),)) / 1e9
    return {"matmul_gflops": gflops, "stream_gbytes": gbytes}


def measure(python, library, model, seconds):
    """One worker's figures, or None when the library is not there."""
    run = subprocess.run(
        [python, str(HERE / "worker.py"), library, model, str(seconds)],
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") if library == "fastkeras" else ""},
    )
    if run.returncode != 0:
        print(
            f"{library}: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else 'failed'}",
            file=sys.stderr,
        )
        return None
    return json.loads(run.stdout.strip().splitlines()[-1])


def median_of(rounds):
    """Field-wise median over rounds of one library and model."""
    return {
        key: statistics.median(r[key] for r in rounds)
        for key in rounds[0]
        if isinstance(rounds[0][key], float)
    }


def main():
    """Runs all measurements and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--models", nargs="+", default=["mlp", "convnet"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()

    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
        "limits": machine_limits(),
        "models": {},
    }
    limits = report["limits"]
    print(
        f"{report['machine']['cpu']}, {os.cpu_count()} cores: {limits['matmul_gflops']:.0f} GFLOP/s matmul, "
        f"{limits['stream_gbytes']:.1f} GB/s read + write"
    )
    for model in args.models:
        figures = {}
        for _ in range(args.rounds):
            for library in ("fastkeras", *PEERS):
                python = sys.executable if library == "fastkeras" else args.peers_python
                result = measure(python, library, model, args.seconds)
                if result:
                    figures.setdefault(library, []).append(result)
        medians = {library: median_of(rounds) for library, rounds in figures.items()}
        report["models"][model] = medians
        print_table(model, medians)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def print_table(model, medians):
    """One model's table, with the ratio of each figure of fastkeras to the best peer."""
    columns = [
        ("steps_per_s", "steps/s", "{:.1f}", max),
        ("first_step_s", "first step s", "{:.3f}", min),
        ("predict_one_ms", "predict 1 ms", "{:.3f}", min),
        ("call_one_ms", "call 1 ms", "{:.3f}", min),
        ("import_s", "import s", "{:.2f}", min),
        ("resident_mb", "RSS MB", "{:.0f}", min),
    ]
    print(f"\n{model}")
    print(f"{'':14}" + "".join(f"{title:>14}" for _, title, _, _ in columns))
    for library, row in medians.items():
        print(f"{library:14}" + "".join(f"{form.format(row[key]):>14}" for key, _, form, _ in columns))
    peers = [row for library, row in medians.items() if library != "fastkeras"]
    if peers and "fastkeras" in medians:
        ours = medians["fastkeras"]
        ratios = []
        for key, _, _, best in columns:
            peer = best(row[key] for row in peers)
            ratios.append(ours[key] / peer if best is max else peer / ours[key])
        print(f"{'x best peer':14}" + "".join(f"{r:>13.2f}x" for r in ratios))


def cpu_name():
    """The processor's model name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
