"""Conditional densities q(y | x)."""
