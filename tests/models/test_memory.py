"""Nothing outlives the models that users drop."""

import gc
import weakref

import numpy as np
from fastkeras.layers.input_layer import Input
from fastkeras.models import Model, Sequential
from simple_layers import Affine, MakeMask, UseMask


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
        watched = [weakref.ref(x) for x in (model, model.layers[-1], *model.weights)]
        if make is subclassed:
            watched.append(weakref.ref(type(model)))
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
