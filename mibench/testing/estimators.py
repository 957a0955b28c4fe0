"""What an estimator promises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.engine.data import Batches, chunks, stacked
from mibench.engine.fit import fit
from mibench.engine.read import outputs_of
from mibench.estimators.base import Estimator, FromScores
from mibench.seeding import stream
from mibench.testing import declared, scores
from mibench.testing.conformance import Conformance, Mean, Property, examined, expect, expect_same
from mibench.testing.pairs import Setting, as_batch, batch_of, gaussian
from mibench.testing.trial import (
    RUNS,
    SAMPLE_SETTINGS,
    SAMPLE_SIZE,
    SETTINGS,
    SMALL_SAMPLE_BIAS,
    UNEVEN,
    Case,
    Trial,
    settings_of,
    wrong_models,
)

LEFT_AT_FOUR_TIMES_N = 0.75
"""A larger bias of a small sample is accepted where at most this share of it is left at four times the n."""

STEPS, UNTRAINED = 300, 0.3
"""After this many steps, an estimate on independent data is within this many nats of 0, and beyond at 2."""

DIFFERENCE = 1e-6
"""The step of finite differences."""


# ---- what is said, and shapes -----------------------------------------------------------------------------


def documented(case: Case) -> None:
    """Docstring, formula, direction and reference are there, and a line of help per option."""
    declared.documented(case.estimator, "formula", "direction", "reference", "ceiling_formula")


def identity(case: Case) -> None:
    """It is a value; so is its objective, whose identity is made of JSON values."""
    declared.is_a_value(case.estimator)
    if case.objective is not None:
        again = case.estimator.objective
        expect(again == case.objective and hash(again) == hash(case.objective), "one objective", "two")
        json.dumps(case.objective.identity, allow_nan=False)


def shape(case: Case) -> None:
    """The estimate is one number per run, in float64."""
    found = case.read(case.batch())
    expect(found.shape == (RUNS,), f"an estimate of shape ({RUNS},) of {RUNS} runs", tuple(found.shape))
    expect(found.dtype == torch.float64, "an estimate in float64", found.dtype)
    expect(found.isfinite().all(), "finite estimates of an untrained model", found.tolist())


def dimensions(case: Case) -> None:
    """x and y may have different numbers of coordinates."""
    for setting in (Setting(1, 4, 1.0), Setting(4, 1, 1.0), Setting(2, 3, 1.0)):
        found = case.read(case.batch(setting))
        expect(found.shape == (RUNS,), f"a value per run at dimensions {setting[:2]}", tuple(found.shape))


# ---- symmetries -------------------------------------------------------------------------------------------


def row_order(case: Case) -> None:
    """Permuting the pairs of a batch leaves the estimate."""
    batch = case.batch()
    order = torch.randperm(case.n, generator=stream("conformance", "order"))
    permuted = batch.map(lambda tensor: tensor[:, order] if tensor.shape[1:2] == (case.n,) else tensor)
    expect_same(case.read(permuted), case.read(batch), "the same value for pairs in another order")


def estimates_do_not_mix(case: Case) -> None:
    """A run's estimate is the same with other runs beside it or none."""
    batch = case.batch()
    outputs = case.outputs(batch)
    together = case.estimator.read(outputs, batch)
    for run in range(RUNS):
        own = {key: value[run : run + 1] for key, value in outputs.items()}
        alone = case.estimator.read(own, _run(batch, run))
        expect_same(together[run : run + 1], alone, "the value that the run has alone")


def training_does_not_mix(case: Case) -> None:
    """A run's objective and its gradient are the same with other runs beside it or none."""
    batch = case.batch()
    parameters = _with_gradient(case.parameters(gaussian(UNEVEN).dims))
    together = case.value(parameters, batch)
    gradients = _gradients(together, parameters)
    for run in range(RUNS):
        own = _with_gradient({key: value[run : run + 1] for key, value in parameters.items()})
        alone = case.value(own, _run(batch, run))
        expect_same(together[run : run + 1].detach(), alone.detach(), "the objective that the run has alone")
        for key, gradient in _gradients(alone, own).items():
            expect_same(gradients[key][run : run + 1], gradient, f"the gradient of {key} alone")


def pack_equals_alone(case: Case) -> None:
    """The engine trains a run in a pack as it does alone, and reads the same."""
    pack = Trial.of(case)
    together = _trained_and_read(pack)
    for place, training in enumerate(pack.trainings):
        alone = _trained_and_read(replace(pack, trainings=(training,)))
        expect_same(together[place : place + 1], alone, "the estimate after training alone", 1e-6)


def precision(case: Case) -> None:
    """Values in float32 are read as the same in float64, at 10 nats too."""
    for setting in (UNEVEN, Setting(10, 10, 10.0)):
        pair, batch = gaussian(setting), case.batch(setting, n=64)
        known = case.is_exact and case.objective is not None
        outputs = case.estimator.exact(pair, batch) if known else case.outputs(batch)
        assert outputs is not None
        single = {key: value.float() for key, value in outputs.items()}
        found = case.estimator.read(single, batch.map(Tensor.float))
        expect(found.dtype == torch.float64, "an estimate in float64 of values in float32", found.dtype)
        expect_same(found, case.estimator.read(outputs, batch), "the value in float64", 1e-3)


def held_out_data(case: Case) -> None:
    """Other data give another value, and the same data the same: nothing is remembered."""
    batch, other = case.batch(), case.batch(purpose="held out")
    first, second, again = case.read(batch), case.read(other), case.read(batch)
    expect((first != second).all(), "another value on other data", f"{first.tolist()} twice")
    expect_same(again, first, "the same value on the same data")


def shifted_data(case: Case) -> None:
    """What is read from the data alone does not change where x and y are moved."""
    batch = case.batch()
    moved = replace(batch, x=batch.x + 8, y=batch.y - 4)
    expect_same(case.read(moved), case.read(batch), "the same value of data that are moved", 1e-6)


# ---- the truth --------------------------------------------------------------------------------------------


def blind_model(case: Case) -> None:
    """A model that sees no dependence reads 0 on dependent data."""
    for setting, n in settings_of(case):
        values = case.exact(setting, n, setting._replace(nats=0.0))
        Mean.of(values).expect_near(0.0, f"0 from a model that sees no dependence (n={n})")


def independence(case: Case) -> None:
    """Independent data read 0, at small n too."""
    for setting, n in (*settings_of(case), (Setting(1, 2, 0.0), case.ns[:2][-1])):
        nothing = setting._replace(nats=0.0)
        mean = Mean.of(case.exact(nothing, n))
        mean.expect_near(
            0.0, f"0 on independent data ({setting.dim_x} and {setting.dim_y} coordinates, n={n})"
        )


def reads_the_truth(case: Case) -> None:
    """Without an error of training a plug-in reads the truth; what trains nothing tends to it."""
    for setting, n in settings_of(case):
        excess, expected = case.excess(setting, n), f"{setting.nats:g} nats at the exact model"
        if case.objective is not None:
            excess.expect_near(0.0, f"{expected} ({_where(setting, n)})")
        elif abs(excess.value) > LEFT_AT_FOUR_TIMES_N * abs(case.excess(setting, n // 4).value):
            excess.expect_near(0.0, f"about {expected} ({_where(setting, n)})", SMALL_SAMPLE_BIAS)


def bound_holds(case: Case) -> None:
    """The mean is on the declared side of the truth."""
    bound = case.estimator.bound
    for setting, n in settings_of(case):
        if bound.holds == "with infinite data" and n < max(case.ns):
            continue
        tolerance = SMALL_SAMPLE_BIAS if bound.holds == "with infinite data" else 0.0
        any_model = bound.holds in ("in expectation", "with infinite data") and case.objective is not None
        for model in (setting, *(wrong_models(setting) if any_model else ())):
            excess = case.excess(setting, n, model)
            where = f"I = {setting.nats:g} nats ({_where(setting, n)}, model of {model.nats:g} nats)"
            if bound.side == "lower":
                excess.expect_at_most(0.0, f"a mean of at most {where}", tolerance)
            else:
                excess.expect_at_least(0.0, f"a mean of at least {where}", tolerance)


def approaches_the_truth(case: Case) -> None:
    """With the exact model a lower bound comes near the truth as n grows."""
    n = max(case.ns) if case.objective is not None else SAMPLE_SIZE
    for setting in SETTINGS[:2] if case.objective is not None else SAMPLE_SETTINGS:
        excess = case.excess(setting, n)
        excess.expect_near(
            0.0, f"about {setting.nats:g} nats at the exact model ({_where(setting, n)})", SMALL_SAMPLE_BIAS
        )


def oracle_is_best(case: Case) -> None:
    """No other model is better, in expectation, than the exact one."""
    sign = -1 if case.estimator.bound.side == "upper" else 1
    for setting in SETTINGS:
        for n in case.ns[:2]:
            best = case.exact(setting, n)
            for other in wrong_models(setting):
                loss = Mean.of(sign * (best - case.exact(setting, n, other)))
                loss.expect_at_least(0.0, f"no model better than the exact one ({_where(setting, n)})")


def grows_with_the_truth(case: Case) -> None:
    """More information reads as more: a wrong sign does not."""
    n = case.ns[:2][-1] if case.objective is not None else SAMPLE_SIZE
    setting = Setting(1, 1, 0.0)
    means = [Mean.of(case.exact(setting._replace(nats=nats), n)) for nats in (0.25, 1.0, 2.0)]
    for less, more in pairwise(means):
        expect(
            more.value - less.value > math.hypot(less.margin, more.margin),
            f"a larger estimate where the truth is larger than where the estimate is {less}",
            more,
        )


def training_finds_information(case: Case) -> None:
    """After a short training of small models, independent data read about 0, and 2 nats more."""
    nothing, something = (_trained_and_read(Trial.of(case, nats, STEPS)).mean().item() for nats in (0.0, 2.0))
    expect(abs(nothing) <= UNTRAINED, f"0 after training on independent data, within {UNTRAINED:g}", nothing)
    expect(something > nothing + UNTRAINED, f"after training at 2 nats more than {nothing:.3g}", something)


# ---- ceilings ---------------------------------------------------------------------------------------------


def ceiling_is_not_exceeded(case: Case) -> None:
    """No batch, however extreme, reads more than the ceiling."""
    for n, values in _extremes(case):
        ceiling = _ceiling(case, n)
        found = values[~values.isnan()].amax().item()
        expect(found <= ceiling + 1e-6, f"values of at most the ceiling at n={n}, {ceiling:.6g}", found)


def ceiling_is_reached(case: Case) -> None:
    """Some batch reads nearly as much as the ceiling."""
    for n, values in _extremes(case):
        ceiling = _ceiling(case, n)
        found = values[~values.isnan()].amax().item()
        expect(found >= ceiling - 0.05, f"values near the ceiling at n={n}, {ceiling:.6g}", found)


def _ceiling(case: Case, n: int) -> float:
    ceiling = case.estimator.ceiling(n)
    assert ceiling is not None
    return ceiling


def _extremes(case: Case) -> Iterator[tuple[int, Tensor]]:
    """Yield n and the values on extreme batches."""
    for n in case.ns[:2]:
        if isinstance(case.estimator, FromScores):
            yield n, case.estimator.estimate(extreme_scores(n))
            continue
        pair = gaussian(Setting(1, 1, 15.0))
        values = [case.read_exact(batch_of(pair, n, 4, "extreme"), pair)]
        if case.objective is None:
            x = batch_of(pair, n, 4, "extreme").x
            noise = 1e-9 * torch.randn(x.shape, generator=stream("conformance", "noise"), dtype=x.dtype)
            values += [
                case.read_exact(as_batch(pair, x, y), pair) for y in (x + noise, 1000 * x + noise, x**3)
            ]
        yield n, torch.cat(values)


def extreme_scores(n: int) -> Tensor:
    """Return score matrices at which ceilings show, and at which sums overflow: (matrices, n, n)."""
    one, generator = torch.eye(n, dtype=torch.float64), stream("conformance", "extreme", n)
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return torch.stack(
        [
            1e4 * one,
            -1e4 * one,
            1e4 * (2 * one - 1),
            1e30 * (one - 1),
            1e3 * noise,
            1e3 * noise + 1e4 * one,
            torch.full_like(one, -1e30),
            torch.full_like(one, 1e4),
            1e4 * one[:, torch.arange(n).roll(1)],
            50 * one,
        ]
    )


# ---- training ---------------------------------------------------------------------------------------------


def gradient(case: Case) -> None:
    """The gradient is that of the objective's value: it agrees with finite differences in float64."""
    batch = case.batch()
    parameters = _with_gradient(case.parameters(gaussian(UNEVEN).dims))
    gradients = _gradients(case.value(parameters, batch), parameters)
    generator = stream("conformance", "directions")
    for key, value in parameters.items():
        direction = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        up, down = (
            case.value(parameters | {key: value.detach() + step * direction}, batch).detach()
            for step in (DIFFERENCE, -DIFFERENCE)
        )
        slope = (gradients[key] * direction).reshape(RUNS, -1).sum(-1)
        expect_same(slope, (up - down) / (2 * DIFFERENCE), f"the derivative by {key} of the value", 1e-5)


def pair_batches(pack: Trial) -> Iterator[Batch]:
    """Yield a batch of unseen pairs of every run."""
    cpu = torch.device("cpu")
    feeds = [
        chunks(pair, spec, "conformance", 1, 1, torch.float64)
        for pair, spec in zip(pack.pairs, pack.leaders, strict=True)
    ]
    for x, y in stacked(feeds, cpu, pack.dtype):
        yield from Batches(pack, "conformance", cpu).of(x, y)


def _trained_and_read(pack: Trial) -> Tensor:
    fitted = fit(pack, torch.device("cpu"))
    (batch,) = pair_batches(pack)
    return pack.case.estimator.read(outputs_of(pack, fitted.parameters, batch), batch)


def _run(batch: Batch, run: int) -> Batch:
    return batch.map(lambda tensor: tensor[run : run + 1])


def _with_gradient(parameters: Tensors) -> Tensors:
    return {key: value.detach().clone().requires_grad_() for key, value in parameters.items()}


def _gradients(values: Tensor, parameters: Tensors) -> Tensors:
    """Return the gradient of the sum of all runs' values by every parameter."""
    found = torch.autograd.grad(values.sum(), list(parameters.values()), allow_unused=True)
    return {
        key: torch.zeros_like(value) if gradient is None else gradient
        for (key, value), gradient in zip(parameters.items(), found, strict=True)
    }


def _where(setting: Setting, n: int) -> str:
    return f"{setting.dim_x} and {setting.dim_y} coordinates, n={n}"


def _trains(case: Case) -> bool:
    return case.objective is not None


def _trains_nothing(case: Case) -> bool:
    return case.objective is None


def _is_exact(case: Case) -> bool:
    return case.is_exact


def _has_side(*sides: str | None) -> Callable[[Case], bool]:
    return lambda case: case.is_exact and case.estimator.bound.side in sides


def _has_ceiling(case: Case) -> bool:
    return case.estimator.ceiling(case.n) is not None and (case.is_exact or _from_scores(case))


def _oracle_is_best(case: Case) -> bool:
    return _trains(case) and case.is_exact and case.estimator.oracle_is_best


def _from_scores(case: Case) -> bool:
    return isinstance(case.estimator, FromScores)


PROPERTIES: tuple[Property[Case], ...] = (
    Property("documented", documented),
    Property("options", lambda case: declared.options_work(case.estimator)),
    Property("identity", identity),
    Property("shape", shape),
    Property("dim_x != dim_y", dimensions),
    Property("order of pairs", row_order),
    Property("estimates of runs do not mix", estimates_do_not_mix),
    Property("training of runs does not mix", training_does_not_mix, _trains),
    Property("pack equals alone", pack_equals_alone),
    Property("float32 equals float64", precision),
    Property("held-out data", held_out_data),
    Property("shift of the data", shifted_data, _trains_nothing),
    Property("a blind model reads 0", blind_model, lambda case: _trains(case) and case.is_exact),
    Property("independence reads 0", independence, _is_exact),
    Property("the exact model reads the truth", reads_the_truth, _has_side(None)),
    Property("bound", bound_holds, _has_side("lower", "upper")),
    Property("the exact model approaches the truth", approaches_the_truth, _has_side("lower")),
    Property("the exact model is best", oracle_is_best, _oracle_is_best),
    Property("grows with the truth", grows_with_the_truth, _is_exact),
    Property("training finds the information", training_finds_information, _trains),
    Property("ceiling is not exceeded", ceiling_is_not_exceeded, _has_ceiling),
    Property("ceiling is reached", ceiling_is_reached, _has_ceiling),
    Property("gradient", gradient, _trains),
    *scores.PROPERTIES,
)
"""Every property of an estimator."""


def examine_estimator(estimator: Estimator, name: str | None = None) -> Conformance:
    """Return what is found of every property of an estimator."""
    declared_exceptions = estimator.conformance_exceptions
    return examined("estimator", name or estimator.name, Case(estimator), PROPERTIES, declared_exceptions)


def check_estimator(estimator: Estimator) -> Conformance:
    """Test everything that an estimator promises.

    Raises:
        ConformanceError: it lists every property that does not hold, what was expected and what was seen.
    """
    return examine_estimator(estimator).or_raise()
