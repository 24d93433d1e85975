"""Layers that normalise their inputs."""
