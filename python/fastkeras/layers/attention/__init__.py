"""Layers in which positions of one sequence draw from those of another."""
