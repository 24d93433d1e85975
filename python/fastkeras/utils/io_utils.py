"""Messages to the user: interactive logging switch, `print_msg`, and yes/no questions."""

from __future__ import annotations

import logging
import sys

_logger = logging.getLogger("fastkeras")
_interactive = True


def enable_interactive_logging() -> None:
    """Prints progress and messages to `sys.stdout` (the default)."""
    global _interactive
    _interactive = True


def disable_interactive_logging() -> None:
    """Sends progress and messages to the `"fastkeras"` logger instead of `sys.stdout`."""
    global _interactive
    _interactive = False


def is_interactive_logging_enabled() -> bool:
    """Returns whether messages go to `sys.stdout` (True) or to the `"fastkeras"` logger (False)."""
    return _interactive


def print_msg(message: str, line_break: bool = True) -> None:
    """Prints `message`, or logs it if interactive logging is off.

    Args:
        message: the text.
        line_break: whether a line break follows it.
    """
    if not _interactive:
        _logger.info(message.strip("\r\n\b"))
        return
    text = message + "\n" if line_break else message
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A console of an old encoding: better a "?" than a training run that dies on its progress bar.
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, errors="replace").decode(encoding))
    stream.flush()


def ask_to_proceed_with_overwrite(filepath: object) -> bool:
    """Asks on the console whether the existing `filepath` may be overwritten; returns the answer."""
    while True:
        answer = input(f"[WARNING] {filepath} already exists - overwrite? [y/n] ").strip().lower()
        if answer in ("y", "yes"):
            print_msg("[TIP] Next time specify overwrite=True!")
            return True
        if answer in ("n", "no"):
            return False
        print_msg("Please answer 'y' or 'n'.")
