"""The examples of what a user may program run, quickly, and print figures that say what they claim."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import fastkeras
import pytest

pytest.importorskip("sklearn")
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def run(name, folder):
    """What `python examples/NAME --quick` prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, "--quick"],
        cwd=folder,
        # The folder that fastkeras was imported from, which PYTHONPATH may name relative to another folder.
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(fastkeras.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Warning" not in done.stderr, done.stderr
    assert re.search(r"^done: .+\n\Z", done.stdout, re.MULTILINE), "ends with a clear line"
    return done.stdout


def numbers(pattern, text):
    """The numbers in the one line that matches."""
    found = re.findall(pattern, text)
    assert len(found) == 1, f"{len(found)} lines match {pattern!r} in\n{text}"
    return [float(n) for n in (found[0] if isinstance(found[0], tuple) else found)]


NUMBER = r"(-?[\d.]+(?:e[+-]\d+)?)"


def test_custom_layer(tmp_path):
    text = run("custom_layer.py", tmp_path)
    for name in ("Sequential", "Functional", "subclassed"):
        _, accuracy, difference = numbers(rf"{name}\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}", text)
        assert accuracy > 0.85 and difference == 0.0, name


def test_two_inputs_two_outputs(tmp_path):
    text = run("two_inputs_two_outputs.py", tmp_path)
    loss, category, priority, total = numbers(
        rf"loss {NUMBER} = category {NUMBER} \+ 0.5 x priority {NUMBER} \(their sum: {NUMBER}\)", text
    )
    assert loss == pytest.approx(category + 0.5 * priority, abs=2e-4) and loss == pytest.approx(
        total, abs=2e-4
    )
    accuracies = numbers(rf"category accuracy {NUMBER} .*, priority accuracy {NUMBER} ", text)
    assert min(accuracies) > 0.75  # guessing: a quarter and a half


def test_early_exit(tmp_path):
    text = run("early_exit.py", tmp_path)
    (clean,) = numbers(rf"\n0\.0 .* {NUMBER}\n", text)
    (noisy,) = numbers(rf"\n0\.45 .* {NUMBER}\n", text)
    assert clean < noisy == 5.0, "both exits are taken"
    (difference,) = numbers(rf"largest difference of a gradient .*: {NUMBER}\n", text)
    assert difference < 1e-5
    (late,) = numbers(rf"compiled in the second half of the training: {NUMBER}\n", text)
    assert late <= 4, "a program for each exit, no more"


def test_transfer_learning(tmp_path):
    text = run("transfer_learning.py", tmp_path)
    (source,) = numbers(rf"digits 0-6: test accuracy {NUMBER}", text)
    frozen, moved = numbers(rf"frozen backbone.*: {NUMBER} \(largest change below: {NUMBER}\)", text)
    (tuned,) = numbers(rf"fine-tuned, 8 weights trainable: {NUMBER}", text)
    siamese, asymmetry = numbers(rf"siamese network.*: {NUMBER} \(inputs exchanged: {NUMBER} apart\)", text)
    assert source > 0.95 and moved == 0.0 and asymmetry < 1e-6
    assert min(frozen, tuned) > 0.6  # guessing: a third
    assert siamese > 0.8  # guessing: a half
    assert "2 of 24 weights are trainable: new_digit/kernel, new_digit/bias" in text


def test_recurrent_cell(tmp_path):
    text = run("recurrent_cell.py", tmp_path)
    differences = [float(d) for d in re.findall(rf"largest relative difference {NUMBER}", text)]
    assert len(differences) == 5 and max(differences) < 1e-4
    losses = []
    for way in ("ops.scan", "Python loop"):
        first, _, loss, accuracy = numbers(rf"{way} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}", text)
        assert first < 5.0 and accuracy > 0.85
        losses.append(loss)
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # after 210 steps of rounding in two orders
