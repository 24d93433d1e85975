"""The oracle chooses its backend when it is first imported; helpers of tests/train and tests/memory serve here, too."""

import os
import pathlib
import sys

import pytest

os.environ["KERAS_BACKEND"] = "jax"
_HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "train"), str(_HERE.parent / "memory")]


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names start from the beginning in every test."""
    from fastkeras.core.global_state import clear_session

    clear_session(free_memory=False)
    yield
    clear_session(free_memory=False)
