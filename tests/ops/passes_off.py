"""Which passes this run leaves out: a test of what a pass does asks before it looks."""

from fastkeras import _engine


def passes_off(*passes: str) -> bool:
    """Whether any of these passes is switched off (FASTKERAS_DISABLE_PASSES)."""
    off = _engine.config()["disable_passes"]["value"].split(",")
    return any(name in off for name in (*passes, "all"))
