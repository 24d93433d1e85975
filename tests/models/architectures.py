"""Models built the same way from fastkeras and from Keras: `build(k)`, where `k` holds the names of one."""

import types


def names_of(package):
    if package == "keras":
        import keras

        return types.SimpleNamespace(
            layers=keras.layers, ops=keras.ops, Input=keras.Input, Model=keras.Model,
            Sequential=keras.Sequential,
            model_from_json=keras.models.model_from_json, clone_model=keras.models.clone_model,
            clear=keras.backend.clear_session,
        )  # fmt: skip
    from fastkeras import layers, models, ops
    from fastkeras.core.global_state import clear_session
    from fastkeras.layers.input_layer import Input

    return types.SimpleNamespace(
        layers=layers, ops=ops, Input=Input, Model=models.Model, Sequential=models.Sequential,
        model_from_json=models.model_from_json, clone_model=models.clone_model, clear=clear_session,
    )  # fmt: skip


def chain(k):
    x = k.Input((4,))
    h = k.layers.Dense(3, activation="relu")(x)
    return k.Model(x, k.layers.Dense(2, activation="softmax")(h))


def sequential(k):
    L = k.layers  # noqa: N806
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            L.Conv2D(4, 3, activation="relu"),
            L.MaxPooling2D(),
            L.BatchNormalization(),
            L.Flatten(),
            L.Dropout(0.3),
            L.Dense(5, kernel_regularizer="l2", name="out"),
        ]  # fmt: skip
    )


def branches(k):
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = k.layers.Dense(3, name="shared")
    h = k.layers.Add()([shared(a), shared(b)])
    c = k.layers.Concatenate()([h, a])
    return k.Model(
        [a, b], [k.layers.Dense(1, name="left")(c), k.layers.Dense(2, name="right")(h)], name="branches"
    )


def by_name(k):
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b", dtype="int32")
    h = k.layers.Dense(3)(a) + k.layers.Dense(3)(k.ops.cast(b, "float32"))
    return k.Model({"a": a, "b": b}, {"y": h, "z": k.layers.Activation("tanh")(h)})


def operations(k):
    ops = k.ops
    x = k.Input((6, 4))
    y = ops.mean(x, axis=1, keepdims=True)
    z = (x - y) * 2.0 + 1 / (ops.exp(x) + 1.5)
    z = ops.reshape(z, (-1, 24))
    w = ops.concatenate([z, ops.max(x, axis=-1)], axis=-1)
    v = ops.where(w > 0.5, w, -w)
    u = ops.einsum("bij,bkj->bik", x, x)
    s = ops.split(v, 2, axis=1)
    t = ops.transpose(u, (0, 2, 1)) @ x
    return k.Model(x, [s[1], t[:, 1:3, ::2], x[..., 0], ops.expand_dims(s[0], 1), ops.clip(x**2, 0.0, 1.0)])


def nested(k):
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dropout(0.1)], name="inner")
    x = k.Input((4,))
    deeper = k.Model(x, k.layers.Dense(4)(x), name="deeper")
    y = k.Input((4,))
    return k.Model(y, [inner(y), inner(deeper(y))])


def twice(k):
    x = k.Input((4,))
    d = k.layers.Dense(4, name="d")
    return k.Model(x, d(d(x)))


def masked(k):
    x = k.Input((5,), dtype="int32")
    h = k.layers.Embedding(10, 4, mask_zero=True)(x)
    return k.Model(x, k.layers.Dropout(0.2)(h))


def training_flags(k):
    x = k.Input((4,))
    y = k.layers.BatchNormalization()(x, training=False)
    return k.Model(x, k.layers.Dropout(0.5)(y))


def mixed(k):
    x = k.Input((4,))
    y = k.layers.Dense(3, dtype="mixed_bfloat16")(x)
    return k.Model(x, k.layers.Dense(2, dtype="float32")(y))


def frozen(k):
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3, trainable=False), k.layers.Dense(2)])
    return model


def middle(k):
    whole = chain(k)
    return k.Model(whole.layers[1].output, whole.output)


def subclass_free_sequential_without_input(k):
    model = k.Sequential([k.layers.Dense(3), k.layers.Dense(2)])
    model.build((None, 4))
    return model


ALL = [
    chain, sequential, branches, by_name, operations, nested, twice, masked, training_flags, mixed, frozen,
    middle,
    subclass_free_sequential_without_input,
]  # fmt: skip


def example_inputs(model):
    """Arrays for a model of either package."""
    import numpy as np

    rng = np.random.default_rng(0)

    def one(t):
        shape = tuple(2 if d is None else d for d in t.shape)
        if "int" in str(t.dtype):
            return rng.integers(0, 5, shape).astype("int32")
        return rng.standard_normal(shape).astype("float32")

    struct = getattr(model, "_inputs_struct", None)
    if struct is None:
        return one(model.inputs[0])
    if isinstance(struct, dict):
        return {k: one(struct[k]) for k in sorted(struct)}
    if isinstance(struct, (list, tuple)):
        return [one(t) for t in struct]
    return one(struct)
