"""Layers that regularise training: noise, dropout, and penalties on activations."""
