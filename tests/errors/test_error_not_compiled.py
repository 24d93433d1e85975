"""Training or evaluating a model before `compile()`."""

import pytest
from mistakes import LABELS, X, classifier, rejected


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_not_compiled(method):
    model = classifier(compiled=False)
    rejected(
        lambda: getattr(model, method)(X, LABELS),
        model,
        happened=rf"`{method}\(\)` was called on a model that has no optimizer",
        expected=r"must call `compile\(\)` before",
        mend=r"model\.compile\(optimizer=",
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    getattr(model, method)(X, LABELS)
