"""The built-in regularizers: L1, L2, both, and the orthogonality of a matrix's rows or columns."""

from __future__ import annotations

from typing import Any

from fastkeras.regularizers.regularizer import Regularizer, checked_factor


class L1(Regularizer):
    """`l1 * sum(abs(x))`. Example: `Dense(3, kernel_regularizer=L1(0.01))`."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = checked_factor(l1, "l1", 0.01)

    def __call__(self, x: Any) -> Any:
        from fastkeras import ops

        return self.l1 * ops.sum(ops.abs(x))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum(square(x))`. Example: `Dense(3, kernel_regularizer=L2(0.01))`."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = checked_factor(l2, "l2", 0.01)

    def __call__(self, x: Any) -> Any:
        from fastkeras import ops

        return self.l2 * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class L1L2(Regularizer):
    """`l1 * sum(abs(x)) + l2 * sum(square(x))`. Example: `Dense(3, kernel_regularizer=L1L2(0.01, 0.01))`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = checked_factor(l1, "l1", 0.0)
        self.l2 = checked_factor(l2, "l2", 0.0)

    def __call__(self, x: Any) -> Any:
        from fastkeras import ops

        penalties = []
        if self.l1:
            penalties.append(self.l1 * ops.sum(ops.abs(x)))
        if self.l2:
            penalties.append(self.l2 * ops.sum(ops.square(x)))
        if not penalties:
            return ops.zeros((), dtype=x.dtype)
        return penalties[0] if len(penalties) == 1 else penalties[0] + penalties[1]

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Penalises rows (or columns) of a matrix that are not orthogonal to each other.

    The penalty is `factor` times the mean absolute dot product of the pairs of distinct normalised rows.

    Args:
        factor: number >= 0.
        mode: "rows" or "columns".

    Raises:
        ValueError: `mode` is neither, or the input is not a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = checked_factor(factor, "factor", 0.01)
        if mode not in ("rows", "columns"):
            raise ValueError(
                f'OrthogonalRegularizer: `mode` must be "rows" or "columns". Received: mode={mode!r}'
            )
        self.mode = mode

    def __call__(self, inputs: Any) -> Any:
        from fastkeras import ops

        if len(inputs.shape) != 2:
            raise ValueError(
                f"OrthogonalRegularizer takes matrices only. Received: shape={tuple(inputs.shape)}"
            )
        vectors = inputs if self.mode == "rows" else ops.transpose(inputs)
        # The floor keeps a zero vector's norm, and its gradient, finite.
        norms = ops.sqrt(ops.maximum(ops.sum(ops.square(vectors), axis=1, keepdims=True), 1e-12))
        unit = vectors / norms
        size = unit.shape[0]
        dots = ops.matmul(unit, ops.transpose(unit)) * (1.0 - ops.eye(size, dtype=unit.dtype))
        pairs = max(size * (size - 1) / 2.0, 1.0)
        return self.factor * 0.5 / pairs * ops.sum(ops.abs(dots))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}
