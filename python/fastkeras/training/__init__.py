"""Training: what `Model.compile`, `fit`, `evaluate` and `predict` are made of (see `trainer.py`)."""
