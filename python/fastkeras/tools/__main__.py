"""The command line: one subcommand for each module of this package that is listed here."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

# name -> (module with `arguments(parser)` and `run(args)`, summary)
_COMMANDS = {
    "explain": ("fastkeras.tools.explain", "what a model's steps do, how fast, and why"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fastkeras.tools", description="Tools of fastkeras.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, summary) in _COMMANDS.items():
        import_module(module).arguments(commands.add_parser(name, help=summary, description=summary))
    args = parser.parse_args(argv)
    try:
        return import_module(_COMMANDS[args.command][0]).run(args)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stdout = None
        return 0
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
