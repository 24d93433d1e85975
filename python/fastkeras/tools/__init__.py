"""Command-line tools: `python -m fastkeras.tools`."""
