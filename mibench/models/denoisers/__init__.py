"""Denoisers: predictions of the noise in a noisy x."""
