"""Batches of a `fastkeras.data.Dataset`, which are NumPy arrays until they reach the step."""

from __future__ import annotations

from collections.abc import Iterator

from fastkeras.core import config
from fastkeras.data import INFINITE_CARDINALITY, Dataset
from fastkeras.training.data_adapters.adapter import Batch, IterableAdapter


class DatasetAdapter(IterableAdapter):
    """Batches of a Dataset.

    Args:
        dataset: the dataset; each pass iterates it anew.
        class_weight: weights by class to turn into sample weights, or None.
        steps_per_epoch: number of batches per epoch, None for all.

    Raises:
        ValueError: if the dataset is infinite and nothing says how many batches to read.
    """

    def __init__(
        self,
        dataset: Dataset,
        class_weight: dict[int, float] | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__(dataset, class_weight)
        self._dataset = dataset
        is_limited = steps_per_epoch is not None or config.max_steps_per_epoch() is not None
        if dataset.cardinality() == INFINITE_CARDINALITY and not is_limited:
            raise ValueError(
                "The dataset is infinite, and nothing says how many of its batches to read. Expected an end. Pass "
                "`steps_per_epoch` to fit(), `validation_steps` for validation data or `steps` to evaluate() and "
                "predict(), or drop `.repeat()`: every epoch reads the dataset anew."
            )

    def batches(self) -> Iterator[Batch]:
        standardize = self.standardize
        items = self._dataset._numpy_batches()
        try:
            for item in items:
                yield standardize(item)
        finally:
            # Threads that read ahead end with the pass, also when it is given up.
            items.close()  # type: ignore[attr-defined]
