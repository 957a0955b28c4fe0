"""A fixed data set: train on one part, stop early by another, estimate from the third."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mibench.engine import data
from mibench.engine.evaluate import Readers, Readout, Seat, read_exactly, summarise
from mibench.engine.plan import Pack
from mibench.engine.train import Critics, Report, Tensors, Trained, scores_of, train
from mibench.protocols import Samples
from mibench.registry import Choice
from mibench.seeding import stream
from mibench.spec import RunSpec
from mibench.tasks.base import Task

Parts = list[data.Batches]
"""The train, validation and test rows of every run: x (R, rows, dim_x) and y (R, rows, dim_y), in float64."""


def fit(pack: Pack, device: torch.device, report: Report) -> tuple[Trained, dict[RunSpec, Readout]]:
    """Train a pack on its samples, and return the read-out of each run from its test part."""
    protocol = pack.protocol
    assert isinstance(protocol, Samples)
    parts = _parts(pack, protocol)
    training, validation, test = ((x.to(device, pack.dtype), y.to(device, pack.dtype)) for x, y in parts)
    stop = _EarlyStop(pack, protocol, validation)
    trained = train(pack, device, report, _epochs(pack, *training), stop.watch)
    best = Trained(stop.critic, stop.learned, _diverged_before(trained, stop.settled_at.tolist()))
    read = [_values(pack, best, part) for part in (training, validation, test)]
    oracles = _oracles(pack, parts[2])
    constant = _constant(pack, best, test)
    readouts = {}
    for place, specs in enumerate(pack.trainings):
        step = int(stop.best_step[place])
        for spec in specs:
            seat = (spec.estimator, place)
            fitted, selected, unseen = (_settled(values[seat], step) for values in read)
            readouts[spec] = summarise(
                unseen,
                oracles.get(seat),
                constant[place] and step > 0,
                train=fitted.mean().item(),
                validation=selected.mean().item(),
                best_step=step,
            )
    return best, readouts


def _settled(values: Tensor, step: int) -> Tensor:
    """Return a run's values; 0, that of a constant critic, where none was better than it (step 0)."""
    return values if step else torch.zeros_like(values)


def _parts(pack: Pack, protocol: Samples) -> Parts:
    """Return every run's samples in three parts; which row is in which depends on task and seed alone."""
    runs = [_run_parts(task, protocol, leader) for task, leader in zip(pack.tasks, pack.leaders, strict=True)]
    return [
        (torch.stack([x for x, _ in part]), torch.stack([y for _, y in part]))
        for part in zip(*runs, strict=True)
    ]


def _run_parts(task: Task, protocol: Samples, leader: RunSpec) -> Parts:
    """Return one run's samples in three parts; the test part is of the task itself, not of its training."""

    def drawn(source: Task) -> Parts:
        sampled = source.sample(
            protocol.size, stream("samples", leader.task.identity, leader.seed), torch.float64
        )
        x, y = (torch.split(side, list(protocol.parts)) for side in sampled)
        return list(zip(x, y, strict=True))

    parts = drawn(task.training)
    return parts if task.training is task else [*parts[:2], drawn(task)[2]]


def _epochs(pack: Pack, x: Tensor, y: Tensor) -> Iterator[data.Batches]:
    """Yield an epoch's batches at a time, rows in an order of each run's own, and never two of one row."""
    orders = [stream("shuffle", leader.task.identity, leader.seed) for leader in pack.leaders]
    runs = torch.arange(len(orders), device=x.device)[:, None]
    rows, n, left = x.shape[1], pack.first.n, pack.first.steps
    while left > 0:
        count = min(rows // n, left)
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in orders])
        chosen = order[:, : count * n].to(x.device)
        yield (
            x[runs, chosen].view(len(orders), count, n, -1),
            y[runs, chosen].view(len(orders), count, n, -1),
        )
        left -= count


class _EarlyStop:
    """Keeps each run's best critic by its objective on the validation part, and ends when none gets better.

    A run's critic is settled when its own patience is at its end, however long its pack mates go on. The
    first to beat, as step 0, is the critic that sees no dependence at all and reads 0: a constant.
    """

    def __init__(self, pack: Pack, protocol: Samples, validation: data.Batches) -> None:
        runs = len(pack.trainings)
        self.pack, self.protocol, self.validation = pack, protocol, validation
        device = validation[0].device
        nothing = torch.zeros(runs, pack.first.n, pack.first.n, dtype=torch.float64, device=device)
        self.best = pack.estimator.criterion(pack.estimator.optimal_critic(nothing))
        self.best_step = torch.zeros(runs, dtype=torch.int64, device=device)
        self.waited = torch.zeros(runs, dtype=torch.int64, device=device)
        self.settled_at = torch.zeros(runs, dtype=torch.int64, device=device)
        self.critic: Tensors = {}
        self.learned: Tensors = {}

    @torch.no_grad()
    def watch(self, step: int, scores: Tensor, critics: Critics) -> bool:
        """Look at the validation part now and then; return whether every run is settled."""
        if step % self.protocol.every and step not in (1, self.pack.first.steps):
            return False
        values = [
            self.pack.estimator.criterion(critics.scores(x, y).double())
            for x, y in _batches(self.pack, *self.validation)
        ]
        value = torch.stack(values).mean(0)
        open_ = self.settled_at == 0
        better = open_ & (value > self.best)
        self.critic = _kept(self.critic, critics.critic, better)
        self.learned = _kept(self.learned, critics.learned, better)
        self.best = torch.where(better, value, self.best)
        self.best_step = torch.where(better, step, self.best_step)
        self.waited = torch.where(better, 0, self.waited + 1)
        self.settled_at = torch.where(open_ & (self.waited >= self.protocol.patience), step, self.settled_at)
        return bool((self.settled_at > 0).all())


def _kept(old: Tensors, new: Tensors, better: Tensor) -> Tensors:
    """Return each run's new tensors where it is better, its old ones elsewhere."""
    return {
        key: torch.where(better.view(-1, *[1] * (value.ndim - 1)), value, old.get(key, value)).detach()
        for key, value in new.items()
    }


def _diverged_before(trained: Trained, settled_at: list[int]) -> list[int | None]:
    """Return where runs diverged before they were settled (0: never); what comes later is no matter."""
    return [
        None if step is None or 0 < settled < step else step
        for step, settled in zip(trained.diverged_at, settled_at, strict=True)
    ]


def _batches(pack: Pack, x: Tensor, y: Tensor) -> Iterator[data.Batches]:
    """Yield the batches of n of a part, (R, n, dim_x) and (R, n, dim_y); a ragged last one is left out."""
    n = pack.first.n
    for start in range(0, x.shape[1] - n + 1, n):
        yield x[:, start : start + n], y[:, start : start + n]


@torch.no_grad()
def _values(pack: Pack, trained: Trained, part: data.Batches) -> dict[Seat, Tensor]:
    """Return each seat's values on the batches of a part."""
    readers = Readers(pack)
    values: dict[Choice, list[Tensor]] = {choice: [] for choice in readers.seats}
    for x, y in _batches(pack, *part):
        scores = scores_of(pack, trained.critic, trained.learned, x, y)
        for choice, read in values.items():
            read.append(readers.read(choice, scores))
    return readers.by_seat({choice: torch.stack(read) for choice, read in values.items()})


@torch.no_grad()
def _constant(pack: Pack, trained: Trained, part: data.Batches) -> list[bool]:
    """Return which critics give one score to every pair."""
    x, y = next(_batches(pack, *part))
    scores = scores_of(pack, trained.critic, trained.learned, x, y)
    flat: list[bool] = (scores.amax((-2, -1)) == scores.amin((-2, -1))).tolist()
    return flat


def _oracles(pack: Pack, part: data.Batches) -> dict[Seat, Tensor]:
    """Return each seat's values at the optimal critic, where the truth is known."""
    found = {}
    x, y = part
    for place, task in enumerate(pack.tasks):
        if not task.knows_ratio:
            continue
        batches = list(_batches(pack, x[place : place + 1], y[place : place + 1]))
        ratios = torch.cat([task.log_density_ratio(*batch) for batch in batches])
        for choice in dict.fromkeys(spec.estimator for spec in pack.trainings[place]):
            found[choice, place] = read_exactly(pack.readers[choice], ratios)
    return found
