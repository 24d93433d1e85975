"""Pooling layers: maximum and average over windows or over whole inputs."""
