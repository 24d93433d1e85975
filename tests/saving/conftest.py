"""The oracle chooses its backend when it is first imported, so that has to be set before any test module
runs.
"""

import os
import pathlib
import sys

import pytest

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names start from the beginning in every test."""
    from fastkeras.core.global_state import clear_session

    clear_session(free_memory=False)
    yield
    clear_session(free_memory=False)
