"""The table of test cases of the engine's ops: `CASES[name]` is a list of `Case`s, numbered in their order.

A new op needs one line in `oracles.py` and one entry in the module of its family, imported here.
"""

from __future__ import annotations

import cases_attention  # noqa: F401
import cases_elementwise  # noqa: F401 - fills the table
import cases_network  # noqa: F401
import cases_recurrent  # noqa: F401
import cases_structure  # noqa: F401
from case_types import CASES, Case, materialise

__all__ = ["CASES", "Case", "materialise"]
