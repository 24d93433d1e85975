"""Models: `Model` (functional and subclassed), `Sequential`, and what makes models from others."""

from fastkeras.models.cloning import clone_model
from fastkeras.models.functional import Functional
from fastkeras.models.model import Model, model_from_json
from fastkeras.models.sequential import Sequential
from fastkeras.saving.saving_api import load_model, save_model

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
