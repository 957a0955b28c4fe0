"""Conditional densities q(y | x).

Derive from `Conditional`; `gaussian_mlp.py` is the example.
"""
