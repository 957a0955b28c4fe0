"""A critic that is an ordinary PyTorch module."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mibench.batch import Dims
from mibench.models.base import ModuleCritic
from mibench.registry import option
from mibench.validation import check_sizes


class TwoTowers(nn.Module):
    """g(x) . h(y), two networks with layer normalisation: x (n, dim_x), y (n, dim_y) -> (n, n)."""

    def __init__(self, dims: Dims, hidden: int) -> None:
        super().__init__()
        self.g = self._tower(dims.x, hidden)
        self.h = self._tower(dims.y, hidden)

    @staticmethod
    def _tower(dim: int, hidden: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.LayerNorm(hidden), nn.Linear(hidden, hidden)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of one run."""
        scores: Tensor = self.g(x) @ self.h(y).mT
        return scores


@dataclass(frozen=True)
class Normalised(ModuleCritic):
    """f(x, y) = g(x) . h(y), two networks with layer normalisation."""

    hidden: int = option(64, "width of the layers")

    name = "normalised"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden)

    def module(self, dims: Dims) -> nn.Module:
        """Return the module of one run."""
        return TwoTowers(dims, self.hidden)
