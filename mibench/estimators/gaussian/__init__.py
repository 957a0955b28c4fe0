"""Estimators that are read from covariances, and train nothing.

Derive from `FromSamples`; `cca.py` is a good example. `information.py` is a helper, the information of
Gaussians with a given covariance.
"""
