"""Estimators and tasks of every kind take one path: what is not trained, drawn or known is not there."""

import math

import pytest
import torch
from grids import CPU, LARGE, outcomes, pack_of, specs
from plugins import SIGNS_NATS, Correlation, Denoised, Enclosed, FirstNumber, RowCount, Unknown

import mibench
from mibench import estimators, tasks
from mibench.engine.data import Batches, evaluation_chunks, training_chunks
from mibench.engine.fit import fit
from mibench.engine.plan import packs
from mibench.seeding import stream

# ---- Objectives that draw random numbers at each step


@pytest.fixture
def _denoised(register):
    register(estimators.registry, Denoised)


def drawn(specs_, purpose="train"):
    """Return what the objective of a pack draws for its first batches, name by name."""
    pack = pack_of(specs_)
    x, y = next(training_chunks(pack, CPU, 3))
    found = [batch.drawn for batch in Batches(pack, purpose, CPU).of(x[:, :3], y[:, :3])]
    return {key: torch.stack([one[key] for one in found]) for key in found[0]}  # (batches, R, n, ...)


@pytest.mark.usefixtures("_denoised")
def test_what_is_drawn_depends_on_task_seed_and_purpose_alone():
    together = specs("denoised", seeds=range(3))
    numbers = drawn(together)
    assert {key: tuple(value.shape) for key, value in numbers.items()} == {
        "log_snr": (3, 6, 8, 1),
        "noise": (3, 6, 8, 4),
    }
    assert len(numbers["noise"].unique()) == numbers["noise"].numel()  # steps and runs share nothing
    for run, spec in enumerate(together):
        for key, value in drawn([spec]).items():
            assert torch.equal(value[:, 0], numbers[key][:, run])
    longer = specs("denoised", seeds=range(3), steps=70, lr=1e-3, model="noise-mlp[hidden=8]")
    assert torch.equal(drawn(longer)["noise"], numbers["noise"])
    assert not torch.isin(drawn(together, "readout")["noise"], numbers["noise"]).any()


@pytest.mark.usefixtures("_denoised")
def test_an_objective_that_draws_is_the_same_in_a_pack_and_alone():
    together = specs("denoised", mis=(1.0, 2.0), seeds=range(3), ns=(16,))
    assert len(packs(together, LARGE)) == 1
    in_pack, alone = outcomes(together), outcomes(together, budget=0)
    for spec in together:
        a, b = in_pack[spec].readout, alone[spec].readout
        assert a.estimate == pytest.approx(b.estimate, abs=1e-4)
        assert a.batches == b.batches
        assert math.isnan(a.oracle)  # it has no exact value
    assert len({outcome.readout.estimate for outcome in in_pack.values()}) == len(together)


@pytest.mark.usefixtures("_denoised")
def test_an_objective_that_draws_trains_step_by_step_as_torch_does():
    """Against torch.optim.Adam on the run's own data and its own numbers."""
    pack = pack_of(specs("denoised", seeds=range(2), steps=3, schedule="constant", lr=0.01))
    fitted = fit(pack, CPU)
    x, y = next(training_chunks(pack, CPU, 3))
    for run, spec in enumerate(pack.leaders):
        weights = stream("initialise", spec.fit.model.identity, (4, 4), spec.seed)
        initial = pack.model.initialise(pack.dims, weights, torch.float64)
        own = {key: value[None].requires_grad_() for key, value in initial.items()}
        optimiser = torch.optim.Adam(own.values(), lr=0.01)
        numbers = stream("train drawn", spec.task.identity, spec.seed)
        for step in range(3):
            found = pack.objective.draw(8, pack.dims, numbers, torch.float64)
            snr, noise = found["log_snr"][None].exp(), found["noise"][None]
            z = (snr.sqrt() * x[run : run + 1, step] + noise) / (1 + snr).sqrt()
            loss = 0.0
            for shown in (y[run : run + 1, step], None):
                predicted = pack.model.noise(own, z, found["log_snr"][None], shown)
                loss = loss + (predicted - noise).square().sum() / 8
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for key, value in own.items():
            assert torch.allclose(fitted.parameters[key][run], value[0], atol=1e-10)


@pytest.mark.usefixtures("_denoised")
@pytest.mark.parametrize(
    "setting",
    [
        {"protocol": "samples[size=400,every=5]", "mis": (1.0,), "schedule": "constant"},
        {"protocol": "staircase[levels=1/2]", "mis": (1.0, 2.0), "steps": 40},
    ],
)
def test_an_objective_that_draws_follows_every_protocol(setting):
    together = specs("denoised", seeds=range(2), ns=(16,), **setting)
    in_pack, alone = outcomes(together), outcomes(together, budget=0)
    for spec in together:
        assert in_pack[spec].status == "ok"
        assert in_pack[spec].readout.estimate == pytest.approx(alone[spec].readout.estimate, abs=1e-4)


# ---- Estimators that train nothing


@pytest.fixture
def _untrained(register):
    for kind in (Correlation, FirstNumber, RowCount):
        register(estimators.registry, kind)


GRID = {"dim": 3, "mi": 1.0, "device": "cpu"}


@pytest.mark.usefixtures("_untrained")
def test_an_estimator_that_trains_nothing_has_no_fit_in_its_key():
    (plain,) = mibench.plan("correlation", n=64, seeds=1, **GRID).specs
    assert plain.fit is None
    assert not {"critic", "steps", "lr", "schedule", "precision"} & plain.identity.keys()
    others = (
        {"steps": 7},
        {"lr": 0.5},
        {"schedule": "constant"},
        {"precision": "float64"},
    )
    for setting in others:
        spec, trained = mibench.plan(["correlation", "infonce"], n=64, seeds=1, **GRID, **setting).specs
        assert spec.key == plain.key
        assert setting.items() <= vars(trained.fit).items()
    # A critic beside it is that of the others, and does not multiply it.
    both = mibench.plan(
        "correlation,nwj", n=64, seeds=1, critic=["bilinear", "separable", "joint"], **GRID
    ).specs
    assert [spec.estimator.name for spec in both] == ["correlation", "nwj", "nwj", "nwj"]
    assert both[0].key == plain.key
    with pytest.raises(mibench.UsageError, match="correlation trains nothing"):
        mibench.plan("correlation", n=64, critic="joint", **GRID)


@pytest.mark.usefixtures("_untrained")
def test_on_the_stream_it_reads_fresh_batches_of_n():
    frame = mibench.run("correlation,row-count", n=[16, 256], seeds=2, **GRID)
    assert (frame["status"] == "ok").all()
    for column in ("critic", "steps", "lr", "schedule", "precision", "training", "objective", "oracle_nats"):
        assert frame[column].isna().all(), column
    rows = frame[frame["estimator"] == "row-count"]
    assert rows["estimate_nats"].tolist() == rows["n"].tolist()
    read = frame[frame["estimator"] == "correlation"].groupby("n")["estimate_nats"].mean()
    # E[-log(1 - r^2)] / 2 lies about 1/(2n) a coordinate above I.
    assert read[256] == pytest.approx(1.0 + 3 / 512, abs=0.02)
    assert read[16] == pytest.approx(1.0 + 3 / 32, abs=0.05)


@pytest.mark.usefixtures("_untrained")
def test_it_reads_the_data_on_which_critics_are_evaluated():
    (spec,) = specs("first-number", mis=(2.0,))
    (critic,) = specs("nwj", mis=(2.0,))
    (outcome,) = outcomes([spec]).values()
    count = outcome.readout.batches
    x = torch.cat([x for x, _ in evaluation_chunks(pack_of([critic]), 0, "readout", count)])
    assert outcome.readout.estimate == pytest.approx(x[:, 0, 0].mean().item(), abs=1e-12)


@pytest.mark.usefixtures("_untrained")
def test_on_samples_it_reads_all_rows_at_once():
    frame = mibench.run("correlation,row-count,nwj", n=[8, 16], samples=[200, 900], seeds=2, steps=5, **GRID)
    assert (frame["status"] == "ok").all()
    untrained = frame[frame["estimator"] != "nwj"]
    assert len(untrained) == 2 * 2 * 2  # n means nothing, so it is no axis
    assert untrained["n"].tolist() == untrained["samples"].tolist()
    counted = frame[frame["estimator"] == "row-count"]
    assert counted["estimate_nats"].tolist() == counted["samples"].tolist()
    assert (counted["batches"] == 1).all()
    assert counted["estimate_se_nats"].isna().all()
    # Against the formula on the very rows.
    spec = next(
        spec
        for spec in mibench.plan("correlation", samples=200, n=8, seeds=1, **GRID).specs
        if spec.estimator.name == "correlation"
    )
    pair = tasks.get("gaussian", dim=3, mi=1.0).pair()
    x, y = pair.draw(200, stream("samples", spec.task.identity, 0), torch.float64)
    found = frame[(frame["estimator"] == "correlation") & (frame["seed"] == 0) & (frame["samples"] == 200)]
    assert found["estimate_nats"].item() == pytest.approx(Correlation().estimate_from(x, y).item(), abs=1e-9)


@pytest.mark.usefixtures("_untrained")
def test_on_samples_its_key_does_not_change_with_the_split_or_the_stopping():
    keys = {
        mibench.plan("correlation", protocol=name, n=n, seeds=1, **GRID).specs[0].key
        for name in ("samples[size=500]", "samples[size=500,train=0.5,patience=3]")
        for n in (8, 32)
    }
    assert len(keys) == 1


@pytest.mark.usefixtures("_untrained")
def test_on_the_staircase_it_is_refused_while_planning():
    with pytest.raises(mibench.UsageError, match="'correlation' trains none") as error:
        mibench.plan("nwj,correlation", protocol="staircase", mi=[1, 2], dim=3, device="cpu")
    assert "stream or samples" in error.value.how


@pytest.mark.usefixtures("_untrained")
def test_it_takes_no_tokens():
    with pytest.raises(mibench.UsageError, match="takes real numbers"):
        mibench.plan("correlation", "bigram", device="cpu")


@pytest.mark.usefixtures("_untrained")
def test_it_is_the_same_in_a_pack_and_alone_and_in_any_order():
    together = specs("correlation", mis=(1.0, 2.0), seeds=range(3))
    assert len(packs(together, LARGE)) == 1
    in_pack, alone = outcomes(together[::-1]), outcomes(together, budget=0)
    for spec in together:
        assert in_pack[spec].readout.estimate == pytest.approx(alone[spec].readout.estimate, abs=1e-12)
        assert in_pack[spec].training_s is None


# ---- Tasks of which little is known


@pytest.mark.parametrize(
    ("kind", "low", "high", "middle"),
    [(Enclosed, 0.0, math.log(2), math.log(2) / 2), (Unknown, 0.0, math.inf, math.nan)],
)
@pytest.mark.parametrize("protocol", ["stream", "samples[size=300,every=5]"])
def test_tasks_without_a_known_ratio_or_information_run(kind, low, high, middle, protocol, register):
    register(tasks.registry, kind)
    register(estimators.registry, FirstNumber)
    frame = mibench.run(
        "infonce,js,smile,first-number",
        kind.name,
        n=16,
        seeds=2,
        steps=200,
        protocol=protocol,
        critic="separable[hidden=16]",
        device="cpu",
    )
    assert len(frame) == 8
    assert (frame["status"] == "ok").all(), frame["message"].tolist()
    for column in ("oracle_nats", "critic_gap_se_nats", "log_ratio_rmse_nats", "log_partition_nats"):
        assert frame[column].isna().all(), column
    assert (frame["true_mi_low_nats"] == low).all()
    assert (frame["true_mi_high_nats"] == high).all() or not math.isfinite(high)
    assert frame["true_mi_nats"].tolist() == pytest.approx(8 * [middle], nan_ok=True)
    assert not frame["saturated"].any()
    cells = mibench.summarise(frame)
    assert cells["bound_gap_nats"].isna().all()
    if protocol == "stream":
        read = frame[frame["estimator"] == "infonce"]["estimate_nats"]
        assert (read > 0.5 * SIGNS_NATS).all()
        assert (read < SIGNS_NATS + 0.05).all()


def test_a_task_without_levels_has_no_staircase(register):
    register(tasks.registry, Enclosed)
    with pytest.raises(mibench.UsageError, match="given by its true MI"):
        mibench.plan("nwj", "enclosed", protocol="staircase", device="cpu")
