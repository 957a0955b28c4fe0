"""The learned baseline a(y) of TUBA and of the interpolated bound: the exponential of a network of y."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.networks import initialise, mlp, mlp_shapes

HIDDEN, LAYERS = 256, 2

POOLE_2019 = """@inproceedings{poole2019variational,
  title     = {On Variational Bounds of Mutual Information},
  author    = {Poole, Ben and Ozair, Sherjil and van den Oord, Aaron and Alemi, Alexander A.
               and Tucker, George},
  booktitle = {International Conference on Machine Learning},
  pages     = {5171--5180},
  year      = {2019},
  note      = {arXiv:1905.06922}
}"""


def initial_baseline(dim_y: int, generator: torch.Generator) -> Tensors:
    """Return the parameters of one run's log a(y): two hidden layers of 256 with ReLU, one output."""
    return initialise(mlp_shapes("log_a", [dim_y, *[HIDDEN] * LAYERS, 1]), generator, torch.float32)


def less_baseline(scores: Tensor, y: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """Return f(x_i, y_j) - log a(y_j) of every run: scores (R, n, n), y (R, n, dim_y) -> (R, n, n)."""
    return scores - mlp(learned, "log_a", y).mT
