"""The mutual information that a Gaussian has, from the sample covariance of its pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError


def gaussian_information(x: Tensor, y: Tensor) -> Tensor:
    """Return -1/2 log(det S / (det S_x det S_y)): x (..., n, dim_x), y (..., n, dim_y), in float64 -> (...).

    S is the covariance of the rows, S_x and S_y are its blocks. The value is infinite where y is a linear
    function of x, and NaN where a column is constant or a linear function of the others of its side.
    """
    # With centred columns Z = QR, the covariance is R'R / n and its determinant the product of R_ii^2 / n.
    log_x, log_y, log_joint = (_log_scales(side).sum(-1) for side in (x, y, torch.cat([x, y], -1)))
    return log_x + log_y - log_joint


def _log_scales(columns: Tensor) -> Tensor:
    """Return log|R_ii| of the centred columns, (..., n, dim) -> (..., dim).

    It is -inf for a column that is, to rounding, a linear function of the columns before it.
    """
    n = columns.shape[-2]
    centred = columns - columns.mean(-2, keepdim=True)
    scales = torch.linalg.qr(centred, mode="r").R.diagonal(dim1=-2, dim2=-1).abs()
    # A column's mean is rounded as well, so the size of what is rounded off is that of the column with it.
    rounding = n * torch.finfo(columns.dtype).eps * columns.norm(dim=-2)
    return torch.where(scales <= rounding, 0.0, scales).log()


def bias(n: int, dims: Dims) -> float:
    """Return the bias of `gaussian_information` on n Gaussian pairs, the same at every mutual information.

    It is exactly 1/2 (sum_{i <= dim_x} + sum_{i <= dim_y} - sum_{i <= dim_x + dim_y}) psi((n - i) / 2), about
    dim_x dim_y / 2n.
    """

    def expected(dim: int) -> float:
        degrees = n - torch.arange(1, dim + 1, dtype=torch.float64)
        return torch.digamma(degrees / 2).sum().item()

    return (expected(dims.x) + expected(dims.y) - expected(dims.x + dims.y)) / 2


def check_rows(name: str, n: int, dims: Dims) -> None:
    """Raise a UsageError where n rows are too few for a covariance that can be inverted."""
    dim = dims.x + dims.y
    if n <= dim:
        raise UsageError(
            f"{name} needs n > dim_x + dim_y = {dim}, not n = {n}: the covariance is singular.",
            f"Choose n >= {dim + 1}.",
        )
