"""Estimators that are read from nearest neighbours, and train nothing.

Derive from `FromSamples`; `ksg.py` is the example. `counts.py` is a helper, which counts neighbours.
"""
