"""Names of the optimizers of Keras 2, which raise: they exist so that code that mentions them can be
imported.
"""

from __future__ import annotations

from typing import Any


class LegacyOptimizerWarning:
    """Raises `ImportError` when it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            "The optimizers of `optimizers.legacy` (Keras 2) do not exist here. Use the one of the same "
            "name in "
            "`optimizers`; `decay=` becomes a schedule such as `schedules.InverseTimeDecay`."
        )


Adagrad = Adam = Ftrl = Optimizer = RMSprop = SGD = LegacyOptimizerWarning
