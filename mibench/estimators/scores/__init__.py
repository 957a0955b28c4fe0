"""Estimators that are read from a critic's score matrices."""
