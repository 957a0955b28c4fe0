"""Copies of classes with an error in them."""

import importlib.util
import itertools
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COUNT = itertools.count()


def mutated(folder: Path, source: str, old: str, new: str):
    """Return the module of a file of the repository in which every `old` is `new`."""
    text = (ROOT / source).read_text("utf-8")
    assert old in text, f"{source} has no {old!r}"
    name = f"mutant_{next(COUNT)}"
    path = folder / f"{name}.py"
    path.write_text(text.replace(old, new), "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up the types of their fields there
    spec.loader.exec_module(module)
    return module
