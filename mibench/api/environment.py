"""What the program runs with: versions, devices, threads and plug-ins."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

from mibench import __version__
from mibench.api.registries import ALL
from mibench.process import how_threads_wait
from mibench.registry import OWN


def environment() -> dict[str, Any]:
    """Return versions, devices, threads and plug-ins, as JSON values."""
    entries = [(registry, entry) for registry in ALL for entry in registry.entries.values()]
    return {
        "mibench": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "pandas", "scipy", "seaborn", "typer")},
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))],
        "threads": torch.get_num_threads(),
        "waiting": how_threads_wait(),
        "plugins": [
            f"{registry.kind} {entry.name} ({entry.origin})"
            for registry, entry in entries
            if entry.origin != OWN
        ],
        "broken": [
            f"{registry.kind} {entry.name} ({entry.origin}): {registry.broken[entry.name]}"
            for registry, entry in entries
            if entry.name in registry.broken
        ],
    }
