"""The oracle chooses its backend when it is first imported, so that has to be set before any test module runs."""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, os.path.dirname(__file__))
