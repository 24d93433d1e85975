"""Class labels, or indices of an embedding, that do not exist."""

import fastkeras
import numpy as np
import pytest
from fastkeras import layers
from mistakes import LABELS, X, classifier, rejected


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("bad", [3, 100])
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_label_outside_the_classes(logits, bad, method):
    model = classifier(logits)
    labels = np.where(LABELS == 2, bad, LABELS)
    rejected(
        lambda: getattr(model, method)(X, labels, verbose=0),
        model,
        happened=str(bad),
        expected=r"\[0, 3\)",
    )
    getattr(model, method)(X, LABELS, verbose=0)


@pytest.mark.parametrize("logits", [False, True])
def test_negative_label_is_named(logits):
    labels = np.where(LABELS == 2, -1, LABELS)
    model = classifier(logits)
    rejected(lambda: model.fit(X, labels, verbose=0), model, happened="label -1", expected=r"\[0, 3\)")


def test_label_message_says_how_to_mend_it():
    model = classifier()
    rejected(
        lambda: model.fit(X, LABELS + 1, verbose=0), model, happened="label", mend="0 to 2|units|classes"
    )


def embedding():
    model = fastkeras.Sequential(
        [fastkeras.Input((2,), dtype="int32"), layers.Embedding(10, 4), layers.Flatten(), layers.Dense(3)]
    )
    model.compile("adam", fastkeras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones((8, 2)), LABELS, verbose=0)
    return model


@pytest.mark.parametrize("bad", [10, 1000, -11])
@pytest.mark.parametrize(
    "way",
    [
        lambda m, i: m.fit(i, LABELS, verbose=0),
        lambda m, i: m.evaluate(i, LABELS, verbose=0),
        lambda m, i: m.predict(i, verbose=0),
        lambda m, i: np.array(m(i)),
    ],
)
def test_embedding_index(bad, way):
    model = embedding()
    index = np.full((8, 2), 3, "int32")
    index[5, 1] = bad
    rejected(lambda: way(model, index), model, happened=f"index {bad} is outside", expected=r"\[0, 10\)")
    way(model, np.full((8, 2), 3, "int32"))


def test_embedding_message_names_the_layer():
    model = embedding()
    index = np.full((8, 2), 10, "int32")
    rejected(lambda: model.fit(index, LABELS, verbose=0), model, happened="embedding", mend="input_dim")
