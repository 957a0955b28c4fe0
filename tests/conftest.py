"""One torch thread per worker: tests run in parallel, and numbers must not depend on the machine's load."""

import os

from mibench.process import shorten_spin

os.environ.setdefault("OMP_NUM_THREADS", "1")
shorten_spin()

import pytest  # noqa: E402 - both are read when torch is loaded
import torch  # noqa: E402

from mibench.registry import OWN, Entry  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def register(monkeypatch):
    """Return a function that lets a class of a test module be chosen by its name, until the test ends."""

    def add(registry, kind):
        entry = Entry(kind.name, kind.__module__, kind.__qualname__, "", OWN, registry.kind)
        monkeypatch.setitem(registry.entries, kind.name, entry)

    return add
