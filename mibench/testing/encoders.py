"""What an encoder recipe promises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mibench import tasks
from mibench.batch import Tensors
from mibench.encoders.base import Encoder
from mibench.engine.data import stack_runs
from mibench.errors import UsageError
from mibench.seeding import stream
from mibench.tasks.base import Task
from mibench.testing import declared
from mibench.testing.conformance import Broken, Conformance, Property, examined, expect, expect_same

RUNS, N = 2, 6


@dataclass(frozen=True, eq=False)
class Case:
    """An encoder recipe under test, on the first registered task that it can be trained on."""

    encoder: Encoder[Any]

    @cached_property
    def task(self) -> Task:
        """The task."""
        for _, kind in tasks.registry.classes():
            try:
                self.encoder.check(made := kind())
            except UsageError:
                continue
            return made
        raise Broken("a registered task on which the recipe can be trained", "none")

    @cached_property
    def source(self) -> Any:  # noqa: ANN401 - what the recipe is trained on
        """What it is trained on."""
        return self.task.encoder_source(training=True)

    @cached_property
    def initial(self) -> list[Tensors]:
        """The parameters of each run."""
        return [self.encoder.initialise(self.source, stream("conformance", "w", run)) for run in range(RUNS)]

    def parameters(self) -> Tensors:
        """Return the parameters of all runs."""
        return _copied(stack_runs(self.initial))

    def state(self) -> Tensors:
        """Return the states of all runs."""
        runs = [
            self.encoder.state(own, stream("conformance", "s", run)) for run, own in enumerate(self.initial)
        ]
        return _copied(stack_runs(runs))

    def batch(self, purpose: str = "batch") -> Tensors:
        """Return a batch of all runs."""
        feeds = (stream("conformance", purpose, run) for run in range(RUNS))
        return stack_runs([self.encoder.draw(self.source, feed) for feed in feeds])

    def rows(self) -> tuple[Tensor, Tensor]:
        """Return x and y of some pairs of every run, (R, n, dim)."""
        pairs = [
            self.task.pair().draw(N, stream("conformance", "rows", run), torch.float32) for run in range(RUNS)
        ]
        x, y = zip(*pairs, strict=True)
        return torch.stack(x), torch.stack(y)


def representations(case: Case) -> None:
    """Representations have the declared dimensions and are finite."""
    encoder, parameters, (x, y) = case.encoder, case.parameters(), case.rows()
    for name, found, dim in zip(
        ("x", "y"),
        (encoder.encode_x(parameters, x), encoder.encode_y(parameters, y)),
        encoder.dims(case.source),
        strict=True,
    ):
        expect(found.shape == (RUNS, N, dim), f"encode_{name}: {(RUNS, N, dim)}", tuple(found.shape))
        expect(found.isfinite().all(), f"encode_{name}: finite", found)


def inputs_matter(case: Case) -> None:
    """Other inputs have other representations, and a row's is the same with other rows beside it or none."""
    encoder, parameters, (x, _) = case.encoder, case.parameters(), case.rows()
    found = encoder.encode_x(parameters, x)
    expect((found[:, 0] != found[:, 1]).any(), "another representation of another x", "the same")
    alone = encoder.encode_x(parameters, x[:, :1])
    expect_same(found[:, :1], alone, "the representation that a row has alone", 1e-4)


def draws(case: Case) -> None:
    """The same generator gives the same batch, another one another; no other random numbers are used."""
    state = torch.get_rng_state()
    first, again, other = case.batch("a"), case.batch("a"), case.batch("b")
    expect(torch.equal(state, torch.get_rng_state()), "no use of torch's global random numbers", "their use")
    for key, value in first.items():
        expect(torch.equal(value, again[key]), f"the same {key} from the same generator", "another")
    same = all(torch.equal(value, other[key]) for key, value in first.items())
    expect(not same or not first, "another batch from another generator", "the same")


def loss_is_one_number(case: Case) -> None:
    """The loss is a finite number per run, and leaves the state as it is."""
    state, before = case.state(), case.state()
    found = case.encoder.loss(case.parameters(), state, case.batch())
    expect(found.shape == (RUNS,), f"a loss of shape ({RUNS},)", tuple(found.shape))
    expect(found.isfinite().all(), "a finite loss", found.tolist())
    for key, value in before.items():
        expect(torch.equal(state[key], value), f"the state {key!r} unchanged by the loss", "a change")


def runs_do_not_mix(case: Case) -> None:
    """Loss and representations of a run are the same with other runs beside it or none."""
    everything = case.parameters(), case.state(), case.batch()
    loss = case.encoder.loss(*everything)
    encoded = case.encoder.encode_x(case.parameters(), case.rows()[0])
    for run in range(RUNS):
        parameters, state, batch = ({k: v[run : run + 1] for k, v in part.items()} for part in everything)
        alone = case.encoder.loss(parameters, state, batch)
        expect_same(loss[run : run + 1], alone, "the loss of the run alone", 1e-4)
        own = case.encoder.encode_x(parameters, case.rows()[0][run : run + 1])
        expect_same(encoded[run : run + 1], own, "the representations of the run alone", 1e-4)


def gradients(case: Case) -> None:
    """The gradient of the loss reaches every parameter."""
    parameters = {key: value.requires_grad_() for key, value in case.parameters().items()}
    loss = case.encoder.loss(parameters, case.state(), case.batch())
    found = torch.autograd.grad(loss.sum(), list(parameters.values()), allow_unused=True)
    for key, gradient in zip(parameters, found, strict=True):
        expect(gradient is not None and bool(gradient.isfinite().all()), f"a gradient of {key}", "none")


def own_estimate(case: Case) -> None:
    """The recipe's own estimate is at most its ceiling, at the start and for exaggerated parameters."""
    ceiling = case.encoder.own_ceiling(case.source)
    for scale in (1.0, 10.0):
        parameters = {key: scale * value for key, value in case.parameters().items()}
        found = case.encoder.own_estimate(case.source, parameters, case.state(), case.batch())
        if found is None:
            continue
        expect(found.shape == (RUNS,), f"an own estimate of shape ({RUNS},)", tuple(found.shape))
        most = math.inf if ceiling is None else ceiling
        expect(found.amax() <= most + 1e-5, f"an own estimate of at most {most:.6g}", found.amax().item())


def after_step(case: Case) -> None:
    """After a step the state of a run changes with that run's batch alone."""
    everything = case.parameters(), case.state(), case.batch()
    case.encoder.after_step(*everything)
    for run in range(RUNS):
        parameters, batch = ({k: v[run : run + 1] for k, v in part.items()} for part in everything[::2])
        state = {key: value[run : run + 1] for key, value in case.state().items()}
        case.encoder.after_step(parameters, state, batch)
        for key, value in state.items():
            expect_same(everything[1][key][run : run + 1], value, f"the state {key!r} of the run alone", 1e-4)


def _copied(tensors: Tensors) -> Tensors:
    return {key: value.clone() for key, value in tensors.items()}


PROPERTIES: tuple[Property[Case], ...] = (
    Property("documented", lambda case: declared.documented(case.encoder, "formula", "reference", "source")),
    Property("options", lambda case: declared.options_work(case.encoder)),
    Property("identity", lambda case: declared.is_a_value(case.encoder)),
    Property("representations", representations),
    Property("inputs matter", inputs_matter),
    Property("draws", draws),
    Property("loss", loss_is_one_number),
    Property("runs do not mix", runs_do_not_mix),
    Property("gradient reaches every parameter", gradients, lambda case: case.encoder.steps > 0),
    Property("own estimate", own_estimate),
    Property("after a step", after_step),
)
"""Every property of an encoder recipe."""


def examine_encoder(encoder: Encoder[Any], name: str | None = None) -> Conformance:
    """Return what is found of every property of an encoder recipe."""
    return examined(
        "encoder", name or encoder.name, Case(encoder), PROPERTIES, encoder.conformance_exceptions
    )


def check_encoder(encoder: Encoder[Any]) -> Conformance:
    """Test everything that an encoder recipe promises.

    Raises:
        ConformanceError: it lists every property that does not hold, what was expected and what was seen.
    """
    return examine_encoder(encoder).or_raise()
