"""Estimators that are read from a conditional density."""
