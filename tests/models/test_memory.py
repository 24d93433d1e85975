"""Nothing outlives the models that users drop."""

import gc
import weakref

import numpy as np
from simple_layers import Affine, MakeMask, UseMask

from fastkeras.layers.input_layer import Input
from fastkeras.models import Model, Sequential


def test_models_are_freed():
    def functional():
        x = Input((3,))
        return Model(x, UseMask()(MakeMask()(Affine(2)(x)) + 1.0))

    def sequential():
        return Sequential([Affine(3), Sequential([Affine(2)])])

    def subclassed():
        class Net(Model):
            def __init__(self):
                super().__init__()
                self.a = Affine(2)

            def call(self, x):
                return self.a(x)

        return Net()

    for make in (functional, sequential, subclassed):
        model = make()
        for _ in range(3):
            model(np.ones((2, 3), "float32"))
        watched = [weakref.ref(model), weakref.ref(model.layers[-1]), weakref.ref(type(model)) if make is subclassed
                   else weakref.ref(model), *map(weakref.ref, model.weights)]  # fmt: skip
        del model
        gc.collect()
        assert [r() for r in watched] == [None] * len(watched), make.__name__


def test_many_models_leave_no_objects():
    def once():
        x = Input((3,))
        model = Model(x, Affine(2)(Affine(2)(x) * 2.0))
        model(np.ones((2, 3), "float32"))

    for _ in range(3):
        once()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        once()
    gc.collect()
    assert len(gc.get_objects()) - before < 200
