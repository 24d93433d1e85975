"""What `import fastkeras` costs and what it leaves alone, seen from a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

_BUDGET = 0.3  # seconds, beyond the start of Python


def _run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("FASTKERAS_LOG", "PYTHONDONTWRITEBYTECODE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**env, **variables},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_no_other_framework_is_imported() -> None:
    heavy = (
        "keras",
        "tensorflow",
        "jax",
        "torch",
        "scipy",
        "sklearn",
        "pandas",
        "matplotlib",
        "PIL",
        "h5py",
        "rich",
    )
    code = f"import sys, fastkeras; print([m for m in {heavy} if m in sys.modules])"
    assert _run(code).stdout.strip() == "[]"


def test_tools_wait_until_they_are_used() -> None:
    code = (
        "import sys, fastkeras; before = 'fastkeras.explanation' in sys.modules; fastkeras.explain;"
        "print(before, 'fastkeras.explanation' in sys.modules)"
    )
    assert _run(code).stdout.strip() == "False True"


def test_nothing_is_printed() -> None:
    done = _run("import fastkeras")
    assert done.stdout == ""
    assert done.stderr == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/task")
def test_no_thread_is_started() -> None:
    # NumPy's own BLAS starts threads when it is imported: they are counted before.
    code = (
        "import os, numpy; before = len(os.listdir('/proc/self/task')); import fastkeras;"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    assert _run(code).stdout.strip() == "0"


def test_no_environment_variable_is_set() -> None:
    code = "import os; before = dict(os.environ); import fastkeras; print(dict(os.environ) == before)"
    assert _run(code).stdout.strip() == "True"


def test_the_import_is_quick(tmp_path: Path) -> None:
    # Time of the processor: a machine that is busy with other work does not make the import any longer.
    code = "import time; start = time.process_time(); import fastkeras; print(time.process_time() - start)"
    bytecode = {"PYTHONPYCACHEPREFIX": str(tmp_path)}  # an installed package has been compiled
    _run("import fastkeras", **bytecode)
    best = float("inf")
    for attempt in range(5):
        best = min(best, float(_run(code, **bytecode).stdout))
        if best <= _BUDGET / 2:
            break
        time.sleep(0.2 * attempt)
    assert best <= _BUDGET, f"import fastkeras takes {best:.3f} s, allowed are {_BUDGET} s"
