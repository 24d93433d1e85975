"""One functional model with two inputs and two outputs: support tickets, sorted and given a priority.

A ticket is a text (word numbers) and a small screenshot. The category (softmax over 4) depends on both: the words
name the product, a figure in the screenshot says which of its parts is meant. The priority (sigmoid) depends on
urgent words. Each output has a loss, a weight and metrics of its own, given by the output's name. The tickets are
generated, so that the best possible result is known.

Run with ``python examples/two_inputs_two_outputs.py``.
"""

import argparse
import time

import fastkeras as keras
import numpy as np
from fastkeras import layers

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer tickets and epochs")
arguments = parser.parse_args()
tickets, epochs = (2000, 10) if arguments.quick else (6000, 15)
WORDS, LENGTH, SIDE = 200, 24, 16

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# Words 1-10 belong to product 0, 11-20 to product 1; 21-25 are urgent; the rest mean nothing.
product, part, urgent = (rng.integers(0, 2, tickets) for _ in range(3))
words = rng.integers(26, WORDS, (tickets, LENGTH)).astype("int32")
for place in range(4):
    words[:, place] = rng.integers(1, 11, tickets) + 10 * product
words[urgent == 1, 4:7] = rng.integers(21, 26, (int(urgent.sum()), 3))
words = rng.permuted(words, axis=1)
images = rng.random((tickets, SIDE, SIDE, 1), dtype="float32") * 0.5
for i, (row, column) in enumerate(rng.integers(2, SIDE - 2, (tickets, 2))):
    # Part 0 is marked by a horizontal stroke, part 1 by a vertical one.
    if part[i]:
        images[i, row - 2 : row + 3, column] += 0.6
    else:
        images[i, row, column - 2 : column + 3] += 0.6

inputs = {"words": words, "image": images}
targets = {"category": 2 * product + part, "priority": urgent.astype("float32")[:, None]}

text = keras.Input((LENGTH,), dtype="int32", name="words")
image = keras.Input((SIDE, SIDE, 1), name="image")
t = layers.Embedding(WORDS, 16)(text)
t = layers.GlobalAveragePooling1D()(t)
v = layers.Conv2D(16, 5, activation="relu")(image)
v = layers.MaxPooling2D()(v)
v = layers.Conv2D(16, 3, activation="relu")(v)
v = layers.GlobalMaxPooling2D()(v)
both = layers.Concatenate()([t, v])
both = layers.Dense(32, activation="relu")(both)
category = layers.Dense(4, activation="softmax", name="category")(both)
priority = layers.Dense(1, activation="sigmoid", name="priority")(both)
model = keras.Model([text, image], [category, priority], name="tickets")
model.summary()

model.compile(
    optimizer=keras.optimizers.Adam(5e-3),
    loss={"category": "sparse_categorical_crossentropy", "priority": "binary_crossentropy"},
    loss_weights={"category": 1.0, "priority": 0.5},
    metrics={"category": ["accuracy"], "priority": ["accuracy", keras.metrics.AUC(name="auc")]},
)

train, test = slice(0, tickets * 3 // 4), slice(tickets * 3 // 4, tickets)


def part_of(data, rows):
    return {name: array[rows] for name, array in data.items()}


start = time.perf_counter()
history = model.fit(
    part_of(inputs, train),
    part_of(targets, train),
    batch_size=64,
    epochs=epochs,
    validation_data=(part_of(inputs, test), part_of(targets, test)),
    verbose=0,
)
seconds = time.perf_counter() - start

print(
    f"\n{'epoch':>5} {'loss':>8} {'category loss':>14} {'accuracy':>9} {'priority loss':>14} {'AUC':>6}   (test)"
)
columns = ("loss", "category_loss", "category_accuracy", "priority_loss", "priority_auc")
for epoch in range(0, epochs, max(1, epochs // 5)):
    row = [history.history[f"val_{name}"][epoch] for name in columns]
    print("{:>5} {:>8.4f} {:>14.4f} {:>9.4f} {:>14.4f} {:>6.3f}".format(epoch + 1, *row))

results = model.evaluate(part_of(inputs, test), part_of(targets, test), verbose=0, return_dict=True)
total = results["category_loss"] + 0.5 * results["priority_loss"]
print(f"\nloss {results['loss']:.4f} = category {results['category_loss']:.4f} + 0.5 x priority", end=" ")
print(f"{results['priority_loss']:.4f} (their sum: {total:.4f})")

# Inputs and targets may be lists as well, in the order of the model's.
categories, priorities = model.predict([words[test], images[test]], verbose=0)
accuracy = (categories.argmax(-1) == targets["category"][test]).mean()
right = ((priorities > 0.5) == targets["priority"][test]).mean()
print(f"category accuracy {accuracy:.4f} (guessing: 0.25), priority accuracy {right:.4f} (guessing: 0.50)")

least = 0.75 if arguments.quick else 0.9
if accuracy < least or right < least:
    raise SystemExit(f"an accuracy is below {least}")
if abs(total - results["loss"]) > 1e-4:
    raise SystemExit("the loss is not the weighted sum of the outputs' losses")
print(f"done: two outputs learned in {seconds:.1f} s, each from its own loss")
