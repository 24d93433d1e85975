"""Programs are judged by the oracles of the op table, which are a module of the neighbouring tests/ops."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "ops"))
sys.path.insert(0, os.path.dirname(__file__))
