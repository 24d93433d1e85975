"""Times fastkeras beside Keras on TensorFlow, JAX and torch, and beside plain PyTorch: same machine, one run.

The models are the files of models/, ordinary Keras code that runs unchanged everywhere, and for some of them a
hand-written network in torch_models/ (`pytorch`, and `pytorch-compile` through `torch.compile`). Each library runs in a
process of its own, in turn, for several rounds, so that a noisy moment hits all of them; the figures are medians over
rounds. Only ratios from one run mean anything on a shared machine. A library that fails, or takes longer than the cap
of a process, is listed with the reason and with what it had reported by then.

    python benchmarks/compare.py --peers-python PEERS/bin/python [--models mlp gpt:mixed_bfloat16] [--seconds 5]
        [--libraries fastkeras quickest] [--rounds 3] [--json FILE] [--quick]

`quickest` is the peer that was quickest at a model so far; --quick is one round of fastkeras and that peer. PEERS is an
environment with keras==3.15.1 and whichever of tensorflow, jax and torch should be compared.
`table.py` turns the JSON into markdown.
"""

import argparse
import importlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from limits import better, step_limit

HERE = Path(__file__).parent
LIBRARIES = ("fastkeras", "tensorflow", "jax", "torch", "pytorch", "pytorch-compile")
# The peer that `quickest` stands for: that of the measured runs.
QUICKEST = {
    "mlp": "jax",
    "convnet": "tensorflow",
    "wide_deep": "jax",
    "bilstm": "pytorch",
    "transformer": "torch",
    "gpt": "pytorch",
    "gpt:mixed_bfloat16": "pytorch-compile",
    "resnet50": "pytorch",
    "resnet50:mixed_bfloat16": "pytorch",
    "mobilenetv2": "tensorflow",
    "mobilenetv2:mixed_bfloat16": "tensorflow",
}
# Figure, title, format, whether higher is better.
COLUMNS = (
    ("steps_per_s", "steps/s", "{:.1f}", True),
    ("limit_percent", "% of limit", "{:.0f}", True),
    ("first_step_s", "first step s", "{:.3f}", False),
    ("predict_one_ms", "predict 1 ms", "{:.3f}", False),
    ("predict_32_ms", "predict 32 ms", "{:.3f}", False),
    ("call_one_ms", "call 1 ms", "{:.3f}", False),
    ("import_s", "import s", "{:.2f}", False),
    ("peak_mb", "peak MB", "{:.0f}", False),
)


def run_python(python, arguments, ours, cap):
    """Runs a script of this folder; its JSON lines merged into a dictionary, with `failed` where it did not end well.

    The process leads a session of its own, so that the compilers it may have started end with it at the cap.
    """
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") if ours else ""}
    with tempfile.TemporaryDirectory() as scratch:
        environment["TORCHINDUCTOR_CACHE_DIR"] = scratch  # empty: a first step compiles, in every round
        process = subprocess.Popen(
            [python, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
            env=environment,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=cap)
            over = False
        except subprocess.TimeoutExpired:
            over = True
            os.killpg(process.pid, signal.SIGKILL)  # not yet waited for, so the group still exists
            output, errors = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    result = {}
    for line in output.splitlines():
        if line.startswith("{") and line.endswith("}"):
            result.update(json.loads(line))
    stage = result.pop("stage", "start")
    if over and stage != "done":  # all figures are there when only the library's shutdown was cut
        result["failed"] = f"over the cap of {cap:g} s during: {stage}"
    elif not over and process.returncode != 0:
        result["failed"] = f"{stage}: {last_error(errors, process.returncode)}"
    return result


def last_error(errors, code):
    """The line of a traceback that names the exception, or the exit status."""
    lines = [line for line in errors.strip().splitlines() if line and not line[0].isspace()]
    named = [line for line in lines if line.split(":")[0].replace(".", "").isidentifier() and ":" in line]
    return (named or lines or [f"exit status {code}"])[-1][:300]


def machine_limits(peers_python):
    """Peak matmul rates and bandwidths: the better of what fastkeras and PyTorch reach now."""
    own = run_python(sys.executable, ["limits.py", "fastkeras"], True, 120)
    peer = run_python(peers_python, ["limits.py", "torch"], False, 120)
    for name, result in (("fastkeras", own), ("torch", peer)):
        if "failed" in result:
            print(f"limits by {name}: {result.pop('failed')}", file=sys.stderr)
    limits = better(own, peer)
    if not limits:
        sys.exit("Neither fastkeras nor torch could measure the machine's limits.")
    return limits


def median_of(rounds):
    """Field-wise median over the rounds of one library and model; a failure of any round is kept."""
    out = {}
    for key in rounds[0]:
        values = [r[key] for r in rounds if isinstance(r.get(key), (int, float))]
        if values:
            out[key] = statistics.median(values)
    out["rounds"] = len(rounds)
    failures = [r["failed"] for r in rounds if "failed" in r]
    if failures:
        out["failed"] = failures[0]
    return out


def compare(spec, libraries, args, report):
    """Measures one model with one policy on all libraries into the report."""
    name, _, policy = spec.partition(":")
    policy = policy or "float32"
    runs, facts = {}, {}
    for _ in range(args.rounds):
        for library in libraries:
            if library.startswith("pytorch") and not (HERE / "torch_models" / f"{name}.py").exists():
                continue
            if any("failed" in run for run in runs.get(library, ())):
                continue
            ours = library == "fastkeras"
            python = sys.executable if ours else args.peers_python
            arguments = ["worker.py", library, name, policy, str(args.seconds)]
            load = os.getloadavg()[0]
            start = time.perf_counter()
            result = run_python(python, arguments, ours, args.cap)
            result["load_before"] = load
            result["process_s"] = time.perf_counter() - start
            if "version" in result:
                report["versions"][library] = result.pop("version")
            if "flops" in result:
                facts["flops"] = result.pop("flops")
                facts.setdefault("parameters", result["parameters"])
            runs.setdefault(library, []).append(result)
    medians = {library: median_of(rounds) for library, rounds in runs.items()}
    report["models"][spec] = medians
    if facts:
        report["bounds"][spec] = {"policy": policy, **facts}
    bound(report, spec)


def bound(report, spec):
    """Sets the machine's limit for one model, and each library's percentage of it."""
    facts = report["bounds"].get(spec)
    if facts is None:
        return
    facts.update(step_limit(report["limits"], facts["flops"], facts["parameters"], facts["policy"]))
    for row in report["models"][spec].values():
        if "steps_per_s" in row:
            row["limit_percent"] = 100 * row["steps_per_s"] / facts["steps_per_s"]


def best_peers(rows):
    """For every figure, the peer that is best at it: {figure: (library, value)}."""
    out = {}
    for key, _, _, higher in COLUMNS:
        values = {name: row[key] for name, row in rows.items() if name != "fastkeras" and key in row}
        if values:
            name = (max if higher else min)(values, key=values.get)
            out[key] = (name, values[name])
    return out


def print_table(spec, report):
    """One model's table, with the ratio of each figure of fastkeras to the best peer."""
    rows, facts = report["models"][spec], report["bounds"].get(spec)
    print(
        f"\n{spec}" + (f": at most {facts['steps_per_s']:.1f} steps/s ({facts['bound_by']})" if facts else "")
    )
    print(f"{'':16}" + "".join(f"{title:>14}" for _, title, _, _ in COLUMNS))
    for library, row in rows.items():
        cells = [form.format(row[key]) if key in row else "-" for key, _, form, _ in COLUMNS]
        print(f"{library:16}" + "".join(f"{cell:>14}" for cell in cells))
        if "failed" in row:
            print(f"{'':16}  {row['failed']}")
    peers, ours = best_peers(rows), rows.get("fastkeras", {})
    ratios = []
    for key, _, _, higher in COLUMNS:
        known = key in ours and key in peers
        ratio = (ours[key] / peers[key][1] if higher else peers[key][1] / ours[key]) if known else None
        ratios.append(f"{ratio:>13.2f}x" if known else f"{'-':>14}")
    print(f"{'x best peer':16}" + "".join(ratios), flush=True)


def all_specs():
    """Every model with every dtype policy it names."""
    specs = []
    for path in sorted((HERE / "models").glob("*.py")):
        policies = getattr(importlib.import_module(f"models.{path.stem}"), "POLICIES", ())
        specs += [path.stem, *(f"{path.stem}:{policy}" for policy in policies if policy != "float32")]
    return specs


def cpu_name():
    """The processor's model name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def cpu_features():
    """The instruction sets that decide a matmul's speed."""
    text = Path("/proc/cpuinfo").read_text()
    flags = set(text.partition("flags")[2].split("\n")[0].split()) if "flags" in text else set()
    return [f for f in ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if f in flags]


def main():
    """Runs all measurements, prints the tables, writes the JSON after every model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--models", nargs="+", help="NAME or NAME:POLICY; default: all, with all policies")
    parser.add_argument("--libraries", nargs="+", choices=(*LIBRARIES, "quickest"), default=LIBRARIES)
    parser.add_argument("--seconds", type=float, default=5.0, help="of training per process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cap", type=float, default=180.0, help="seconds a process may take")
    parser.add_argument("--quick", action="store_true", help="one round of fastkeras and the quickest peer")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.libraries = 1, ("fastkeras", "quickest")
    specs = args.models or all_specs()
    unknown = [spec for spec in specs if not (HERE / "models" / f"{spec.partition(':')[0]}.py").exists()]
    if unknown:
        parser.error(f"models/ has no {', '.join(unknown)}")

    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpu": cpu_name(),
            "features": cpu_features(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
        },
        "settings": {"seconds": args.seconds, "rounds": args.rounds, "cap_s": args.cap},
        "versions": {},
        "limits": machine_limits(args.peers_python),
        "bounds": {},
        "models": {},
    }
    limits = report["limits"]
    print(
        f"{report['machine']['cpu']}, {os.cpu_count()} cores: {limits['matmul_gflops']:.0f} GFLOP/s float32, "
        f"{limits['matmul_bfloat16_gflops']:.0f} bfloat16; GB/s by MB touched: "
        + ", ".join(f"{mb}: {rate:.0f}" for mb, rate in limits["gbytes_by_mb"].items())
    )
    for spec in specs:
        libraries = [QUICKEST.get(spec, "jax") if name == "quickest" else name for name in args.libraries]
        compare(spec, libraries, args, report)
        print_table(spec, report)
        write(report, args.json)
    if not args.quick:  # the machine may have been busy at the start
        report["limits"] = better(limits, machine_limits(args.peers_python))
        for spec in specs:
            bound(report, spec)
        write(report, args.json)


def write(report, path):
    """Writes the report, if a path was given."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
