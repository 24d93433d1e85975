"""Names of older versions for what prepares data; new code finds it in `utils`."""

from fastkeras.preprocessing import sequence

__all__ = ["sequence"]
