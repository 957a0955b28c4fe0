"""From what a user says to a grid of runs that has been checked."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from mibench import encoders, estimators, protocols, tasks
from mibench.engine import device as devices
from mibench.engine.plan import Pack, TaskOf, packs, task_itself
from mibench.errors import UsageError, unknown
from mibench.models import critics
from mibench.protocols import STEPS_A_LEVEL, Protocol, Samples, Staircase, Stream
from mibench.registry import Choice, Registry, parse, real_number, split_names, whole_number
from mibench.spec import NO_ENCODER, PRECISIONS, SCHEDULES, RunSpec, Source, grid

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
OneOrMore: TypeAlias = T | Iterable[T]

DEFAULT_N = (16, 32, 64, 128)
DEFAULT_SEEDS = 3
DEFAULT_STEPS = {Stream.name: 1000, Samples.name: 2000}
DEFAULT_SCHEDULE = {Stream.name: "one-cycle", Staircase.name: "constant", Samples.name: "constant"}


@dataclass(frozen=True)
class Plan:
    """A grid that has been checked, and how it would run.

    Attributes:
        specs: every run of the grid.
        device: where it would run; `device_message` says how that was chosen.
    """

    specs: tuple[RunSpec, ...]
    device: torch.device
    device_message: str

    def packs(self, specs: Sequence[RunSpec] | None = None, task_of: TaskOf = task_itself) -> list[Pack]:
        """Return the packs in which the given runs, or all, would train."""
        return packs(self.specs if specs is None else specs, devices.budget_bytes(self.device), task_of)


def plan(
    estimator: OneOrMore[str] = "infonce",
    task: OneOrMore[str] = "gaussian",
    *,
    dim: OneOrMore[int | str] | None = None,
    mi: OneOrMore[float | str] | None = None,
    rho: OneOrMore[float | str] | None = None,
    data: OneOrMore[str] | None = None,
    encoder: OneOrMore[str] | None = None,
    n: OneOrMore[int | str] = DEFAULT_N,
    critic: OneOrMore[str] | None = None,
    protocol: OneOrMore[str] | None = None,
    samples: OneOrMore[int | str] | None = None,
    steps: int | str | None = None,
    seeds: OneOrMore[int | str] = DEFAULT_SEEDS,
    lr: float | str | None = None,
    schedule: str | None = None,
    precision: str = "float32",
    device: str = "auto",
) -> Plan:
    """Check a grid and return its plan; nothing is trained or written. For the arguments see `run`.

    Raises:
        UsageError: whatever is wrong with the arguments, the first of it.
    """
    chosen = chosen_estimators(estimator)
    levels = {
        key: _given(value, key)
        for key, value in {"dim": dim, "mi": mi, "rho": rho}.items()
        if value is not None
    }
    if data is not None:  # paths, which may hold commas
        levels["data"] = _some([data] if isinstance(data, str) else list(data), "data")
    sources = _sources(
        [choice for name in _names(task) for choice in _levels(name, levels)],
        None if encoder is None else _chosen(encoders.registry, encoder),
        None if critic is None else _chosen(critics.registry, critic),
    )
    ns = [whole_number(value, "n", least=2) for value in _items(n)]
    for choice in chosen:
        for size in ns:
            estimators.registry.make(choice).check(size)
    for choice in dict.fromkeys(source[0] for source in sources):
        for size in ns:
            tasks.registry.make(choice).check(size)
    rate = positive_rate(lr)
    specs: list[RunSpec] = []
    for followed in _protocols(protocol, samples, mi):
        made = protocols.registry.make(followed)
        count = _default_steps(made) if steps is None else whole_number(steps, "steps", least=1)
        for size in ns:
            made.check(size, count)
        specs += grid(
            estimators=chosen,
            sources=_on_stairs(followed, sources),
            protocols=[followed],
            ns=_some(ns, "n"),
            seeds=chosen_seeds(seeds),
            steps=count,
            lr=rate,
            schedule=one_of(schedule or DEFAULT_SCHEDULE[followed.name], "schedule", SCHEDULES),
            precision=one_of(precision, "precision", PRECISIONS),
        )
    return on_device(specs, device)


def on_device(specs: Sequence[RunSpec], device: str) -> Plan:
    """Return the plan of runs on a device.

    Raises:
        UsageError: the device is not here, cannot hold a run, or has not its precision.
    """
    chosen, message = devices.resolve(device)
    if chosen.type != "cuda" and any(spec.precision == "tf32" for spec in specs):
        raise UsageError(f"precision tf32 needs a CUDA device, not {chosen}.", "Give --precision float32.")
    planned = Plan(tuple(specs), chosen, message)
    check_memory(planned.packs(), chosen)
    return planned


def chosen_estimators(names: OneOrMore[str]) -> list[Choice]:
    """Return the estimators of one or more texts of names.

    Raises:
        UsageError: there is none, or one is unknown.
    """
    return _chosen(estimators.registry, names)


def _chosen(registry: Registry[Any], names: OneOrMore[str]) -> list[Choice]:
    return _some([registry.choose(name) for name in _names(names)], registry.kind)


def _names(value: OneOrMore[str]) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    return [name for text in texts for name in split_names(text)]


def _items(value: Any) -> list[Any]:  # noqa: ANN401 - a value, a text of values, or many of either
    """Return the items of `4`, `"2,4"`, `[2, 4]` or `["2,4", "6"]`."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, Iterable):
        return [item for part in value for item in _items(part)]
    return [value]


def _some(items: list[T], what: str) -> list[T]:
    if not items:
        raise UsageError(f"No {what} is given.", f"Give at least one {what}.")
    return items


def _given(value: Any, what: str) -> list[Any]:  # noqa: ANN401
    """Return the items of a value, which may be left out (None) but not be an empty list."""
    return [] if value is None else _some(_items(value), what)


def one_of(value: str, what: str, allowed: Collection[str]) -> str:
    """Return a value that is among those allowed, or raise a UsageError that names the nearest."""
    if value not in allowed:
        raise unknown(what, value, allowed, f"It is one of: {', '.join(allowed)}.")
    return value


def _protocols(protocol: OneOrMore[str] | None, samples: Any, mi: Any) -> list[Choice]:  # noqa: ANN401
    """Return the protocols at every size of the data set; a size alone asks for `samples`."""
    names = (
        _names(protocol) if protocol is not None else [Samples.name if samples is not None else Stream.name]
    )
    sizes, chosen = _given(samples, "samples"), []
    for name in _some(names, "protocol"):
        bare, _ = parse(name, "protocol")
        if bare == Samples.name:
            chosen += [protocols.registry.choose(name, size=size) for size in sizes or [None]]
        elif bare == Staircase.name and mi is not None:
            chosen.append(protocols.registry.choose(name, levels="/".join(map(str, _given(mi, "mi")))))
        else:
            chosen.append(protocols.registry.choose(name))
    if sizes and not any(choice.name == Samples.name for choice in chosen):
        raise UsageError(
            f"samples are given, and the protocol is {', '.join(names)}.",
            "Give --protocol samples, or leave out --samples.",
        )
    return chosen


def _default_steps(protocol: Protocol) -> int:
    if isinstance(protocol, Staircase):
        return STEPS_A_LEVEL * len(protocol.stairs)
    return DEFAULT_STEPS[protocol.name]


def _sources(
    chosen: Sequence[Choice], with_encoders: Sequence[Choice] | None, with_critics: Sequence[Choice] | None
) -> list[Source]:
    """Return each task with every encoder and critic, or with its own where none is given."""
    found = []
    for critic in [None] if with_critics is None else with_critics:
        for task in _some(list(chosen), "task"):
            made = tasks.registry.make(task)
            own = [encoders.registry.choose(made.default_encoder)]
            for encoder in own if with_encoders is None else with_encoders:
                encoders.registry.make(encoder).check(made)
                seen_by = critic or critics.registry.choose(made.default_critic)
                raw = encoder.name == NO_ENCODER
                critics.registry.make(seen_by).check(getattr(made, "vocabulary", None) if raw else None)
                found.append((task, encoder, seen_by))
    return found


def _on_stairs(protocol: Choice, sources: Sequence[Source]) -> list[Source]:
    """Return the sources of a grid: on the staircase, each at the level of every stair."""
    if protocol.name != Staircase.name:
        return list(sources)
    made = protocols.registry.make(protocol)
    assert isinstance(made, Staircase)
    found = []
    for task, encoder, critic in sources:
        options = task.arguments
        if "mi" not in options or options.get("rho") is not None or encoder.name != NO_ENCODER:
            raise UsageError(
                f"The staircase needs a task that is given by its true MI and no encoder; "
                f"{task.label!r} with encoder {encoder.label!r} is not that.",
                "Give --task gaussian or cubic with --mi, or another --protocol.",
            )
        stairs = [tasks.registry.from_options(task.name, options | {"mi": level}) for level in made.stairs]
        if len({(stair.dim_x, stair.dim_y) for stair in map(tasks.registry.make, stairs)}) > 1:
            raise UsageError(
                f"One critic cannot climb {task.label!r}: its dimensions change with the true MI.",
                "Give the option that holds them, such as m of 'digits'.",
            )
        found += [(stair, encoder, critic) for stair in stairs]
    return list(dict.fromkeys(found))


def positive_rate(lr: float | str | None) -> float | None:
    """Return a learning rate, or raise a UsageError; None stands for the default."""
    if lr is None:
        return None
    rate = real_number(lr, "lr")
    if rate <= 0:
        raise UsageError(f"lr must be positive, not {rate:g}.", "Give a learning rate above 0.")
    return rate


def chosen_seeds(value: OneOrMore[int | str]) -> list[int]:
    """Return the seeds of `3` (0, 1, 2), `"2:5"` (2, 3, 4) or a list of them.

    Raises:
        UsageError: there is none, or one is no whole number.
    """
    return _some(_seeds(value), "seed")


def _seeds(value: OneOrMore[int | str]) -> list[int]:
    items = _items(value)
    if len(items) == 1 and isinstance(items[0], str) and ":" in items[0]:
        first, _, end = items[0].partition(":")
        start = whole_number(first or 0, "first seed", least=0)
        return list(range(start, whole_number(end, "end of the seeds", least=start + 1)))
    if len(items) == 1 and (not isinstance(value, Iterable) or isinstance(items[0], str)):
        return list(range(whole_number(items[0], "seeds", least=1)))
    return [whole_number(item, "seed", least=0) for item in items]


def _levels(name: str, given: Mapping[str, list[Any]]) -> list[Choice]:
    """Return a task at every combination of the given options, and at the levels that are its own."""
    if "mi" in given and "rho" in given:
        raise UsageError("mi and rho are given together.", "Give one: each determines the other.")
    bare, bracketed = parse(name, "task")
    stated = {*given, *bracketed}
    own = {
        key: list(levels)
        for key, levels in tasks.registry.load(bare).levels.items()
        if key not in stated and not (key == "mi" and "rho" in stated)
    }
    axes = dict(given) | own
    return [
        tasks.registry.choose(name, **dict(zip(axes, point, strict=True)))
        for point in itertools.product(*axes.values())
    ]


def check_memory(chosen: Sequence[Pack], device: torch.device) -> None:
    """Refuse packs in which a single run needs more memory than there is."""
    there = devices.memory_bytes(device)
    for pack in chosen:
        needed = Pack(pack.trainings[:1], pack.task_of).bytes
        if needed > there:
            raise UsageError(
                f"One run at n = {pack.first.n} with critic {pack.first.critic.label!r} needs about "
                f"{needed / 2**30:.0f} GiB; {device} has {there / 2**30:.0f} GiB.",
                "Give a smaller n, dim or critic, or fewer samples.",
            )
