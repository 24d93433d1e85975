"""tf.train.Checkpoint and CheckpointManager: what is saved comes back, into the same objects or into new ones."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.arange(8, dtype="float32").reshape(8, 1)


class Net(tf.keras.Model):
    """Not built before it is called."""

    def __init__(self):
        super().__init__()
        self.hidden = tf.keras.layers.Dense(5, activation="relu")
        self.norm = tf.keras.layers.BatchNormalization()
        self.blocks = [tf.keras.layers.Dense(3), tf.keras.layers.Dense(1)]

    def call(self, x, training=False):
        x = self.norm(self.hidden(x), training=training)
        for block in self.blocks:
            x = block(x)
        return x


class Everything:
    """A model, its optimizer and what else a training script keeps."""

    def __init__(self):
        self.net = Net()
        self.optimizer = tf.keras.optimizers.Adam(0.05)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.metric = tf.keras.metrics.Mean()
        self.generator = tf.random.Generator.from_seed(1)
        self.checkpoint = tf.train.Checkpoint(
            net=self.net,
            optimizer=self.optimizer,
            step=self.step,
            extra={"metric": self.metric, "more": [tf.Variable([1.0, 2.0]), self.generator]},
        )

    def train(self, compiled=True):
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.net(x, training=True) - y) ** 2)
            grads = tape.gradient(loss, self.net.trainable_variables)
            self.optimizer.apply_gradients(zip(grads, self.net.trainable_variables))
            self.step.assign_add(1)
            self.metric.update_state(loss)
            return loss

        step = tf.function(step) if compiled else step
        return [float(step(tf.constant(X), tf.constant(Y))) for _ in range(3)]


def state(e):
    return [v.numpy() for v in (*e.net.variables, *e.optimizer.variables, e.step, *e.metric.variables)]


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def test_same_objects(tmp_path):
    e = Everything()
    e.train()
    before = state(e)
    path = e.checkpoint.save(f"{tmp_path}/ckpt")
    assert path == f"{tmp_path}/ckpt-1" and os.path.exists(f"{path}.npz")
    assert tf.train.latest_checkpoint(tmp_path) == path
    e.train()
    e.checkpoint.extra["more"][0].assign([0.0, 0.0])
    e.checkpoint.restore(path).assert_consumed()
    same(state(e), before)
    assert e.checkpoint.extra["more"][0].numpy().tolist() == [1, 2]
    assert e.checkpoint.save(f"{tmp_path}/ckpt").endswith("ckpt-2")


@pytest.mark.parametrize("compiled", [True, False])
def test_new_objects_get_their_values_when_they_are_built(tmp_path, compiled):
    e = Everything()
    e.train()
    path = e.checkpoint.save(f"{tmp_path}/ckpt")
    expected = e.train()
    f = Everything()
    status = f.checkpoint.restore(path)
    assert int(f.step) == 3 and float(f.optimizer.learning_rate) == pytest.approx(0.05)
    with pytest.raises(AssertionError, match="net/hidden"):
        status.assert_consumed()
    status.expect_partial().assert_existing_objects_matched()
    # The first step already uses the restored weights and optimizer slots.
    assert f.train(compiled) == pytest.approx(expected, rel=1e-5)
    status.assert_consumed()
    for x, y in zip(state(e), state(f)):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_compiled_model(tmp_path):
    def make():
        tf.keras.utils.set_random_seed(0)
        model = tf.keras.Sequential([tf.keras.layers.Dense(3, activation="relu"), tf.keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    model = make()
    model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    path = tf.train.Checkpoint(model=model).write(f"{tmp_path}/model")
    expected = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"]
    other = make()
    tf.train.Checkpoint(model=other).read(path).expect_partial()
    assert other.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"] == pytest.approx(
        expected, rel=1e-5
    )


def test_two_models_with_an_optimizer_each(tmp_path):
    def make():
        parts = {n: tf.keras.Sequential([tf.keras.layers.Dense(2)]) for n in ("generator", "discriminator")}
        optimizers = {f"{n}_optimizer": tf.keras.optimizers.Adam(0.1) for n in parts}
        return parts, optimizers, tf.train.Checkpoint(**parts, **optimizers)

    def train(parts, optimizers):
        for name, part in parts.items():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(part(X) ** 2)
            grads = tape.gradient(loss, part.trainable_variables)
            optimizers[f"{name}_optimizer"].apply_gradients(zip(grads, part.trainable_variables))

    parts, optimizers, checkpoint = make()
    train(parts, optimizers)
    path = checkpoint.save(f"{tmp_path}/gan")
    train(parts, optimizers)
    new_parts, new_optimizers, new_checkpoint = make()
    status = new_checkpoint.restore(path)
    train(new_parts, new_optimizers)
    status.assert_consumed()
    for name in parts:
        for a, b in zip(parts[name].variables, new_parts[name].variables):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_modules_roots_and_types(tmp_path):
    class Inner(tf.Module):
        def __init__(self, dtype):
            super().__init__()
            self.w = tf.Variable([1.5, 2.5], dtype=dtype)
            self.note = object()

    class Outer(tf.Module):
        def __init__(self):
            super().__init__()
            self.parts = [Inner(t) for t in (tf.float16, tf.bfloat16, tf.int8, tf.bool)]

    a, b = Outer(), Outer()
    for v in b.variables:
        v.assign(tf.zeros_like(v))
    path = tf.train.Checkpoint(a, count=tf.Variable(3)).write(tmp_path / "x")
    assert ("root/parts/1/w", [2]) in tf.train.list_variables(path)
    tf.train.Checkpoint(b, count=tf.Variable(0)).read(path).assert_consumed()
    same([v.numpy() for v in a.variables], [v.numpy() for v in b.variables])


def test_manager(tmp_path):
    v = tf.Variable(0.0)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(v=v), f"{tmp_path}/ckpts", max_to_keep=2)
    assert manager.latest_checkpoint is None and manager.checkpoints == []
    assert manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
    for i in range(4):
        v.assign(float(i))
        assert manager.save() == f"{tmp_path}/ckpts/ckpt-{i + 1}"
    assert [os.path.basename(c) for c in manager.checkpoints] == ["ckpt-3", "ckpt-4"]
    assert sorted(os.listdir(f"{tmp_path}/ckpts")) == ["checkpoint", "ckpt-3.npz", "ckpt-4.npz"]
    w = tf.Variable(9.0)
    again = tf.train.CheckpointManager(tf.train.Checkpoint(v=w), f"{tmp_path}/ckpts", max_to_keep=2)
    assert (
        again.restore_or_initialize() == again.latest_checkpoint == manager.latest_checkpoint
        and float(w) == 3
    )
    assert again.save().endswith("ckpt-5")
    assert again.save(checkpoint_number=100).endswith("ckpt-100")


def test_manager_interval_and_init(tmp_path):
    step = tf.Variable(0)
    called = []
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(step=step),
        tmp_path,
        max_to_keep=None,
        step_counter=step,
        checkpoint_interval=2,
        init_fn=lambda: called.append(1),
    )
    assert manager.restore_or_initialize() is None and called == [1]
    saved = []
    for _ in range(5):
        saved.append(manager.save())
        step.assign_add(1)
    assert [s is not None for s in saved] == [True, False, True, False, True]
    assert manager.save(check_interval=False) is not None
    with pytest.raises(ValueError, match="max_to_keep"):
        tf.train.CheckpointManager(tf.train.Checkpoint(), tmp_path, max_to_keep=0)
    with pytest.raises(ValueError, match="step_counter"):
        tf.train.CheckpointManager(tf.train.Checkpoint(), tmp_path, 1, checkpoint_interval=3)
    with pytest.raises(NotImplementedError, match="second manager"):
        tf.train.CheckpointManager(tf.train.Checkpoint(), tmp_path, 1, keep_checkpoint_every_n_hours=1)


def test_mismatches(tmp_path):
    path = tf.train.Checkpoint(a=tf.Variable([1.0]), b=tf.Variable(2.0)).write(f"{tmp_path}/x")
    with pytest.raises(AssertionError, match=r"no variable has taken: b"):
        tf.train.Checkpoint(a=tf.Variable([0.0])).read(path).assert_consumed()
    with pytest.raises(AssertionError, match=r"Variables without a value.*: c"):
        tf.train.Checkpoint(a=tf.Variable([0.0]), b=tf.Variable(0.0), c=tf.Variable(0.0)).read(
            path
        ).assert_consumed()
    b = tf.Variable(0.0)
    with pytest.raises(ValueError, match=r"shape \(1,\).*Expected equal shapes"):
        tf.train.Checkpoint(a=tf.Variable([0.0, 0.0]), b=b).read(path)
    assert float(b) == 0
    with pytest.raises(FileNotFoundError, match="latest_checkpoint"):
        tf.train.Checkpoint().restore(f"{tmp_path}/nothing")
    with pytest.raises(ValueError, match="type object"):
        tf.train.Checkpoint(a=object())


def test_dataset_iterators_are_accepted_with_a_warning():
    with pytest.warns(UserWarning, match="begins at the first element"):
        tf.train.Checkpoint(iterator=iter(tf.data.Dataset.range(3)))


def test_files_are_not_trusted(tmp_path):
    checkpoint = tf.train.Checkpoint(a=tf.Variable([1.0]))
    good = tmp_path / "good.npz"
    checkpoint.write(tmp_path / "good")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    bad = {}
    bad["pickle"] = np.array([Evil()], object)
    np.savez(tmp_path / "pickle.npz", a=bad["pickle"])
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:100])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Evil()))
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"1234")
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        warnings.catch_warnings(),
    ):
        archive.writestr("a.npy", b"\0" * (300 << 20))
    for name in ("pickle", "cut", "text", "plain", "large", "bomb"):
        with pytest.raises(ValueError, match="Expected"):
            checkpoint.read(tmp_path / name)
    assert not (tmp_path / "executed").exists()
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "../../etc/x"\nall_model_checkpoint_paths: "a/b"\n'
    )
    assert tf.train.latest_checkpoint(tmp_path) is None
