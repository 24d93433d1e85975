"""What the tests of several folders share."""

import pytest
from fastkeras import _engine


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list:
    """Every executable that is compiled meanwhile."""
    found: list = []
    compile_ = _engine.Trace.compile

    def keep(self, *args, **kwargs):
        found.append(compile_(self, *args, **kwargs))
        return found[-1]

    monkeypatch.setattr(_engine.Trace, "compile", keep)
    return found
