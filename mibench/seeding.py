"""Random streams that depend on what they are for, and on nothing else.

A stream is named by a purpose and the things its randomness may depend on. Its seed is a hash of that
name, so it is the same in every pack, process, order and device, and two streams of different names
never share a seed by accident of counting. (PyTorch's CPU generator keeps 32 bits of a seed: of 10,000
streams, one pair coincides with probability 0.01. It would make two cells of a grid correlated,
nothing worse.)
"""

from __future__ import annotations

import hashlib
import json

import torch


def stream_seed(purpose: str, *depends_on: object) -> int:
    """Return the 63-bit seed of the stream that is named by its arguments (JSON values)."""
    name = json.dumps([purpose, *depends_on], sort_keys=True, allow_nan=False)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def stream(purpose: str, *depends_on: object) -> torch.Generator:
    """Return a CPU generator at the beginning of the stream that is named by its arguments."""
    return torch.Generator().manual_seed(stream_seed(purpose, *depends_on))
