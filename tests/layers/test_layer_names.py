"""The package's table of names: complete, consistent with what type checkers see, and lazy."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest
from fastkeras import layers


def test_every_name_resolves():
    for name in layers.__all__:
        assert callable(getattr(layers, name)), name
    assert set(layers.__all__) <= set(dir(layers))
    with pytest.raises(AttributeError, match="Nope"):
        layers.Nope  # noqa: B018


def test_the_table_is_what_type_checkers_see():
    block = next(n for n in ast.parse(inspect.getsource(layers)).body if isinstance(n, ast.If))
    imported = {
        node.module.removeprefix("fastkeras.layers."): tuple(a.name for a in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    aliases = {n.targets[0].id: n.value.id for n in block.body if isinstance(n, ast.Assign)}
    assert imported == layers._MODULES
    assert aliases == layers._ALIASES


def test_importing_the_package_loads_no_layer():
    code = "import sys, fastkeras.layers; print([m for m in sys.modules if 'fastkeras.layers.' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "dense" not in found and "conv2d" not in found
