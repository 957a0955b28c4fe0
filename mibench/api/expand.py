"""From names that have been read to runs: which models, stairs and rows go with which estimator."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mibench import encoders, estimators, models, tasks
from mibench.engine.plan import at_level
from mibench.engine.protocols import registry as protocols
from mibench.engine.protocols.base import Protocol
from mibench.engine.sources import dims_of, pair_of
from mibench.engine.tiling import anchors_at, forms_pairs
from mibench.errors import UsageError
from mibench.grid import FIT, SETTINGS
from mibench.models.base import Critic
from mibench.objectives import Objective
from mibench.presets import PRESETS, Preset
from mibench.registry import Choice
from mibench.reports.words import listed
from mibench.spec import DEFAULT_LEARNING_RATE, Fit, RunSpec, Setting, grid
from mibench.tasks.pair import Pair, Truth


@dataclass(frozen=True)
class View:
    """What an estimator sees: a task, the encoder of its pair, and what is known before any training.

    Attributes:
        pair: of a representation, whose encoder is still to be trained, only the dimensions are known.
        critic: the critic that is used where the user names none; None for the usual one.
    """

    task: Choice
    encoder: Choice | None
    pair: Pair
    critic: str | None = None


def views_of(chosen: Sequence[Choice], with_encoders: Sequence[Choice | None] | None) -> list[View]:
    """Return each task with every encoder, or with its own where none is given."""
    views = []
    for task in chosen:
        made = tasks.registry.make(task)
        own = None if made.default_encoder is None else encoders.registry.choose(made.default_encoder)
        for encoder in [own] if with_encoders is None else with_encoders:
            if encoder is None:
                views.append(View(task, None, pair_of(task), made.default_critic))
            else:
                with encoders.registry.blaming(encoder.name):
                    encoders.registry.make(encoder).check(made)
                dims = dims_of(task, encoder)
                views.append(View(task, encoder, Pair(dims, Truth.unknown(), _not_yet)))
    return views


def _not_yet(
    n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    raise RuntimeError("a representation cannot be drawn before its encoder is trained")


OF_TRAINING = tuple(name for name in FIT if name != "critic")
"""The settings that mean nothing where no model is trained, beside the model itself."""


@dataclass(frozen=True)
class Training:
    """How models are trained, as far as the user says: None asks for the usual.

    Attributes:
        given: those settings `OF_TRAINING` that the user set to something else than the default.
        train_ns: rows of training batches, None for as many as are read; none to leave it to the preset.
        preset: what critics are trained by where the user does not say, by name.
    """

    models: Sequence[Choice] | None
    steps: int | None
    lr: float | None
    schedule: str | None
    precision: str
    given: Sequence[str]
    train_ns: Sequence[int | None]
    anchors: Sequence[int | None]
    preset: str | None = None

    @property
    def of_critics(self) -> Preset | None:
        """What fills in the settings of critics that the user does not give."""
        return PRESETS[self.preset] if self.preset else None

    def rows(self, preset: Preset | None) -> Sequence[int | None]:
        """Return the rows of training batches, None for as many as are read."""
        return self.train_ns or (preset.train_n if preset else None,)

    def check_used(self, chosen: Sequence[Choice]) -> None:
        """Raise a UsageError for a model or a setting that none of the estimators can use."""
        kinds = {choice: _kind(_objective(choice)) for choice in chosen}
        if self.given and set(kinds.values()) == {None}:
            flags = ", ".join(SETTINGS[name].flags[0] for name in self.given)
            raise UsageError(f"No estimator here can use {flags}: {_trained(kinds)}.", f"Leave out {flags}.")
        for model in self.models or ():
            if models.registry.load(model.name).kind not in kinds.values():
                raise _unused(model, kinds)
        if self.preset and "critic" not in kinds.values():
            raise UsageError(
                f"No estimator here can use preset {self.preset!r}, which is for critics: {_trained(kinds)}.",
                "Leave out --preset.",
            )
        critics = [one for one in self.models or () if issubclass(models.registry.load(one.name), Critic)]
        if self.preset and critics and not any(map(_is_row_by_row, critics)):
            raise UsageError(
                f"Preset {self.preset!r} has large batches, and the work of "
                f"{listed([model.label for model in critics])} grows with their square.",
                "Give another --critic, or leave out --preset.",
            )

    def check_reads_what_it_trains_on(self, protocol: Choice) -> None:
        """Raise a UsageError for a setting of batches that are read, where these are those of training."""
        if self.preset:
            raise UsageError(
                f"Preset {self.preset!r} sets the rows of a training batch, and the protocol "
                f"{protocol.name!r} reads batches of the n that it trains on.",
                "Give --protocol stream, or leave out --preset.",
            )
        for name, given in (("train_n", self.train_ns), ("anchors", self.anchors)):
            if given not in ((), (None,)):
                flag = SETTINGS[name].flags[0]
                raise UsageError(
                    f"{name} has no meaning under the protocol {protocol.name!r}, which reads batches of the "
                    "n that it trains on.",
                    f"Give --protocol stream, or leave out {flag}.",
                )

    def fits(self, objective: Objective | None, view: View, protocol: Protocol) -> list[Fit | None]:
        """Return the trainings by an objective: of the given models of its kind, or of the usual one."""
        if objective is None:
            return [None]
        kind = objective.model
        given = [model for model in self.models or () if models.registry.load(model.name).kind == kind]
        of_task = view.critic if kind == "critic" else None
        usual = of_task or objective.default_model or models.of_kind(kind).default
        fits: list[Fit | None] = []
        for model in given or [models.registry.choose(usual)]:
            with models.registry.blaming(model.name):
                models.registry.make(model).check(view.pair.dims)
            fits += self._fits(model, protocol)
        return fits

    def _fits(self, model: Choice, protocol: Protocol) -> list[Fit]:
        """Return the trainings of a model: by what the user gives, else the preset, else the protocol."""
        preset = self.of_critics if _is_row_by_row(model) else None
        usual = preset or protocol
        schedule = self.schedule or usual.schedule
        peak = preset.lr_for(model.name) if preset and schedule == preset.schedule else None
        lr = self.lr or peak or DEFAULT_LEARNING_RATE[schedule]
        steps = self.steps or usual.steps
        anchors = self.anchors if forms_pairs(models.registry.load(model.name)) else (None,)
        rows = itertools.product(self.rows(preset), anchors)
        return [Fit(model, steps, lr, schedule, self.precision, n, anchors) for n, anchors in rows]


def _is_row_by_row(model: Choice) -> bool:
    """Whether a model is a critic most of whose work is done for every row, and not for every pair."""
    found = models.registry.load(model.name)
    return issubclass(found, Critic) and not found.pair_by_pair


def _objective(estimator: Choice) -> Objective | None:
    return estimators.objective_of(estimator)


def _kind(objective: Objective | None) -> str | None:
    """Return the kind of model that is trained, None for none."""
    return None if objective is None else objective.model


_TRAINS = {None: "trains nothing", "critic": "trains a critic", "conditional": "trains a conditional density"}


def _trained(kinds: dict[Choice, str | None]) -> str:
    """Return in words what each estimator trains."""
    words = (f"{choice.label} {_TRAINS.get(own, f'trains a {own}')}" for choice, own in kinds.items())
    return ", ".join(words)


def _unused(model: Choice, kinds: dict[Choice, str | None]) -> UsageError:
    kind = models.registry.load(model.name).kind
    usable = [name for name, each in models.registry.classes() if each.kind in kinds.values()]
    return UsageError(
        f"No estimator here can use {model.label!r}, a {kind}: {_trained(kinds)}.",
        f"Leave out --critic, or give one of: {', '.join(usable)}." if usable else "Leave out --critic.",
    )


def runs_of(
    chosen: Sequence[Choice],
    views: Sequence[View],
    followed: Choice,
    ns: Sequence[int],
    seeds: Sequence[int],
    training: Training,
) -> list[RunSpec]:
    """Return the runs of all estimators under one protocol.

    Raises:
        UsageError: an estimator, model or protocol that cannot work on the data, at an n or with the steps.
    """
    training.check_used(chosen)
    protocol = protocols.make(followed)
    specs: list[RunSpec] = []
    for estimator in chosen:
        objective = _objective(estimator)
        if objective is None and protocol.only_trained:
            raise UsageError(
                f"The protocol {followed.name!r} steps through levels while a model trains, and estimator "
                f"{estimator.label!r} trains none.",
                "Give --protocol stream or samples.",
            )
        own_ns = list(dict.fromkeys(map(protocol.n_untrained, ns))) if objective is None else ns
        if objective is not None and not protocol.reads_other_n:
            training.check_reads_what_it_trains_on(followed)
        own_protocol = protocols.describe(protocol.untrained()) if objective is None else followed
        _check(estimator, views, own_ns)
        settings = list(_settings(estimator, objective, views, protocol, training))
        fits = list(dict.fromkeys(fit for *_, fit in settings if fit is not None))
        _check(estimator, views, [fit.train_n for fit in fits if fit.train_n is not None])
        if objective is not None and protocol.reads_other_n:
            for size, anchors in itertools.product(own_ns, training.anchors):
                _check_anchors(estimator, size, anchors)
        for fit in fits:
            for size in own_ns:
                protocol.check(size, fit.steps)
        specs += grid(settings, own_protocol, own_ns, seeds)
    return specs


def _check(estimator: Choice, views: Sequence[View], ns: Sequence[int]) -> None:
    made = estimators.registry.make(estimator)
    with estimators.registry.blaming(estimator.name):
        for view in views:
            for size in ns:
                made.check(size, view.pair)


def _check_anchors(estimator: Choice, n: int, given: int | None) -> None:
    if given is not None and given > n:
        raise UsageError(
            f"A batch of n = {n} has no {given} anchors.", f"Give --anchors of at most {n}, or a larger n."
        )
    anchors = given or anchors_at(n)
    if anchors < n and not estimators.registry.make(estimator).reads_anchors:
        raise UsageError(
            f"Estimator {estimator.label!r} reads whole score matrices, not {anchors} rows of n = {n}.",
            f"Give --anchors {n}, a smaller n, or another estimator.",
        )


def _settings(
    estimator: Choice,
    objective: Objective | None,
    views: Sequence[View],
    protocol: Protocol,
    training: Training,
) -> Iterator[Setting]:
    """Yield an estimator on every task with every model; where one training climbs, on every stair."""
    fits = {view: training.fits(objective, view, protocol) for view in views}
    for number in range(max(map(len, fits.values()), default=0)):  # one model after the other
        for view, own in fits.items():
            for task in _stairs(view, protocol):
                yield estimator, task, view.encoder, own[number]


def _stairs(view: View, protocol: Protocol) -> list[Choice]:
    """Return the task of a view; where one training climbs, at the level of every stair."""
    task, levels = view.task, protocol.stairs
    if not levels:
        return [task]
    by_level = dict(task.options).get("rho") is None and tasks.registry.make(task).at(levels[0]) is not None
    if view.encoder is not None or not by_level:
        with_encoder = "" if view.encoder is None else f" with encoder {view.encoder.label!r}"
        raise UsageError(
            f"The staircase needs a task that is given by its true MI and no encoder; "
            f"{task.label!r}{with_encoder} is not that.",
            "Give --task gaussian or cubic with --mi, or another --protocol.",
        )
    stairs = [at_level(task, level) for level in levels]
    if len({dims_of(stair, None) for stair in stairs}) > 1:
        raise UsageError(
            f"One critic cannot climb {task.label!r}: its dimensions change with the true MI.",
            "Give the option that holds them, such as m of 'digits'.",
        )
    return stairs
