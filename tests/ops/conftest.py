"""The op table is held against IEEE arithmetic, so the numbers below the normal range are kept here."""

import pytest
from fastkeras import _engine


@pytest.fixture(autouse=True, scope="module")
def keep_denormals():
    _engine.set_config("denormals", True)
    yield
    _engine.set_config("denormals", False)
