"""Foundations shared by every other package: variables, symbolic tensors, operations, scopes and
configuration.

Nothing here depends on layers, models or training; the public namespace re-exports what users need.
"""
