"""Estimators that are read from nearest neighbours."""
