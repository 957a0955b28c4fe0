"""How representations lie in space: alignment and uniformity on the unit sphere, effective rank, spread."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def alignment(z: Tensor, other: Tensor) -> float:
    """Return E |z/|z| - z'/|z'||^2 over positive pairs, rows of z and z' (n, dim): 0 aligned, 2 unrelated.

    Reference: Wang & Isola 2020, arXiv 2005.10242.
    """
    return (normalize(z, dim=-1) - normalize(other, dim=-1)).square().sum(-1).mean().item()


def uniformity(z: Tensor, t: float = 2.0) -> float:
    """Return log E exp(-t |z_i/|z_i| - z_j/|z_j||^2) over pairs i != j of rows (n, dim): 0 where collapsed.

    Perfectly uniform on the sphere S^(dim - 1) at t = 2: -4 + log 0F1(; dim/2; 4).

    Reference: Wang & Isola 2020, arXiv 2005.10242.
    """
    squared = torch.pdist(normalize(z, dim=-1)).square()
    return float((-t * squared).exp().mean().log())


def effective_rank(z: Tensor) -> float:
    """Return the exponential of the entropy of the normalised covariance spectrum of rows (n, dim).

    It lies between 1 (one direction) and dim (all alike).

    Reference: Roy & Vetterli 2007, EUSIPCO.
    """
    spectrum = torch.linalg.svdvals(z - z.mean(0)).square()
    shares = spectrum / spectrum.sum().clamp_min(torch.finfo(z.dtype).tiny)
    return float(torch.special.entr(shares).sum().exp())


def direction_spread(z: Tensor) -> float:
    """Return 1 - |mean of z/|z||^2 over rows (n, dim): 1 where directions cancel out, 0 where all are one."""
    return 1 - normalize(z, dim=-1).mean(0).square().sum().item()
