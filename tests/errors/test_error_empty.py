"""Arrays without samples."""

import pytest
from mistakes import LABELS, X, classifier, rejected

CALLS = {
    "fit": lambda m: m.fit(X[:0], LABELS[:0], verbose=0),
    "evaluate": lambda m: m.evaluate(X[:0], LABELS[:0], verbose=0),
    "predict": lambda m: m.predict(X[:0], verbose=0),
    "validation": lambda m: m.fit(X, LABELS, validation_data=(X[:0], LABELS[:0]), verbose=0),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_samples(call):
    model = classifier()
    rejected(
        lambda: CALLS[call](model),
        model,
        happened="The data is empty: .* 0 samples",
        expected="Expected at least one",
        mend="Check how `x` was made",
    )
    model.fit(X, LABELS, verbose=0)


def test_no_arrays():
    model = classifier()
    rejected(
        lambda: model.fit([], [], verbose=0),
        model,
        happened="`x` holds no arrays",
        mend="Pass at least one array",
    )
