"""Joint distributions whose mutual information is known.

    >>> import mibench
    >>> task = mibench.tasks.get("gaussian", dim=20, mi=4.0)
    >>> task.true_mi_nats
    4.0
    >>> x, y = task.sample(64)
    >>> x.shape, task.log_density_ratio(x, y).shape
    (torch.Size([64, 20]), torch.Size([64, 64]))

A task is a dataclass in a file of this folder with a literal `name` that derives from `Task` (`base.py`);
its fields are the options that users type. `gaussian.py` is a good example. Helpers: `pair.py`, what a task
makes; `normal.py`, `images.py`, `enumeration.py`, `regression.py` and `probe.py`. Other packages add theirs
through the entry-point group `mibench.tasks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.registry import Value
    from mibench.tasks.base import Task

registry: Registry[Task] = Registry(
    "task",
    "mibench.tasks",
    group="mibench.tasks",
    base="mibench.tasks.base:Task",
    unlabelled=("dim", "mi"),
)


def get(name: str, **options: Value) -> Task:
    """Return a task by its name and options: `get("gaussian", dim=20, mi=4.0)`.

    Raises:
        UsageError: an unknown name or option, or a value that is not allowed.
    """
    return registry.get(name, **options)
