"""Layers: building, calling, tracking, dtype policies, masks, losses, configuration and errors."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.core import dtype_policies
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.masking import get_keras_mask
from fastkeras.core.variable import Variable
from fastkeras.layers.input_layer import Input
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from simple_layers import Affine, MakeMask, Mode, Pair, UseMask, counting

ONES = np.ones((2, 3), "float32")


class Nested(Layer):
    """Layers in attributes, lists and dictionaries; made again for Keras by `keras_twin`."""

    def __init__(self, base=Affine, variable=Variable, **kwargs):
        super().__init__(**kwargs)
        self.first = base(4)
        self.scale = variable(2.0, name="scale")
        self.many = [base(3), {"b": base(2), "a": base(2)}]
        self.fixed = variable(1.0, trainable=False, name="fixed")
        self.many.append(base(5))
        self.pair = (base(1), 3)

    def build(self, input_shape):
        self.offset = self.add_weight(shape=(1,), initializer="zeros", name="offset")

    def call(self, x):
        x = self.first(x) * self.scale + self.fixed
        x = self.many[0](x)
        x = self.many[1]["a"](x) + self.many[1]["b"](x)
        return self.pair[0](self.many[2](x)) + self.offset


def keras_twin():
    class Affine(keras.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units),
                initializer=lambda s, dtype: counting(s, dtype),
                name="kernel",
            )
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

        def call(self, x):
            return keras.ops.add(keras.ops.matmul(x, self.kernel), self.bias)

    methods = {k: v for k, v in Nested.__dict__.items() if k in ("build", "call")}
    methods["build"] = methods["build"]._wrapped_build

    def __init__(self, **kwargs):
        keras.layers.Layer.__init__(self, **kwargs)
        self.first = Affine(4)
        self.scale = keras.Variable(2.0, name="scale")
        self.many = [Affine(3), {"b": Affine(2), "a": Affine(2)}]
        self.fixed = keras.Variable(1.0, trainable=False, name="fixed")
        self.many.append(Affine(5))
        self.pair = (Affine(1), 3)

    return type("Nested", (keras.layers.Layer,), {**methods, "__init__": __init__})


def test_tracking_gives_the_variables_of_keras_in_its_order():
    keras.backend.clear_session()
    mine, theirs = Nested(), keras_twin()()
    np.testing.assert_allclose(np.asarray(mine(ONES)), np.asarray(theirs(ONES)), rtol=1e-5)
    for attribute in ("variables", "weights", "trainable_variables", "non_trainable_variables"):
        assert [v.path for v in getattr(mine, attribute)] == [v.path for v in getattr(theirs, attribute)], (
            attribute
        )
    assert mine.count_params() == theirs.count_params()
    for layer in (mine, theirs):
        layer.trainable = False
    assert not mine.trainable_variables and not mine.many[1]["a"].trainable and not mine.scale.trainable
    assert [v.path for v in mine.non_trainable_weights] == [v.path for v in theirs.non_trainable_weights]
    for layer in (mine, theirs):
        layer.trainable = True
    assert [v.path for v in mine.trainable_weights] == [v.path for v in theirs.trainable_weights]


def test_weights_can_be_read_and_set():
    a, b = Affine(2), Affine(2)
    a(ONES), b(ONES)
    b.set_weights([w + 1 for w in a.get_weights()])
    np.testing.assert_array_equal(b.kernel.numpy(), a.kernel.numpy() + 1)
    with pytest.raises(ValueError, match="length 1, but the layer was expecting 2"):
        b.set_weights([np.zeros((3, 2))])
    with pytest.raises(ValueError, match="not compatible"):
        b.set_weights([np.zeros((2, 2)), np.zeros(2)])
    with pytest.raises(ValueError, match="isn't built"):
        Affine(2).count_params()


def test_removing_an_attribute_removes_its_variables():
    layer = Nested()
    layer(ONES)
    n = len(layer.weights)
    layer._tracker.unlock()
    del layer.first
    del layer.many[0]
    assert len(layer.weights) == n - 4


def test_build_runs_once_and_records_its_shape():
    layer = Affine(2)
    assert layer.path is None and not layer.built and layer.get_build_config() is None
    layer(ONES)
    layer(ONES)
    assert layer.built and layer.get_build_config() == {"input_shape": (2, 3)} and len(layer.weights) == 2
    other = Affine(2)
    other.build_from_config({"input_shape": [None, 7]})
    assert other.kernel.shape == (7, 2)
    pair = Pair()
    pair(ONES, np.ones((2, 4), "float32"))
    assert pair.get_build_config() == {"shapes_dict": {"a_shape": (2, 3), "b_shape": (2, 4)}}
    again = Pair()
    again.build_from_config(pair.get_build_config())
    assert again.w.shape == (3, 4)


def test_build_of_a_base_class_may_be_called():
    class Sub(Affine):
        def build(self, input_shape):
            super().build(input_shape)
            self.extra = self.add_weight(shape=(), initializer="zeros", name="extra")

    layer = Sub(2)
    layer(ONES)
    assert [v.path for v in layer.weights] == ["sub/kernel", "sub/bias", "sub/extra"]


def test_build_with_wrong_parameters_is_explained():
    class Wrong(Pair):
        def build(self, a_shape, units):
            pass

    with pytest.raises(ValueError, match="does not end in `_shape`"):
        Wrong()(ONES, ONES)


def test_state_is_locked_after_building():
    layer = Affine(2)
    layer(ONES)
    with pytest.raises(ValueError, match="already built"):
        layer.late = Affine(3)
    with pytest.raises(ValueError, match="already built"):
        layer.add_weight(shape=(1,), initializer="zeros")


def test_symbolic_call_makes_a_graph_and_unknown_sizes_stay_unknown():
    x = Input((None, 3))
    layer = Affine(4)
    y = layer(x)
    assert isinstance(y, KerasTensor) and y.shape == (None, None, 4) and y.dtype == "float32"
    assert y._keras_history.operation is layer and layer.output is y and layer.input is x
    assert layer.get_build_config() == {"input_shape": (None, None, 3)}
    layer(x)
    assert layer.output is y
    with pytest.raises(AttributeError, match="never been called"):
        Affine(4).output  # noqa: B018


def test_layers_inside_a_symbolic_call_are_built_with_unknown_sizes():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Affine(4)

        def call(self, x):
            return self.inner(x)

    outer = Outer()
    assert outer(Input((None, 3))).shape == (None, None, 4)
    assert outer.inner.get_build_config() == {"input_shape": (None, None, 3)}
    assert outer.inner.kernel.path == "outer/affine/kernel"


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: ops.reshape(x, (-1, 3)),
        lambda x: x[:, ::2],
        lambda x: ops.concatenate([x, x], axis=0),
        lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
        lambda x: ops.sum(x, axis=1),
        lambda x: (x[0], ops.mean(x)),
    ],
)
def test_inferred_shapes_follow_keras(fn):
    import keras.ops as kops

    mine = fn(KerasTensor((None, None, 3)))
    theirs = _with(fn, kops)(keras.KerasTensor((None, None, 3)))
    shape = lambda t: [tuple(u.shape) for u in (t if isinstance(t, tuple) else (t,))]  # noqa: E731
    assert shape(mine) == shape(theirs)


def _with(fn, ops_module):
    import types

    return types.FunctionType(fn.__code__, {**fn.__globals__, "ops": ops_module})


@pytest.mark.parametrize("length", [10, 100, 5000])
def test_a_table_of_positions_does_not_fix_the_length(length):
    class Positions(Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(length, input_shape[-1]), initializer="zeros", name="t")

        def call(self, x):
            return x + self.table[: x.shape[1]]

    assert Positions()(Input((None, 8))).shape == (None, None, 8)


def test_compute_output_shape_by_tracing():
    layer = Affine(4)
    assert layer.compute_output_shape((None, 3)) == (None, 4)
    assert layer.compute_output_shape((5, None, 3)) == (5, None, 4)
    assert Pair().compute_output_shape(a_shape=(None, 3), b_shape=(None, 2)) == (None, 2)


def test_compute_output_shape_of_a_subclass_is_used():
    class Odd(Layer):
        def call(self, x):
            return x

        def compute_output_shape(self, input_shape):
            return (input_shape[0], 99)

    assert Odd()(Input((3,))).shape == (None, 99)


def test_training_reaches_inner_layers():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.a, self.b = Mode(), Mode()

        def call(self, x, training=None):
            return self.b(self.a(x, training=False))

    assert float(Mode()(1.0 * ONES)[0, 0]) == 1.0
    assert float(Mode()(ONES, training=True)[0, 0]) == 2.0
    # An explicit value holds for its call only.
    assert float(Outer()(ONES, training=True)[0, 0]) == 2.0
    assert float(Outer()(ONES)[0, 0]) == 1.0
    outer = Outer()
    assert [float(outer(ONES, training=t)[0, 0]) for t in (True, False, None)] == [2.0, 1.0, 1.0]


def test_training_reaches_layers_through_one_that_does_not_take_it():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.a = Mode()

        def call(self, x):
            return self.a(x)

    class Top(Layer):
        def __init__(self):
            super().__init__()
            self.outer = Outer()

        def call(self, x, training=None):
            return self.outer(x)

    top = Top()
    for _ in range(3):
        assert float(top(ONES, training=True)[0, 0]) == 2.0
        assert float(top(ONES)[0, 0]) == 1.0


# Types.


def test_inputs_and_variables_take_the_compute_type():
    seen = {}

    class Look(Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(3,), initializer="ones", name="w")
            self.exact = self.add_weight(shape=(3,), initializer="ones", name="e", autocast=False)

        def call(self, x, n=None):
            seen.update(
                x=x.dtype, w=self.w.dtype, exact=self.exact.dtype, n=n.dtype, y=ops.multiply(x, self.w).dtype
            )
            return ops.multiply(x, self.w)

    layer = Look(dtype="mixed_bfloat16")
    y = layer(np.ones((2, 3), "float64"), n=np.arange(3))
    assert seen == {"x": "bfloat16", "w": "bfloat16", "exact": "float32", "n": "int64", "y": "bfloat16"}
    assert y.dtype == "bfloat16" and layer.w.dtype == "float32" and layer.dtype == "float32"
    assert (layer.compute_dtype, layer.variable_dtype, layer.input_dtype) == (
        "bfloat16",
        "float32",
        "bfloat16",
    )
    plain = Look(dtype="float16")
    assert plain(ONES, n=np.arange(3)).dtype == "float16" and plain.w.dtype == "float16"


def test_autocast_ends_at_a_layer_of_another_policy():
    class Outer(Layer):
        def __init__(self):
            super().__init__(dtype="mixed_float16")
            self.inner = Affine(2, dtype="float32")

        def call(self, x):
            return self.inner(x)

    assert Outer()(ONES).dtype == "float32"


def test_no_autocast_leaves_inputs_alone():
    class Same(Layer):
        def call(self, x):
            return x

    x = np.ones((2, 3), "float64")
    assert Same(autocast=False)(x).dtype == "float64" and Same()(x).dtype == "float32"


def test_policies():
    try:
        dtype_policies.set_dtype_policy("mixed_float16")
        assert Affine(2).dtype_policy.name == "mixed_float16"
        assert repr(dtype_policies.dtype_policy()) == repr(keras.DTypePolicy("mixed_float16"))
    finally:
        dtype_policies.set_dtype_policy("float32")
    for name in ("float32", "mixed_bfloat16", "int32", "bool"):
        mine, theirs = dtype_policies.DTypePolicy(name), keras.DTypePolicy(name)
        assert (mine.compute_dtype, mine.variable_dtype, mine.name) == (
            theirs.compute_dtype, theirs.variable_dtype, theirs.name,
        )  # fmt: skip
        assert mine == dtype_policies.DTypePolicy(name) != dtype_policies.DTypePolicy("float64")
    for bad, error in (("float33", ValueError), (3, TypeError), ("int8_from_float32", NotImplementedError)):
        with pytest.raises(error):
            dtype_policies.DTypePolicy(bad)


# Masks.


def test_masks_travel_and_stop():
    x = np.array([[1.0, 0.0, 2.0]], "float32")
    masked = MakeMask()(x)
    assert np.asarray(get_keras_mask(masked)).tolist() == [[True, False, True]]
    seen = UseMask()(masked)
    assert np.asarray(seen).tolist() == [[1, 0, 1]] and get_keras_mask(seen) is not None
    assert np.asarray(UseMask()(x)).tolist() == [[-1, -1, -1]]
    assert np.asarray(UseMask()(x, mask=np.array([[False, True, True]]))).tolist() == [[0, 1, 1]]
    with pytest.warns(UserWarning, match="does not support masking"):
        assert get_keras_mask(Affine(2)(masked)) is None


def test_a_layer_called_fast_before_still_sees_a_mask():
    layer, x = UseMask(), _engine.tensor(np.ones((1, 3), "float32"))
    for _ in range(3):
        assert np.asarray(layer(x)).tolist() == [[-1, -1, -1]]
    assert np.asarray(layer(MakeMask()(x))).tolist() == [[1, 1, 1]]
    assert np.asarray(layer(x)).tolist() == [[-1, -1, -1]]


# Losses.


class Penalty(Layer):
    def call(self, x):
        self.add_loss(ops.sum(x))
        return x


def test_losses_are_those_of_the_last_call():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.p = Penalty()

        def build(self, input_shape):
            self.w = self.add_weight(shape=(2,), initializer="ones", regularizer=lambda w: ops.sum(w) * 10.0)

        def call(self, x):
            return self.p(x) * 1.0

    outer = Outer()
    for _ in range(3):
        outer(ONES)
        assert [float(x) for x in outer.losses] == [6.0, 20.0]
    outer(Input((3,)))
    assert [float(x) for x in outer.losses] == [20.0]
    with pytest.raises(ValueError, match="on a tensor input"):
        outer.add_loss("a")


def test_activity_regularizer():
    layer = Mode(activity_regularizer=lambda y: ops.sum(y))
    for _ in range(2):
        layer(ONES)
        # Per sample, as in Keras.
        assert [float(x) for x in layer.losses] == [3.0]


# Stateless calls.


def test_stateless_call():
    class Counter(Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(), initializer="ones", name="w")
            self.n = self.add_weight(shape=(), initializer="zeros", trainable=False, name="n")

        def call(self, x):
            self.n.assign_add(1.0)
            self.add_loss(ops.sum(x * self.w))
            return x * self.w

    layer = Counter()
    layer(ONES)
    y, state, losses = layer.stateless_call([np.float32(3)], [np.float32(10)], ONES, return_losses=True)
    assert float(y[0, 0]) == 3 and float(state[0]) == 11 and [float(v) for v in losses] == [18.0]
    assert float(layer.n) == 1 and float(layer.w) == 1
    with pytest.raises(ValueError, match="1:1"):
        layer.stateless_call([], [np.float32(10)], ONES)
    with pytest.raises(ValueError, match="must be built"):
        Counter().stateless_call([], [], ONES)


# Configuration.


def test_config_of_a_simple_class_comes_from_its_arguments():
    class Simple(Layer):
        def __init__(self, size, names=("a",), **kwargs):
            super().__init__(**kwargs)
            self.size, self.names = size, names

    config = Simple(3, names=["x"], name="s").get_config()
    assert {k: config[k] for k in ("size", "names", "name", "trainable")} == {
        "size": 3, "names": ["x"], "name": "s", "trainable": True,
    }  # fmt: skip
    again = Simple.from_config(config)
    assert (again.size, again.names, again.name) == (3, ["x"], "s")

    class Hard(Layer):
        def __init__(self, thing):
            super().__init__()

    with pytest.raises(NotImplementedError, match="must override `get_config"):
        Hard(object()).get_config()
    with pytest.raises(TypeError, match="Error when deserializing class 'Simple'"):
        Simple.from_config({"nonsense": 1})


def test_base_config_is_that_of_keras():
    class Plain(Layer):
        def get_config(self):
            return super().get_config()

    class KPlain(keras.layers.Layer):
        def get_config(self):
            return super().get_config()

    assert (
        Plain(name="p", dtype="mixed_bfloat16", trainable=False).get_config()
        == KPlain(name="p", dtype="mixed_bfloat16", trainable=False).get_config()
    )
    auto, kauto = type("Auto", (Layer,), {}), type("Auto", (keras.layers.Layer,), {})
    assert auto(name="p").get_config() == kauto(name="p").get_config()


def test_own_variables_in_a_store():
    a, b, store = Affine(2), Affine(2), {}
    a(ONES), b(ONES)
    a.kernel.assign(a.kernel + 5)
    a.save_own_variables(store)
    assert list(store) == ["0", "1"]
    b.load_own_variables({k: np.asarray(v) for k, v in store.items()})
    np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())
    with pytest.raises(ValueError, match="expected 2 variables, but received 1"):
        b.load_own_variables({"0": np.zeros(2)})
    with pytest.raises(ValueError, match="never built"):
        Affine(2).load_own_variables({"0": np.zeros(2)})


def test_copies():
    layer = Nested()
    layer(ONES)
    new = copy.deepcopy(layer)
    new.first.kernel.assign(new.first.kernel + 1)
    assert not np.array_equal(new.first.kernel.numpy(), layer.first.kernel.numpy())
    assert len(new.weights) == len(layer.weights) and not {id(v) for v in new.weights} & {
        id(v) for v in layer.weights
    }
    np.testing.assert_array_equal(np.asarray(copy.deepcopy(layer)(ONES)), np.asarray(layer(ONES)))
    new.many[1]["c"] = 3
    same = pickle.loads(pickle.dumps(layer))
    with pytest.raises(ValueError, match="already built"):
        same.many.append(Affine(2))
    np.testing.assert_array_equal(np.asarray(same(ONES)), np.asarray(layer(ONES)))


# Mistakes.


def test_forgotten_super_init():
    class Forgot(Layer):
        def __init__(self):
            self.a = 1

        def call(self, x):
            return x

    with pytest.raises(RuntimeError, match="forgot to call `super"):
        Forgot()(ONES)


def test_unknown_arguments():
    with pytest.raises(ValueError, match="Unrecognized keyword arguments passed to Affine: {'unit': 3}"):
        Affine(2, unit=3)
    with pytest.raises(ValueError, match="cannot contain character `/`"):
        Affine(2, name="a/b")
    with pytest.raises(TypeError, match=r"Affine.call\(\) got an unexpected keyword argument 'y'"):
        Affine(2)(ONES, y=3)
    with pytest.raises(TypeError, match=r"Pair.call\(\) missing a required argument: 'b'"):
        Pair()(ONES)
    with pytest.raises(ValueError, match="passed as a keyword argument: 3"):
        Pair()(ONES, 3)


@pytest.mark.parametrize(
    ("spec", "x", "message"),
    [
        ({"ndim": 3}, ONES, "expected ndim=3, found ndim=2. Full shape received: (2, 3)"),
        ({"min_ndim": 3}, ONES, "expected min_ndim=3, found ndim=2"),
        ({"max_ndim": 1}, ONES, "expected max_ndim=1, found ndim=2"),
        (
            {"axes": {-1: 4}},
            ONES,
            "expected axis -1 of input shape to have value 4, but received input with shape (2, 3)",
        ),
        ({"shape": (None, 5)}, ONES, "expected shape=(None, 5), found shape=(2, 3)"),
        ({"dtype": "int32"}, ONES, "expected dtype=int32, found dtype=float32"),
    ],
)
def test_input_spec_says_what_it_expected(spec, x, message):
    layer, klayer = Mode(name="l"), keras.layers.Identity(name="l")
    layer.input_spec, klayer.input_spec = InputSpec(**spec), keras.InputSpec(**spec)
    with pytest.raises(ValueError) as mine:
        layer(x)
    with pytest.raises(ValueError) as theirs:
        klayer(x)
    assert message in str(mine.value)
    assert str(theirs.value).partition("incompatible")[2] in str(mine.value)


def test_input_spec_is_checked_also_after_fast_calls():
    layer = Mode()
    layer.input_spec = InputSpec(axes={-1: 3})
    for _ in range(3):
        layer(_engine.tensor(ONES))
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(_engine.tensor(np.ones((2, 4), "float32")))


def test_an_error_names_layer_and_arguments_once():
    class Fails(Layer):
        def call(self, x, training=None):
            raise KeyError("deep down")

    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.f = Fails(name="culprit")

        def call(self, x):
            return self.f(x)

    for _ in range(2):
        with pytest.raises(KeyError) as e:
            Outer()(ONES)
        text = " ".join([str(e.value), *getattr(e.value, "__notes__", [])])
        assert text.count("Exception encountered") == 1 and "culprit" in text and "shape=(2, 3)" in text

    class Bad(Layer):
        def call(self, x):
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good") as e:
        Bad()(ONES)
    assert str(e.value).count("no good") == 1 and "Arguments received by Bad.call()" in str(e.value)


def test_an_error_leaves_no_trace_of_the_call():
    from fastkeras.core.global_state import state

    class Bad(Layer):
        def call(self, x, training=None):
            raise ValueError("no good")

    layer = Bad()
    for x in (ONES, _engine.tensor(ONES), Input((3,))):
        with pytest.raises(ValueError):
            layer(x, training=True)
    assert state.call is None and not state.scopes and state.autocast is None and state.placeholders is None
    assert not _engine.in_trace()


def test_call_is_required():
    with pytest.raises(NotImplementedError, match="does not have a `call"):
        Layer()(ONES)


def test_input_shape_argument_is_discouraged():
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
        Affine(2, input_shape=(3,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Affine(2)


def test_quantization_is_refused():
    for method in ("quantize", "quantized_call"):
        with pytest.raises(NotImplementedError):
            getattr(Affine(2), method)("int8")


# KerasTensors.


def test_keras_tensors_have_no_values_and_say_so():
    x = Input((3,), name="x")
    for action, error in (
        (lambda: bool(x), TypeError),
        (lambda: [v for v in x], NotImplementedError),  # noqa: C416
        (lambda: float(x), ValueError),
        (lambda: int(x), ValueError),
        (lambda: len(x), TypeError),
        (lambda: np.array(x), ValueError),
    ):
        with pytest.raises(error) as e:
            action()
        assert "KerasTensor" in str(e.value)
    with pytest.raises(TypeError, match="ops.where"):
        if x > 0:
            pass
    assert x in [x] and x not in [Input((3,))] and x.name == "x"
    with pytest.raises(AttributeError, match="immutable"):
        x.shape = (1,)
    with pytest.raises(ValueError, match="every dimension|Every dimension"):
        KerasTensor((1, "a"))


def test_keras_tensor_operators_record_the_ops_of_keras():
    def graph(x):
        ys = [x + 1, 1 - x, x * x, 2 / x, x // 2, x % 2, x**2, -x, abs(x), x > 0, x <= 1, x @ x]
        ys += [x[:, 0], x[..., None]]
        return [(type(y._keras_history.operation).__name__, y.shape, str(y.dtype)) for y in ys]

    assert graph(KerasTensor((3, 3))) == graph(keras.KerasTensor((3, 3)))
    y = np.ones((3, 3), "float32") * KerasTensor((None, 3))
    assert isinstance(y, KerasTensor) and y.shape == (3, 3)
    y = _engine.tensor(np.ones((1, 3), "float32")) + KerasTensor((None, 3))
    assert isinstance(y, KerasTensor) and y.shape == (None, 3)
