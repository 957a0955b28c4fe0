"""Estimators that are read from a denoiser."""
