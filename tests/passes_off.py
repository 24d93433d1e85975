"""What this run leaves out: a test of what a pass does asks before it looks."""

from fastkeras import _engine


def passes_off(*passes: str) -> bool:
    """Whether any of these passes is switched off (FASTKERAS_DISABLE_PASSES)."""
    off = _engine.config()["disable_passes"]["value"].split(",")
    return any(name in off for name in (*passes, "all"))


def products_absorb(*passes: str) -> bool:
    """Whether 1x1 convolutions take normalisations in: with AVX-512, while none of these passes is switched off."""
    return _engine.isa().startswith("avx512") and not passes_off(*passes)
