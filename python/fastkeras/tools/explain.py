"""`python -m fastkeras.tools explain model.keras`: explains a saved model on random inputs."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument("model", help="a .keras file; loading it runs no code from it")
    parser.add_argument("--batch", type=int, default=1, help="batch size (default 1)")
    parser.add_argument(
        "--train", action="store_true", help="explain the train step too, for a model saved compiled"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with the time bar and the fused graph")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each step is run (default 1)")


def run(args: argparse.Namespace) -> int:
    """Prints the explanation."""
    from fastkeras.explanation import explain
    from fastkeras.explanation.explain import random_inputs, random_targets
    from fastkeras.saving import load_model

    if args.batch < 1:
        raise ValueError(f"--batch is {args.batch}; expected at least 1")
    model = load_model(args.model)
    x = random_inputs(model, args.batch)
    y = random_targets(model, x) if args.train else None
    explanation = explain(model, x, y, seconds=args.seconds)
    print(explanation)
    if args.html:
        explanation.html(args.html)
        print(f"\nWritten: {args.html}")
    return 0
