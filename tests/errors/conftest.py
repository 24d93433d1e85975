"""Makes `mistakes.py` importable, and restarts automatic names in every test."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True)
def fresh_names():
    from fastkeras.core.global_state import clear_session

    clear_session(free_memory=False)
    yield
    clear_session(free_memory=False)
