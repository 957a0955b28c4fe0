"""Estimators that are read from a conditional density q(y | x).

Derive from `FromDensity` in `density.py`, the helper here; `club.py` is a good example. All share a training
by maximum likelihood; an objective of one's own can name another default model (`default_model`).
"""
