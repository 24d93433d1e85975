"""What a model's compiled steps consist of, what each instruction costs and why it runs the way it does.

Start at `explain`; `report.py` holds what it returns, `page.py` and `drawing.py` turn it into HTML.
"""

from fastkeras.explanation.explain import explain
from fastkeras.explanation.limits import MachineLimits, machine_limits
from fastkeras.explanation.report import Explanation, Instruction, PlanExplanation, Total

__all__ = [
    "Explanation",
    "Instruction",
    "MachineLimits",
    "PlanExplanation",
    "Total",
    "explain",
    "machine_limits",
]
