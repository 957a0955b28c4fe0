"""Estimators that are read from a denoiser.

Derive from `Estimator` and name an objective: `mmg.py` is the example. `denoising.py` is a helper, the
objective that trains denoisers.
"""
