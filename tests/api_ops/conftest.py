"""The oracle chooses its backend when first imported: it is set here, before any test module runs."""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, os.path.dirname(__file__))
