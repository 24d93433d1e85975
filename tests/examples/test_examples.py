"""The example files run as a user runs them, in a short form, and what they print is as good as they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import fastkeras
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, folder):
    # The folder that fastkeras was imported from, which PYTHONPATH may name relative to another folder.
    environment = {**os.environ, "PYTHONPATH": str(Path(fastkeras.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), "--quick"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return done.stdout


def numbers(pattern, text):
    """The groups of all matches as floats."""
    found = [[float(g) for g in m.groups()] for m in re.finditer(pattern, text)]
    assert found, f"{pattern!r} is not in:\n{text}"
    return found


def test_custom_training_loop(tmp_path):
    text = run("custom_training_loop.py", tmp_path)
    losses = [[float(v) for v in line.split()] for line in re.findall(r"loss by epoch ([\d. ]+)", text)]
    assert len(losses) == 5
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)  # plain Python and @tf.function
    assert all(path[-1] < path[0] / 2 for path in losses)
    assert all(a >= 0.9 for (a,) in numbers(r"test accuracy (0\.\d+),", text))
    ((largest, share),) = numbers(r"largest norm of a gradient ([\d.]+), clipped in (\d+)%", text)
    assert largest > 0.5 and 0 < share < 100
    assert text.splitlines()[-1].startswith("five training loops done")


def test_gan(tmp_path):
    text = run("digits_gan.py", tmp_path)
    rows = numbers(r"generator loss ([\d.]+), discriminator loss ([\d.]+)", text)
    assert all(0.2 < g < 3 and 0.5 < d < 2 for g, d in rows)
    ((confidence,),) = numbers(r"sure by (0\.\d+) on average", text)
    assert confidence > 0.55
    ((kinds,),) = numbers(r"(\d+) of 10 digits occur", text)
    assert kinds >= 6
    assert text.splitlines()[-1].endswith("GAN done")


def test_vae(tmp_path):
    text = run("digits_vae.py", tmp_path)
    totals = [t for (t,) in numbers(r"KL [\d.]+ = ([\d.]+)", text)]
    assert totals == sorted(totals, reverse=True) and totals[-1] < 28
    ((before, after),) = numbers(r"test bound ([\d.]+) before, ([\d.]+) after", text)
    assert after < 28 < 40 < before
    ((error, variance),) = numbers(r"test images ([\d.]+) \(their variance: ([\d.]+)\)", text)
    assert error < variance / 2
    assert text.splitlines()[-1].endswith("VAE done")


def test_wgan_gp(tmp_path):
    text = run("digits_wgan_gp.py", tmp_path)
    ((first, last, slope),) = numbers(
        r"distance ([\d.]+) at most at first, ([\d.]+) at last, slope ([\d.]+)", text
    )
    assert last < first / 2 and abs(slope - 1) < 0.15
    ((nearest, spread),) = numbers(r"real image ([\d.]+), between samples ([\d.]+)", text)
    assert nearest < 4.5 and spread > 3
    assert text.splitlines()[-1].endswith("WGAN-GP done")
