"""Training on batches too large for a score matrix: gradients through tiles are those of the matrix."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import mibench
from mibench import estimators, models
from mibench.batch import Batch, Dims
from mibench.engine import plan, tiling
from mibench.engine.data import stack_runs
from mibench.engine.tiling import Tiling, tiled_model
from mibench.objectives import OfScores
from mibench.seeding import stream
from mibench.tiles import Operand, Tiles

RUNS, N = 3, 23
OPTIONS = [
    *(
        "infonce[symmetric=true,temperature=0.5]",
        "nce[k=4]",
        "nce[k=17,normalizer=learned]",
        "mine[rate=0.3]",
    ),
    *("interpolated[alpha=0]", "interpolated[alpha=1]"),
]
TRAINED = [
    name
    for name in [*estimators.registry.entries, *OPTIONS]
    if isinstance(estimators.get(name).objective, OfScores)
]
CRITICS = ["separable[hidden=16,embedding=4]", "bilinear", "joint[hidden=16]", "embedding[vocabulary=50]"]


def drawn(critic, objective):
    """A batch of tokens or vectors, and parameters of which every run has its own."""
    tokens = "embedding[" in critic
    dims = Dims(1, 1, 50) if tokens else Dims(3, 2)
    x, y = torch.randn(2, RUNS, N, 3, generator=stream("x, y"), dtype=torch.float64)
    x, y = ((5 * side[..., :1].abs()).floor() if tokens else side for side in (x, y[..., : dims.y]))
    made = models.registry.get(critic)
    own = [
        made.initialise(dims, stream("weights", run), torch.float64)
        | objective.learned(dims, stream("learned", run))
        for run in range(RUNS)
    ]
    parameters = {key: value.double() for key, value in stack_runs(own).items()}
    return made, Batch(x, y), parameters


def value_and_gradients(objective, model, parameters, batch, steps=2):
    """The value of the last of some steps on the same batch, its gradients, and the state after it."""
    leaves = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    state = {key: value.double() for key, value in stack_runs([objective.state()] * RUNS).items()}
    for _ in range(steps):
        value, _ = objective.value(model, leaves, state, batch)
    gradients = torch.autograd.grad(value.sum(), list(leaves.values()))
    return value.detach(), dict(zip(leaves, gradients, strict=True)), state


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("name", TRAINED)
def test_values_and_gradients_are_those_of_the_matrix(name, critic):
    objective = estimators.get(name).objective
    made, batch, parameters = drawn(critic, objective)
    expected = value_and_gradients(objective, made, parameters, batch)
    for most_pairs in (150, 10**6):
        part = tiled_model(made, Tiling(N, None, most_pairs))
        found = value_and_gradients(objective, part, parameters, batch)
        for own, whole in zip(found, expected, strict=True):
            torch.testing.assert_close(own, whole, rtol=1e-10, atol=1e-10)
    without = {"interpolated[alpha=1]": "log_a"}.get(name, "nothing")  # constants drop out of others, too
    weights = {key: own for key, own in expected[1].items() if not key.endswith(("bias", "b"))}
    assert all(own.abs().max() > 1e-3 for key, own in weights.items() if not key.startswith(without))


def test_tiles_of_single_pairs_have_the_gradients_of_the_matrix():
    objective = estimators.get("infonce[symmetric=true]").objective
    made, batch, parameters = drawn("bilinear", objective)
    expected = value_and_gradients(objective, made, parameters, batch)
    found = value_and_gradients(objective, tiled_model(made, Tiling(N, None, 1)), parameters, batch)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_every_objective_of_scores_trains_in_tiles():
    assert {"infonce", "nce", "mine", "nwj", "dv", "js", "smile", "tuba", "interpolated"} < set(TRAINED)


@pytest.mark.parametrize("anchors", [1, 9, N])
@pytest.mark.parametrize("count", [1, 6, N - 2, N - 1])
def test_the_mean_over_those_that_follow_is_that_of_a_loop(anchors, count):
    scores = torch.randn(RUNS, N, N, generator=stream("scores"), dtype=torch.float64)
    expected = torch.stack(
        [scores[:, i, (i + j) % N] for i in range(anchors) for j in range(1, count + 1)]
    ).mean(0)
    for most_pairs in (3, 60, 10**6):
        tiles = Tiles(lambda parts: parts[0], (Operand(scores, 1, 2),), RUNS, N, anchors, most_pairs)
        torch.testing.assert_close(tiles.mean_following(count), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_what_a_constant_critic_reaches_is_known_without_a_matrix(name):
    objective = estimators.get(name).objective
    whole = objective.optimal_critic(torch.zeros(1, 2100, 2100, dtype=torch.float64))
    expected = objective.criterion({"scores": whole}).item()
    assert objective.criterion_of_independence(2100) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_what_is_detached_keeps_its_scores_when_parameters_change():
    made, batch, parameters = drawn("joint[hidden=16]", estimators.get("nwj").objective)
    scores = tiled_model(made, Tiling(N, None)).scores(parameters, batch.x, batch.y)
    kept, before = scores.detach(), scores.detach().diagonal()
    for value in parameters.values():
        value.mul_(2)
    assert torch.equal(kept.diagonal(), before)
    assert not torch.equal(scores.detach().diagonal(), before)


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for each in found if isinstance(found, list | tuple) else [found]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.untyped_storage().nbytes() // each.element_size())
        return found


@pytest.mark.parametrize("critic", ["separable[hidden=16,embedding=4]", "bilinear"])
@pytest.mark.parametrize("name", TRAINED)
def test_no_step_forms_a_matrix(name, critic):
    n, objective = 1024, estimators.get(name).objective
    made = models.registry.get(critic)
    dims = Dims(3, 2)
    own = made.initialise(dims, stream("weights"), torch.float32) | objective.learned(dims, stream("beside"))
    leaves = {key: value[None].requires_grad_() for key, value in own.items()}
    state = stack_runs([objective.state()])
    batch = Batch(torch.randn(1, n, 3), torch.randn(1, n, 2))
    kept = set()

    def keep(tensor):
        kept.add((tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()))
        return tensor

    with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value, _ = objective.value(tiled_model(made, Tiling(n, None, 2**14)), leaves, state, batch)
        assert sum(size for _, size in kept) < 4 * n**2  # in bytes, of all that waits for the backward pass
        value.sum().backward()
    assert largest.numbers <= n * 256  # a hidden layer of a baseline


@pytest.mark.parametrize(
    "settings",
    [{}, {"protocol": "samples", "samples": 200}, {"protocol": "staircase", "steps": 20}],
    ids=["stream", "samples", "staircase"],
)
def test_runs_that_train_in_tiles_are_those_that_form_matrices(settings, monkeypatch):
    names = "infonce,smile[tau=1],tuba,mine,nce[k=5],l1out" + ",interpolated" * ("protocol" in settings)
    critics = ["separable[hidden=16]", "gaussian-mlp[hidden=16]"]
    about = {"dim": 2, "mi": [1, 2], "n": 20, "seeds": 1, "steps": 10, "critic": critics, **settings}
    whole = mibench.run(names, precision="float64", device="cpu", **about)
    for module, name, value in (
        (tiling, "LARGEST_MATRIX", 16),
        (plan, "LARGEST_MATRIX", 16),
        (tiling, "ANCHORS", 20),
    ):
        monkeypatch.setattr(module, name, value)
    part = mibench.run(names, precision="float64", device="cpu", **about)
    assert (part["status"] == "ok").all(), list(part["message"])
    assert list(part["key"]) == list(whole["key"])
    for name in ("estimate_nats", "oracle_nats", "log_ratio_rmse_nats", "validation_nats"):
        expected = whole[name].astype(float).to_numpy()
        assert part[name].astype(float).to_numpy() == pytest.approx(expected, abs=1e-8, nan_ok=True)
