"""`tf.autograph`: decorators that change nothing, since Python control flow is never converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras.compat.tensorflow._missing import missing


class experimental:
    """`tf.autograph.experimental`."""

    @staticmethod
    def do_not_convert(func: Callable[..., Any] | None = None) -> Any:
        """Returns the function as it is."""
        return (lambda f: f) if func is None else func

    @staticmethod
    def set_loop_options(**options: Any) -> None:
        """Accepted for compatibility."""


def set_verbosity(level: int, alsologtostdout: bool = False) -> None:
    """Accepted for compatibility."""


__getattr__ = missing(__name__)
