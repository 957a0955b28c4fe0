"""Denoisers: predictions of the noise in a noisy x.

Derive from `Denoiser`; `noise_mlp.py` is the example.
"""
