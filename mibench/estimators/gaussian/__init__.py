"""Estimators that are read from covariances."""
