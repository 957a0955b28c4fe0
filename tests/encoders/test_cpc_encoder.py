"""CPC: its GRU compared with PyTorch's, its losses with loops, and what a trained encoder holds."""

import math

import pytest
import torch

import mibench
from mibench import encoders, tasks
from mibench.engine.encoding import represent, train_encoders
from mibench.spec import EncoderSpec

SMALL = {"dim": 5, "code": 4, "hidden": 6, "horizons": 3, "batch": 7}


def stacked(runs):
    return {key: torch.stack([run[key] for run in runs]) for key in runs[0]}


def made(negatives, generator):
    task = tasks.get("cpc", dim=2, observed=3, past=4, length=7)
    recipe = encoders.get("cpc", negatives=negatives, **SMALL)
    trained = stacked([recipe.initialise(task, generator) for _ in range(2)])
    batch = stacked([recipe.draw(task, generator) for _ in range(2)])
    as_double = [{key: value.double() for key, value in part.items()} for part in (trained, batch)]
    return recipe, *as_double


def test_context_is_that_of_pytorchs_gru(generator):
    recipe, trained, batch = made("sequences", generator)
    for run in range(2):
        theirs = torch.nn.GRU(4, 5, batch_first=True).double()
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(trained["gru.input"][run].mT)
            theirs.weight_hh_l0.copy_(trained["gru.state"][run].mT)
            theirs.bias_ih_l0.copy_(trained["gru.bias"][run, 0])
            theirs.bias_hh_l0.zero_()
            hidden = (
                batch["past"][run] @ trained["encode.0.weight"][run] + trained["encode.0.bias"][run]
            ).relu()
            codes = hidden.relu() @ trained["encode.1.weight"][run] + trained["encode.1.bias"][run]
            expected = theirs(codes)[0][:, -1]
        found = recipe.encode_x(trained, batch["past"].flatten(2))[run]
        assert torch.allclose(found, expected, atol=1e-12)


def codes_of(recipe, trained, run, seen):
    hidden = (seen @ trained["encode.0.weight"][run] + trained["encode.0.bias"][run, 0]).relu()
    return hidden @ trained["encode.1.weight"][run] + trained["encode.1.bias"][run, 0]


@pytest.mark.parametrize("negatives", ["sequences", "times"])
def test_losses_are_those_of_loops(negatives, generator):
    recipe, trained, batch = made(negatives, generator)
    context = recipe.encode_x(trained, batch["past"].flatten(2))
    losses = recipe.loss(trained, {}, batch)
    for run in range(2):
        of_horizons = []
        for k in (1, 2, 3):
            total = 0.0
            for i in range(7):
                query = context[run, i] @ trained[f"critic.{k}"][run]
                right = codes_of(recipe, trained, run, batch["future"][run, i, k - 1])
                if negatives == "sequences":
                    others = [batch["future"][run, j, k - 1] for j in range(7) if j != i]
                else:
                    whole = torch.cat([batch["past"][run, i], batch["future"][run, i]])
                    others = [whole[t] for t in range(7) if t != 4 + k - 1]
                values = [(codes_of(recipe, trained, run, other) @ query).item() for other in others]
                positive = (right @ query).item()
                total += math.log(math.fsum(map(math.exp, [positive, *values]))) - positive
            of_horizons.append(total / 7)
            at_horizon = tasks.get("cpc", dim=2, observed=3, past=4, length=7, horizon=k)
            own = recipe.own_estimate(at_horizon, trained, {}, batch)[run].item()
            assert own == pytest.approx(math.log(7) - total / 7, abs=1e-10)
        assert losses[run].item() == pytest.approx(sum(of_horizons) / 3, abs=1e-10)


def test_own_ceiling_is_the_number_of_candidates():
    task = tasks.get("cpc")
    assert encoders.get("cpc").own_ceiling(task) == pytest.approx(math.log(256))
    assert encoders.get("cpc", negatives="times").own_ceiling(task) == pytest.approx(math.log(16))


def test_more_horizons_than_a_sequence_has_are_refused():
    with pytest.raises(mibench.UsageError, match=r"cpc\[horizons=8\]"):
        mibench.plan("infonce", "cpc", encoder="cpc[horizons=9]", device="cpu")
    with pytest.raises(mibench.UsageError, match="trained on sequences; task 'linear-encoder' has pairs"):
        mibench.plan("infonce", "linear-encoder", encoder="cpc", device="cpu")


@pytest.mark.slow
def test_trained_encoders_know_the_past_and_times_as_negatives_read_too_much():
    read = {}
    for recipe in ("cpc", "cpc[negatives=times]"):
        chosen, source = encoders.registry.choose(recipe), tasks.registry.choose("cpc")
        pack = train_encoders([EncoderSpec(chosen, source, seed) for seed in (0, 1)], torch.device("cpu"))
        for horizon in (1, 8):
            found = [represent(tasks.registry.choose("cpc", horizon=horizon), encoder) for encoder in pack]
            for representation in found:
                truth = representation.pair.truth
                assert 0.85 * truth.high < truth.low <= truth.high
            read[recipe, horizon] = [one.facts["encoder_nats"] for one in found]
    exact = tasks.get("cpc", horizon=8).true_mi_nats
    # A lower bound where negatives are of the marginal; none where they depend on the context.
    assert max(read["cpc", 8]) < exact + 0.02
    assert min(read["cpc[negatives=times]", 8]) > exact + 0.15


@pytest.mark.slow
def test_infonce_on_cpc_reaches_the_exact_information_and_never_passes_it():
    task = "cpc[a=0.8,horizon=1|4]"
    frame = mibench.run("infonce", task, n=[16, 512], seeds=2, steps=600, device="cpu")
    assert (frame["status"] == "ok").all()
    cells = mibench.summarise(frame)
    for cell in cells.to_dict("records"):
        most = min(math.log(cell["n"]), cell["true_mi_nats"])
        assert cell["mean_nats"] < most + 3 * max(cell["bias_se_nats"], 0.005)
        if cell["n"] == 512 and cell["task"] == "cpc[a=0.8]":
            assert cell["true_mi_nats"] == pytest.approx(-2 * math.log(1 - 0.64))
            assert cell["mean_nats"] > 0.85 * cell["true_mi_nats"]
