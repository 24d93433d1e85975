"""Recurrent layers: cells, the loop that runs them over time, and wrappers of layers along a time axis."""
