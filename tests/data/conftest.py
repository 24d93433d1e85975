"""Every test of input pipelines also checks that no thread outlives the iteration it worked for."""

from __future__ import annotations

import gc
import time

import pytest
from dataset_values import data_threads


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    deadline = time.monotonic() + 2
    while data_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not data_threads()
