"""Families of functions with parameters: what is trained."""
