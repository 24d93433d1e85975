"""fastkeras: a Keras-shaped deep-learning library over a compiling C++ engine."""
