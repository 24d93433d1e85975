"""Optimizers against Keras (JAX backend): the same gradients to both, then variables and slots compared."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import re
import warnings

import numpy as np
import pytest

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

from fastkeras import _engine, ops, optimizers  # noqa: E402
from fastkeras.core.global_state import clear_session  # noqa: E402
from fastkeras.core.naming import name_scope  # noqa: E402
from fastkeras.core.variable import Variable  # noqa: E402

SHAPES = {"kernel": (4, 3), "bias": (3,), "scale": (), "filters": (2, 2, 3, 2)}
STEPS = 5
RTOL = 1e-5


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names are numbered from the start on both sides, whatever ran before."""
    clear_session()
    keras.backend.clear_session()


def variables_of(module, dtype="float32"):
    """Model variables for fastkeras or Keras, with equal values and paths."""
    scope = name_scope if module is optimizers else keras.name_scope
    make = Variable if module is optimizers else keras.Variable
    rng = np.random.default_rng(0)
    made = []
    for name, shape in SHAPES.items():
        with scope("model"), scope("layer"):
            made.append(make(rng.normal(size=shape).astype(dtype), name=name))
    return made


def gradients(step):
    rng = np.random.default_rng(100 + step)
    return [np.asarray(rng.normal(size=shape), "float32") for shape in SHAPES.values()]


def compare(ours, theirs, our_vars, their_vars, rtol=RTOL, atol=1e-6):
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert [v.path.split("/", 1)[-1] for v in ours.variables] == [
        v.path.split("/", 1)[-1] for v in theirs.variables
    ]
    for a, b in zip([*our_vars, *ours.variables], [*their_vars, *theirs.variables], strict=True):
        assert (tuple(a.shape), a.dtype) == (tuple(b.shape), b.dtype), a.path
        np.testing.assert_allclose(a.numpy(), np.asarray(b.value), rtol=rtol, atol=atol, err_msg=a.path)


def keras_step(optimizer, variables):
    """A function that applies gradients to Keras variables, compiled as Keras' trainer does on JAX."""
    optimizer.build(variables)
    compiled = jax.jit(optimizer.stateless_apply)

    def step(grads):
        new, state = compiled([v.value for v in optimizer.variables], grads, [v.value for v in variables])
        for variable, value in zip([*variables, *optimizer.variables], [*new, *state], strict=True):
            variable.assign(value)

    return step


def run_both(name, kwargs, steps=STEPS, change=None):
    ours, theirs = getattr(optimizers, name)(**kwargs), getattr(keras.optimizers, name)(**kwargs)
    our_vars, their_vars = variables_of(optimizers), variables_of(keras)
    if change:
        change(ours, our_vars)
        change(theirs, their_vars)
    ours.build(our_vars)
    apply = keras_step(theirs, their_vars)
    for step in range(steps):
        ours.apply(gradients(step), our_vars)
        apply(gradients(step))
        compare(ours, theirs, our_vars, their_vars, **TOLERANCES.get(name, {}))
    return ours, theirs, our_vars, their_vars


CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "learning_rate": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "learning_rate": 0.1}),
    ("AdamW", {"weight_decay": 0.1}),
    ("Adamax", {"learning_rate": 0.05}),
    ("Adagrad", {"learning_rate": 0.1}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Nadam", {"learning_rate": 0.01}),
    ("Ftrl", {"learning_rate": 0.1}),
    (
        "Ftrl",
        {
            "l1_regularization_strength": 0.1,
            "l2_regularization_strength": 0.2,
            "l2_shrinkage_regularization_strength": 0.1,
            "beta": 0.3,
            "learning_rate_power": -0.4,
            "learning_rate": 0.1,
        },
    ),
    ("Lion", {"learning_rate": 0.01}),
    ("Lamb", {"learning_rate": 0.01}),
    ("Adafactor", {"learning_rate": 0.5}),
    ("Adafactor", {"relative_step": False, "clip_threshold": 0.5}),
    ("Muon", {"learning_rate": 0.01}),
    ("Muon", {"nesterov": False, "rms_rate": None, "exclude_layers": ["layer"], "adam_lr_ratio": 0.1}),
    ("ScheduleFreeAdamW", {"learning_rate": 0.01}),
    ("ScheduleFreeAdamW", {"warmup_steps": 3, "weight_decay": 0.1}),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
TOLERANCES = {
    # Fifteen matrix products per step: sums in another order differ by more than one rounding.
    "Muon": {"rtol": 1e-4},
    # Its "linear" slot is a sum of terms of up to 1e2 that can cancel.
    "Ftrl": {"rtol": 1e-5, "atol": 1e-5},
}


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_five_steps(name, kwargs):
    run_both(name, kwargs)


@pytest.mark.parametrize(
    "common",
    [
        {"clipnorm": 0.5},
        {"clipvalue": 0.3},
        {"global_clipnorm": 0.7},
        {"global_clipnorm": 1e6},
        {"weight_decay": 0.1},
        {"use_ema": True, "ema_momentum": 0.7},
        {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 2},
        {"loss_scale_factor": 8.0},
        {"gradient_accumulation_steps": 2},
        {"gradient_accumulation_steps": 3, "clipnorm": 1.0, "weight_decay": 0.1},
        {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2},
    ],
    ids=lambda c: "-".join(c),
)
@pytest.mark.parametrize(("name", "kwargs"), [("SGD", {"momentum": 0.9}), ("Adam", {}), ("Adafactor", {})])
def test_shared_options(name, kwargs, common):
    run_both(name, {**kwargs, **common}, steps=7)


@pytest.mark.parametrize("name", ["RMSprop", "Nadam", "Lamb", "Ftrl", "Muon", "ScheduleFreeAdamW"])
def test_accumulation_of_others(name):
    run_both(name, {"gradient_accumulation_steps": 2}, steps=5)


def test_ema_is_final():
    ours, theirs, our_vars, their_vars = run_both("SGD", {"use_ema": True, "ema_momentum": 0.5})
    ours.finalize_variable_values(our_vars)
    theirs.finalize_variable_values(their_vars)
    compare(ours, theirs, our_vars, their_vars)


def test_missing_gradients():
    def grads(step):
        g = gradients(step)
        return [g[0], None, g[2], None]

    ours, our_vars = optimizers.Adam(), variables_of(optimizers)
    theirs, their_vars = keras.optimizers.Adam(), variables_of(keras)
    for step in range(2):
        with pytest.warns(UserWarning, match="model/layer/bias"):
            ours.apply(grads(step), our_vars)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.apply(grads(step), their_vars)
    compare(ours, theirs, our_vars, their_vars)
    with pytest.raises(ValueError, match="No gradients"):
        ours.apply([None] * 4, our_vars)


def test_exclude_from_weight_decay():
    def change(optimizer, variables):
        optimizer.exclude_from_weight_decay(var_list=[variables[0]], var_names=["bias"])

    run_both("AdamW", {"weight_decay": 0.5, "learning_rate": 0.1}, change=change)


def test_constraint():
    def change(optimizer, variables):
        module = ops if isinstance(optimizer, optimizers.Optimizer) else keras.ops
        variables[0].constraint = lambda w: module.clip(w, -0.2, 0.2)

    _, _, our_vars, _ = run_both("SGD", {"learning_rate": 0.1}, change=change)
    assert np.abs(our_vars[0].numpy()).max() <= 0.2


@pytest.mark.parametrize("common", [{}, {"gradient_accumulation_steps": 2}])
def test_overwrite_with_gradient(common):
    def change(optimizer, variables):
        variables[1].overwrite_with_gradient = True

    run_both("Adam", common, change=change)


def test_mixed_dtypes():
    """Slots have the dtype of their variable, and gradients are cast to it."""
    v, w = Variable(np.ones(3, "float16")), Variable(np.ones(3, "float32"))
    optimizer = optimizers.Adam(0.1)
    optimizer.apply([np.ones(3, "float32"), np.ones(3, "float16")], [v, w])
    assert [x.dtype for x in optimizer.variables[2:]] == ["float16"] * 2 + ["float32"] * 2
    np.testing.assert_allclose(v.numpy(), w.numpy(), rtol=2e-3)


def test_learning_rate():
    optimizer = optimizers.SGD(0.5)
    v = Variable(1.0)
    optimizer.apply([1.0], [v])
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == 0.25
    optimizer.apply([1.0], [v])
    assert float(v) == 0.25
    assert [x.path for x in optimizer.variables] == [
        f"{optimizer.name}/iteration",
        f"{optimizer.name}/learning_rate",
    ]
    optimizer.learning_rate = optimizers.schedules.ExponentialDecay(0.125, 1, 1.0)
    optimizer.apply([1.0], [v])
    assert float(v) == 0.125
    assert len(optimizer.variables) == 1
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        optimizer.learning_rate = 0.1
    assert float(optimizers.SGD(lambda: 0.25).learning_rate) == 0.25


def test_schedule_and_iterations():
    schedule = {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}
    ours = optimizers.SGD(optimizers.schedules.ExponentialDecay(**schedule))
    theirs = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(**schedule))
    our_vars, their_vars = variables_of(optimizers), variables_of(keras)
    for step in range(STEPS):
        ours.apply(gradients(step), our_vars)
        theirs.apply(gradients(step), their_vars)
    compare(ours, theirs, our_vars, their_vars)
    assert int(ours.iterations) == STEPS
    accumulating = optimizers.SGD(gradient_accumulation_steps=2)
    for step in range(STEPS):
        accumulating.apply(gradients(step), our_vars)
    assert int(accumulating.iterations) == 2


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        *CASES[:8],
        ("Adam", {"gradient_accumulation_steps": 2, "global_clipnorm": 1.0}),
        ("SGD", {"use_ema": True, "ema_overwrite_frequency": 2, "momentum": 0.9}),
    ],
)
def test_compiled_step(name, kwargs):
    """The whole update inside one traced program, run five times, does what eager updates do."""
    eager, eager_vars = getattr(optimizers, name)(**kwargs), variables_of(optimizers)
    traced, traced_vars = getattr(optimizers, name)(**kwargs), variables_of(optimizers)
    with _engine.Trace() as trace:
        inputs = [trace.input(shape, "float32") for shape in SHAPES.values()]
        traced.apply(inputs, traced_vars)
        run = trace.compile([])
    for step in range(STEPS):
        run(*gradients(step))
        eager.apply(gradients(step), eager_vars)
        if step == 2:
            # Assigned outside: the compiled step reads it at the next run.
            traced.learning_rate = 0.03
            eager.learning_rate = 0.03
    for a, b in zip([*traced_vars, *traced.variables], [*eager_vars, *eager.variables], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=RTOL, atol=1e-7, err_msg=a.path)


def test_shared_scalars_are_computed_once(monkeypatch):
    optimizer, variables = optimizers.Adam(), variables_of(optimizers)
    calls = []
    original = optimizers.Adam._step_size
    monkeypatch.setattr(optimizers.Adam, "_step_size", lambda *a: calls.append(a) or original(*a))
    optimizer.apply(gradients(0), variables)
    assert len(calls) == 1


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_config(name, kwargs):
    ours, theirs = (
        getattr(optimizers, name)(**kwargs, name="o"),
        getattr(keras.optimizers, name)(**kwargs, name="o"),
    )
    assert ours.get_config() == theirs.get_config()
    assert list(ours.get_config())[:11] == list(theirs.get_config())[:11]
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()
    serialized = optimizers.serialize(ours)
    assert serialized == keras.optimizers.serialize(theirs)
    assert optimizers.deserialize(serialized).get_config() == ours.get_config()


def test_config_with_schedule():
    ours = optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 10), name="o")
    theirs = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10), name="o")
    assert ours.get_config() == theirs.get_config()
    again = optimizers.Adam.from_config(ours.get_config())
    assert float(again.learning_rate) == pytest.approx(0.1)


def test_state_to_and_from_keras():
    ours, theirs, our_vars, their_vars = run_both("Adam", {})
    store: dict[str, np.ndarray] = {}
    theirs.save_own_variables(store)
    fresh, fresh_vars = optimizers.Adam(), variables_of(optimizers)
    fresh.build(fresh_vars)
    fresh.load_own_variables(store)
    for a, b in zip(fresh.variables, ours.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=RTOL)
    back: dict[str, np.ndarray] = {}
    fresh.save_own_variables(back)
    theirs.load_own_variables(back)
    with pytest.warns(UserWarning, match="Skipping"):
        optimizers.SGD().load_own_variables(store)
    fresh.set_weights([v.numpy() * 0 for v in fresh.variables])
    assert all(not v.numpy().any() for v in fresh.variables)
    with pytest.raises(ValueError, match="built"):
        optimizers.SGD().set_weights([])


def test_stateless_apply():
    optimizer, variables = optimizers.SGD(0.1, momentum=0.9), variables_of(optimizers)
    optimizer.build(variables)
    start = [v.numpy() for v in variables]
    new, state = optimizer.stateless_apply(
        [v.value for v in optimizer.variables], gradients(0), [v.value for v in variables]
    )
    for v, s in zip(variables, start, strict=True):
        np.testing.assert_array_equal(v.numpy(), s)
    for n, s, g in zip(new, start, gradients(0), strict=True):
        np.testing.assert_allclose(n.numpy(), s - np.float32(0.1) * g, rtol=RTOL)
    assert int(state[0]) == 1
    with pytest.raises(ValueError, match="optimizer_variables"):
        optimizer.stateless_apply([], gradients(0), start)
    with pytest.raises(ValueError, match="built"):
        optimizers.SGD().stateless_apply([], [], [])


def test_apply_gradients_and_custom_optimizer():
    class Signed(optimizers.Optimizer):
        def __init__(self, learning_rate=0.5, **kwargs):
            super().__init__(learning_rate, **kwargs)
            self.extra = [Variable(0.0, name="extra")]

        def build(self, variables):
            super().build(variables)
            self.counts = self.add_optimizer_variables(variables, "count")

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(gradient))
            self.assign_add(self.counts[self._get_variable_index(variable)], ops.ones_like(gradient))

    v = Variable([1.0, 2.0], name="v")
    optimizer = Signed(clipvalue=1.0)
    iterations = optimizer.apply_gradients(zip([np.array([3.0, -1.0], "float32")], [v]))
    assert int(iterations) == 1
    assert v.numpy().tolist() == [0.5, 2.5]
    assert [x.name for x in optimizer.variables] == ["iteration", "learning_rate", "extra", "v_count"]


def test_errors():
    v = Variable(1.0)
    with pytest.raises(ValueError, match="learning_rate"):
        optimizers.SGD(1)
    with pytest.raises(ValueError, match="momentum"):
        optimizers.SGD(momentum=1)
    with pytest.raises(ValueError, match="Only one of"):
        optimizers.Adam(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match="not recognized"):
        optimizers.Adam(lr=0.1)
    with pytest.raises(ValueError, match=">= 2"):
        optimizers.Adam(gradient_accumulation_steps=1)
    with pytest.raises(ValueError, match="ema_momentum"):
        optimizers.Adam(use_ema=True, ema_momentum=2.0)
    with pytest.raises(ValueError, match="weight_decay"):
        optimizers.AdamW(weight_decay=None)
    with pytest.raises(ValueError, match="l1_regularization_strength"):
        optimizers.Ftrl(l1_regularization_strength=-1.0)
    with pytest.raises(ValueError, match="beta_1"):
        optimizers.Lion(beta_1=0.0)
    with pytest.warns(UserWarning, match="decay"):
        optimizers.SGD(decay=0.1)
    with pytest.raises(ValueError, match="build"):
        optimizers.SGD().apply([1.0])
    optimizer = optimizers.SGD()
    optimizer.build([v])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([1.0], [Variable(1.0)])
    with pytest.raises(ValueError, match="2 gradients for 1"):
        optimizer.apply([1.0, 2.0])
    with pytest.raises(ValueError, match="Did you mean 'adam'"):
        optimizers.get("adm")
    with pytest.raises(ValueError, match="interpret"):
        optimizers.get(3)
    with pytest.raises(ImportError, match="legacy"):
        optimizers.legacy.Adam()
    with pytest.raises(NotImplementedError, match="update_step"):
        optimizers.Optimizer(0.1).apply([1.0], [v])

    class Forgetful(optimizers.Optimizer):
        def __init__(self):
            self.x = 1

    with pytest.raises(RuntimeError, match="super"):
        Forgetful()


@pytest.mark.parametrize("name", ["adam", "Adam", "ADAM", "sgd", "rmsprop", "adamw", "lamb"])
def test_get(name):
    assert type(optimizers.get(name)).__name__.lower() == name.lower()
    assert optimizers.get(None) is None


# Optimizers around other optimizers.


def test_loss_scale_optimizer():
    def inner(module):
        return (
            module.optimizers.SGD(0.1, momentum=0.9) if module is keras else optimizers.SGD(0.1, momentum=0.9)
        )

    ours = optimizers.LossScaleOptimizer(inner(optimizers), initial_scale=4.0, dynamic_growth_steps=2)
    theirs = keras.optimizers.LossScaleOptimizer(inner(keras), initial_scale=4.0, dynamic_growth_steps=2)
    our_vars, their_vars = variables_of(optimizers), variables_of(keras)
    ours.build(our_vars)
    apply = keras_step(theirs, their_vars)
    for step in range(8):
        grads = gradients(step)
        if step in (1, 6):
            grads[1][0] = np.inf if step == 1 else np.nan
        ours.apply(grads, our_vars)
        apply(grads)
        compare(ours, theirs, our_vars, their_vars)
        assert float(ours.scale_loss(2.0)) == float(theirs.scale_loss(2.0))
    assert int(ours.iterations) == 6
    ours.learning_rate = 0.5
    assert float(ours.inner_optimizer.learning_rate) == 0.5
    config = ours.get_config()
    assert optimizers.LossScaleOptimizer.from_config(config).get_config() == config
    assert config["inner_optimizer"]["class_name"] == "SGD"
    with pytest.raises(ValueError, match="clipnorm"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0)
    with pytest.raises(ValueError, match="dynamic"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False)


def test_loss_scale_optimizer_compiled():
    optimizer, variables = (
        optimizers.LossScaleOptimizer(optimizers.Adam(0.1), initial_scale=2.0),
        variables_of(optimizers),
    )
    with _engine.Trace() as trace:
        inputs = [trace.input(shape, "float32") for shape in SHAPES.values()]
        optimizer.apply(inputs, variables)
        run = trace.compile([])
    before = [v.numpy() for v in variables]
    bad = gradients(0)
    bad[0][0, 0] = np.nan
    run(*bad)
    for v, b in zip(variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), b)
    assert float(optimizer.dynamic_scale) == 1.0
    run(*gradients(1))
    assert all(
        np.isfinite(v.numpy()).all() and (v.numpy() != b).any()
        for v, b in zip(variables, before, strict=True)
    )


def test_multi_optimizer():
    def make(module):
        chosen = module.OptimizerMap(module.SGD(0.1, momentum=0.9), {".*bias": module.Adam(0.1)})
        return module.MultiOptimizer(chosen, loss_scale_factor=2.0)

    ours, theirs = make(optimizers), make(keras.optimizers)
    our_vars, their_vars = variables_of(optimizers), variables_of(keras)
    for step in range(3):
        ours.apply(gradients(step), our_vars)
        theirs.apply(gradients(step), their_vars)
    compare(ours, theirs, our_vars, their_vars)
    assert [type(o).__name__ for o in ours.optimizers] == ["Adam", "SGD"]
    assert int(ours.iterations) == 3
    config = ours.get_config()
    assert optimizers.MultiOptimizer.from_config(config).get_config() == config
    with pytest.raises(AttributeError, match="MultiOptimizer"):
        _ = ours.learning_rate
    ours.set_weights([v.numpy() for v in ours.variables])


def test_optimizer_map():
    sgd, adam = optimizers.SGD(), optimizers.Adam()
    chosen = optimizers.OptimizerMap(sgd, {"a/.*": adam})
    assert (chosen["a/b"], chosen["b"], len(chosen), list(chosen)) == (adam, sgd, 1, ["a/.*"])
    chosen[".*/b"] = sgd
    with pytest.raises(ValueError, match="Multiple"):
        chosen["a/b"]
    with pytest.raises(ValueError, match="already exists"):
        chosen["a/.*"] = sgd
    with pytest.raises(ValueError, match="LossScaleOptimizer"):
        chosen["c"] = optimizers.LossScaleOptimizer(sgd)
    del chosen["a/.*"]
    assert len(chosen) == 1


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_variables_that_come_later_get_slots(name, kwargs):
    """As if the optimizer had been built for all: the same state, and what was there before is kept."""
    make = getattr(optimizers, name)
    late, early = make(**kwargs, name="same"), make(**kwargs, name="same")
    variables = variables_of(optimizers)
    late._build_outside_trace(variables[:2])
    kept = late.variables
    late.extend(variables)
    early._build_outside_trace(variables)
    described = [
        [(re.sub(r"variable_\d+", "variable", v.path), v.shape) for v in o.variables] for o in (late, early)
    ]
    assert described[0] == described[1]
    assert all(any(v is k for v in late.variables) for k in kept)
    rng = np.random.default_rng(0)
    late.apply([rng.normal(size=v.shape).astype("float32") for v in variables], variables)
