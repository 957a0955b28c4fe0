"""A critic that is an ordinary torch.nn.Module: trained in packs as the project's own are."""

import pytest
import torch
from plugins import Bilinear, OwnModule, WithBuffers, WrongShape

import mibench
from mibench import models
from mibench.batch import Dims

GRID = {"dim": 3, "mi": 1.0, "n": 16, "device": "cpu"}


def stacked(critic, runs, dims):
    generators = [torch.Generator().manual_seed(run) for run in range(runs)]
    found = [critic.initialise(dims, generator, torch.float64) for generator in generators]
    return {key: torch.stack([run[key] for run in found]) for key in found[0]}


def test_scores_are_those_of_the_module_run_by_run(generator):
    critic, dims = OwnModule(hidden=6), Dims(4, 3)
    parameters = stacked(critic, 3, dims)
    x, y = (torch.randn(3, 5, dim, generator=generator, dtype=torch.float64) for dim in (4, 3))
    scores = critic.scores(parameters, x, y)
    assert scores.shape == (3, 5, 5)
    for run in range(3):
        module = Bilinear(dims, 6).double()
        module.load_state_dict({key: value[run] for key, value in parameters.items()})
        assert torch.allclose(scores[run], module(x[run], y[run]), atol=1e-12)


def test_initial_weights_follow_the_generator_and_leave_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (
        OwnModule().initialise(Dims(4, 3), torch.Generator().manual_seed(seed), torch.float32)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    for key, value in one.items():
        assert torch.equal(value, same[key])
    assert not torch.equal(one["g.0.weight"], other["g.0.weight"])


def test_it_trains_in_a_pack_as_it_would_alone(register):
    register(models.registry, OwnModule)
    setting = GRID | {"critic": "own-module", "steps": 60, "precision": "float64"}
    together = mibench.run("infonce,nwj", seeds=4, **setting)
    assert (together["status"] == "ok").all()
    assert (together["critic"] == "own-module").all()
    for seed in range(4):
        alone = mibench.run("infonce,nwj", seeds=[seed], **setting)
        own = together[together["seed"] == seed]
        assert own["estimate_nats"].tolist() == pytest.approx(alone["estimate_nats"].tolist(), abs=1e-6)
        assert own["key"].tolist() == alone["key"].tolist()


def test_it_learns(register):
    register(models.registry, OwnModule)
    frame = mibench.run("infonce", critic="own-module[hidden=32]", steps=300, seeds=1, **GRID)
    assert frame["estimate_nats"].item() > 0.7 * frame["oracle_nats"].item()


def test_a_module_with_buffers_is_refused_while_planning(register):
    register(models.registry, WithBuffers)
    with pytest.raises(mibench.UsageError, match=r"'with-buffers' has buffers: g\.1\.running_mean") as error:
        mibench.plan("infonce", critic="with-buffers", **GRID)
    assert "LayerNorm" in error.value.how


def test_a_wrong_shape_is_said():
    critic, dims = WrongShape(), Dims(4, 3)
    parameters = stacked(critic, 2, dims)
    x, y = torch.zeros(2, 5, 4, dtype=torch.float64), torch.zeros(2, 5, 3, dtype=torch.float64)
    words = r"'wrong-shape' returned scores of shape \(5,\) for one run; expected \(5, 5\)"
    with pytest.raises(ValueError, match=words):
        critic.scores(parameters, x, y)
