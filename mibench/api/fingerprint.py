"""What made the numbers of a baseline: versions, machine, sources. With all equal, so are the numbers."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

import mibench

PACKAGE = Path(mibench.__file__).parent

AROUND = (
    *("cli", "commands", "api", "reports", "analysis", "store", "baselines", "suites"),
    *("grid", "presets", "errors", "testing", "pytest_plugin", "__init__"),
)
"""Modules and folders at the top of the package that make no numbers. Every other file is hashed, so that a
new module is part of the fingerprint unless it is named here."""


TESTED = ("mibench", "sources")
"""What a check tests. Where nothing else differs, numbers may differ by rounding alone."""


def made_with(device: torch.device, modules: Collection[str]) -> dict[str, Any]:
    """Return versions, machine and sources of runs on a device, in which some modules have a part."""
    return {
        "mibench": mibench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "sources": sources_digest(modules),
    }


def sources() -> list[Path]:
    """Return the package's own source files that make numbers."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [path for path in files if path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in AROUND]


def _processor() -> str:
    """Return the processor's model, and which of its instructions torch uses."""
    model, information = platform.processor(), Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text("utf-8", errors="replace").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(models, model)
    return f"{model or 'unknown'}, {torch.backends.cpu.get_cpu_capability()}"


def sources_digest(modules: Collection[str] = ()) -> str:
    """Return the beginning of the sha256 of the source files that make numbers, plug-ins included."""
    used = {*sources(), *(Path(sys.modules[module].__file__ or "") for module in modules)}
    digest = hashlib.sha256()
    for path in sorted(used):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
