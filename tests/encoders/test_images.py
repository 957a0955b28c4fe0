"""Recipes for images: losses compared with loops, gradients, packs, collapse, quality."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

import mibench
from mibench import encoders, tasks
from mibench.batch import Dims
from mibench.convolution import convolutional, convolve, feature_count, standardised
from mibench.encoders import images as recipes
from mibench.engine.encoding import COLLAPSED, represent, train_encoders
from mibench.geometry import direction_spread
from mibench.seeding import stream
from mibench.spec import EncoderSpec
from mibench.tasks.images import load

NAMES = (
    "random",
    "supervised",
    "simclr",
    "moco",
    "simcse",
    "byol",
    "simsiam",
    "simsiam[stop_gradient=false]",
)
TRAINED = NAMES[1:]
CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def source():
    """Return the training images, on which encoders are trained."""
    return tasks.get("digits").encoder_source(training=True)


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def units(*shape, seed=0):
    return torch.nn.functional.normalize(rows(*shape, seed=seed), dim=-1)


def one_run(recipe, seed=0):
    """Return the parameters, what is carried and a batch of one run, with the run axis, in float64."""
    trained = recipe.initialise(source(), generator(seed))
    state = recipe.state(trained, generator(seed + 1))
    batch = recipe.draw(source(), generator(seed + 2))
    return [
        {k: v[None].double() if v.is_floating_point() else v[None] for k, v in side.items()}
        for side in (trained, state, batch)
    ]


# ---- Losses against loops


def dot(a, b):
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def log_sum_exp(values):
    return math.log(math.fsum(math.exp(v) for v in values))


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_nt_xent(temperature):
    first, second = units(2, 5, 3), units(2, 5, 3, seed=1)
    value = recipes.nt_xent(first, second, temperature)
    for run in range(2):
        views = [*first[run], *second[run]]
        losses = []
        for i in range(10):
            others = [dot(views[i], views[k]) / temperature for k in range(10) if k != i]
            assert len(others) == 2 * 5 - 1
            losses.append(log_sum_exp(others) - dot(views[i], views[(i + 5) % 10]) / temperature)
        assert value[run].item() == pytest.approx(math.fsum(losses) / 10, abs=1e-12)


def test_nt_xent_of_one_point_reads_nothing():
    point = torch.ones(1, 8, 4, dtype=torch.float64) / 2
    assert recipes.nt_xent(point, point, 0.5).item() == pytest.approx(math.log(15))


def test_one_way():
    first, second = units(2, 6, 3), units(2, 6, 3, seed=1)
    value = recipes.one_way(first, second, 0.3)
    for run in range(2):
        losses = [
            log_sum_exp([dot(u, v) / 0.3 for v in second[run]]) - dot(u, second[run][i]) / 0.3
            for i, u in enumerate(first[run])
        ]
        assert value[run].item() == pytest.approx(math.fsum(losses) / 6, abs=1e-12)


def test_against_queue_has_one_more_candidate_than_keys():
    query, key, queue = units(2, 4, 3), units(2, 4, 3, seed=1), units(2, 7, 3, seed=2)
    value = recipes.against_queue(query, key, queue, 0.4)
    for run in range(2):
        losses = []
        for q, k in zip(query[run], key[run], strict=True):
            candidates = [dot(q, k) / 0.4] + [dot(q, n) / 0.4 for n in queue[run]]
            assert len(candidates) == 7 + 1
            losses.append(log_sum_exp(candidates) - candidates[0])
        assert value[run].item() == pytest.approx(math.fsum(losses) / 4, abs=1e-12)
    same = torch.ones(1, 4, 3, dtype=torch.float64)
    assert recipes.against_queue(same, same, torch.ones(1, 7, 3).double(), 1.0).item() == pytest.approx(
        math.log(8)
    )


def naive_head(parameters, prefix, z):
    """Standardise over the rows between two layers, with numpy."""
    at = {key: value[0].numpy() for key, value in parameters.items()}
    hidden = z @ at[f"{prefix}.0.weight"]
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) + at[f"{prefix}.0.bias"]
    return np.maximum(hidden, 0) @ at[f"{prefix}.1.weight"] + at.get(f"{prefix}.1.bias", 0)


def cosine(a, b):
    return [dot(x, y) / math.sqrt(dot(x, x) * dot(y, y)) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_predictive_losses(name):
    recipe = encoders.get(name, batch=6)
    trained, state, batch = one_run(recipe)
    for value in state.values():  # a copy that is another by now
        value.add_(0.05 * rows(*value.shape, seed=5))
    views = recipes.two_views(trained, batch)
    z = [recipe.encode_x(trained, view)[0].numpy() for view in views]
    u = [naive_head(trained, "head", part) for part in z]
    p = [naive_head(trained, "predictor", part) for part in u]
    if name == "byol":
        z = [recipe.encode_x(state, view)[0].numpy() for view in views]
        u = [naive_head(state, "head", part) for part in z]
    mean = (np.mean(cosine(p[0], u[1])) + np.mean(cosine(p[1], u[0]))) / 2
    expected = 2 - 2 * mean if name == "byol" else -mean
    assert recipe.loss(trained, state, batch).item() == pytest.approx(expected, abs=1e-10)


def test_contrastive_losses_compare_projections_of_both_views():
    for name in ("simclr", "moco"):
        recipe = encoders.get(name, batch=6, **({"queue": 9} if name == "moco" else {}))
        trained, state, batch = one_run(recipe)
        first, second = recipes.two_views(trained, batch)
        u = recipe.project(trained, recipe.encode_x(trained, first))
        if name == "simclr":
            v = recipe.project(trained, recipe.encode_x(trained, second))
            expected = recipes.nt_xent(u, v, 0.2)
        else:
            k = recipe.project(state, recipe.encode_x(state, second))
            expected = recipes.against_queue(u, k, state["queue"], 0.2)
        assert u.norm(dim=-1).sub(1).abs().max().item() < 1e-12
        assert torch.allclose(recipe.loss(trained, state, batch), expected)
        own = recipe.own_estimate(source(), trained, state, batch)
        candidates = 2 * 6 - 1 if name == "simclr" else 9 + 1
        assert own.item() == pytest.approx(math.log(candidates) - expected.item())
        assert recipe.own_ceiling(source()) == pytest.approx(math.log(candidates))


def test_simcse_has_two_masks_of_the_same_image():
    recipe = encoders.get("simcse", batch=64, dropout=0.25)
    trained, state, batch = one_run(recipe)
    assert set(batch) == {"images", "masks"}
    masks = batch["masks"][0]
    assert masks.shape == (2, 64, 256)
    assert sorted(set(masks.flatten().tolist())) == pytest.approx([0, 4 / 3], abs=1e-6)
    assert (masks == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (masks[0] != masks[1]).any()
    assert recipe.own_ceiling(source()) == math.log(64)
    alike = batch | {"masks": torch.ones_like(batch["masks"])}
    z = recipe.project(trained, recipe.encode_x(trained, batch["images"]))
    assert torch.allclose(recipe.loss(trained, state, alike), recipes.one_way(z, z, 0.2))


def test_supervised_loss_is_the_cross_entropy():
    recipe = encoders.get("supervised", batch=20)
    trained, state, batch = one_run(recipe)
    z = recipe.encode_x(trained, recipes.viewed(batch, (8, 8))[:, 0])[0]
    logits = z @ trained["classifier.0.weight"][0] + trained["classifier.0.bias"][0]
    losses = [
        log_sum_exp(row.tolist()) - row[c].item() for row, c in zip(logits, batch["classes"][0], strict=True)
    ]
    assert recipe.loss(trained, state, batch).item() == pytest.approx(np.mean(losses))


# ---- What gradients reach


def gradients(recipe, trained, state, batch):
    for value in (*trained.values(), *state.values()):
        value.requires_grad_()
    recipe.loss(trained, state, batch).sum().backward()
    return [{key for key, value in side.items() if value.grad is not None} for side in (trained, state)]


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_all_that_is_trained_and_nothing_that_is_carried(name):
    recipe = encoders.get(name, batch=8)
    trained, state, batch = one_run(recipe)
    reached, beside = gradients(recipe, trained, state, batch)
    assert reached == set(trained)
    assert beside <= {"queue"}
    if name == "moco":  # the engine never asks for the queue's gradient; its keys are no function of theta
        assert set(state) > {"queue"}


def test_the_stop_gradient():
    """With it the gradient is that of the loss with targets held; without, of targets that move too."""
    grads = {}
    for name in ("simsiam", "simsiam[stop_gradient=false]"):
        recipe = encoders.get(name, batch=8)
        trained, state, batch = one_run(recipe)
        gradients(recipe, trained, state, batch)
        grads[name] = trained["head.1.weight"].grad.clone()
    recipe = encoders.get("simsiam", batch=8)
    trained, state, batch = one_run(recipe)
    weight = trained["head.1.weight"]
    held = recipe.projections(trained, recipes.two_views(trained, batch))

    def loss(moved):
        seen = recipe.projections(trained | {"head.1.weight": moved}, recipes.two_views(trained, batch))
        return (recipe.both_ways(trained, seen, held) / 2 - 1).item()

    step = torch.zeros_like(weight)
    step[0, 3, 4] = 1e-6
    slope = (loss(weight + step) - loss(weight - step)) / 2e-6
    assert grads["simsiam"][0, 3, 4].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)
    assert not torch.allclose(*grads.values(), rtol=1e-3)


# ---- What is carried


def test_the_queue_is_first_in_first_out():
    recipe = encoders.get("moco", batch=4, queue=10, momentum=0.5)
    trained, state, batch = one_run(recipe)
    before = {key: value.clone() for key, value in state.items()}
    trained = {key: value + 1 for key, value in trained.items()}
    keys = recipe.project(before, recipe.encode_x(before, recipes.two_views(trained, batch)[1]))
    recipe.after_step(trained, state, batch)
    assert torch.equal(state["queue"][:, :6], before["queue"][:, 4:])
    assert torch.allclose(state["queue"][:, 6:], keys)
    for key in set(state) - {"queue"}:
        assert torch.allclose(state[key], before[key] + 0.5)
    assert "offset" in " ".join(state)


def test_the_copy_follows():
    recipe = encoders.get("byol", momentum=0.9)
    trained, state, batch = one_run(recipe)
    assert {key.partition(".")[0] for key in state} == {"encoder", "head"}
    assert all(torch.equal(state[key], trained[key]) for key in state)
    before = {key: value.clone() for key, value in state.items()}
    moved = {key: value + 2 for key, value in trained.items()}
    recipe.after_step(moved, state, batch)
    assert all(torch.allclose(state[key], before[key] + 0.2) for key in state)


# ---- Packs


def specs(name, seeds, **options):
    choice, chosen = encoders.registry.choose(name, **options), tasks.registry.choose("digits")
    return [EncoderSpec(choice, chosen, seed) for seed in seeds]


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_in_a_pack_is_the_run_alone(name):
    few = {"steps": 4, "batch": 16, **({"queue": 20} if name == "moco" else {})}
    together = train_encoders(specs(name, [0, 1, 5], **few), CPU)
    (alone,) = train_encoders(specs(name, [1], **few), CPU)
    assert set(alone.parameters) == set(together[1].parameters)
    recipe, pixels = encoders.get(name), source().images(200, generator())[None]
    z, other = (
        recipe.encode_x({key: value[None] for key, value in made.parameters.items()}, pixels)
        for made in (alone, together[1])
    )
    # Adam's first steps make a gradient's sign of it, so rounding counts where a gradient is nearly 0.
    assert (z - other).std().item() < 0.002 * z.std().item()
    for key, value in alone.state.items():
        assert torch.allclose(together[1].state[key], value, atol=1e-3), key


@pytest.mark.parametrize("name", TRAINED)
def test_losses_of_a_pack_are_those_of_its_runs_on_the_same_data(name):
    recipe = encoders.get(name, batch=8)
    runs = [one_run(recipe, seed) for seed in (0, 10, 20)]
    stacked = [{k: torch.cat([run[i][k] for run in runs]) for k in runs[0][i]} for i in range(3)]
    losses = recipe.loss(*stacked)
    for place, run in enumerate(runs):
        assert losses[place].item() == pytest.approx(recipe.loss(*run).item(), abs=1e-10)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_run_that_is_not_finite_leaves_the_others(name, dtype):
    recipe = encoders.get(name, batch=8)
    runs = [one_run(recipe, seed) for seed in (0, 10, 20)]

    def losses_and_gradients(broken):
        sides = [{k: torch.cat([run[i][k] for run in runs]) for k in runs[0][i]} for i in range(3)]
        trained, state, batch = (
            {k: v.to(dtype) if v.is_floating_point() else v for k, v in side.items()} for side in sides
        )
        if broken:
            trained["encoder.0.kernel"][1] = math.nan
            trained["encoder.weight"][1] = math.inf
        for value in trained.values():
            value.requires_grad_()
        loss = recipe.loss(trained, state, batch)
        loss.sum().backward()
        with torch.no_grad():
            recipe.after_step(trained, state, batch)
        return loss.detach(), {key: value.grad for key, value in trained.items()}, state

    (loss, grads, kept), (broken, broken_grads, broken_kept) = map(losses_and_gradients, (False, True))
    assert not broken[1].isfinite()
    for place in (0, 2):
        assert torch.equal(broken[place], loss[place])
        assert all(torch.equal(broken_grads[key][place], grads[key][place]) for key in grads)
        assert all(torch.equal(broken_kept[key][place], kept[key][place]) for key in kept)


def test_one_that_diverges_leaves_its_pack(monkeypatch):
    simclr = type(encoders.get("simclr"))
    initialise = simclr.initialise

    def broken(self, source, feed):
        found = initialise(self, source, feed)
        if feed.initial_seed() == stream("encoder weights", chosen[1].task.identity, 1).initial_seed():
            found["encoder.weight"][0] = math.inf
        return found

    few = {"steps": 3, "batch": 16}
    chosen = specs("simclr", [0, 1, 2], **few)
    sound = train_encoders(chosen, CPU)
    monkeypatch.setattr(simclr, "initialise", broken)
    made = train_encoders(chosen, CPU)
    assert [bool(one.message) for one in made] == [False, True, False]
    assert "step 1" in made[1].message
    assert all(torch.equal(value, sound[2].parameters[key]) for key, value in made[2].parameters.items())
    assert represent(tasks.registry.choose("digits"), made[1]).pair is None


# ---- The network and the views


@pytest.mark.parametrize("shape", [(4, 4), (5, 9), (8, 8), (28, 28)])
def test_the_network_takes_images_of_any_shape(shape):
    parameters = {k: v[None] for k, v in convolutional("net", torch.zeros(shape), 7, generator()).items()}
    pixels = torch.rand(1, 3, shape[0] * shape[1], generator=generator())
    assert convolve(parameters, "net", pixels).shape == (1, 3, 7)
    assert parameters["net.weight"].shape[1] == feature_count(*shape)


def test_the_network_is_torchs(generator):
    mean = torch.rand(5, 6, generator=generator)
    parameters = {k: v[None].double() for k, v in convolutional("net", mean, 7, generator).items()}
    for key in parameters:
        if key.endswith("bias"):
            parameters[key] = rows(*parameters[key].shape)
    pixels = rows(1, 4, 30)
    maps = pixels.view(4, 1, 5, 6) - mean
    for layer, (fewer, more, stride) in enumerate([(1, 16, 1), (16, 32, 2), (32, 64, 2)]):
        kernel = parameters[f"net.{layer}.kernel"].view(more, fewer, 3, 3)
        conv = torch.nn.Conv2d(fewer, more, 3, stride, 1, dtype=torch.float64)
        conv.weight.data, conv.bias.data = kernel, parameters[f"net.{layer}.bias"].view(-1)
        maps = conv(maps).relu()
    expected = maps.flatten(1) @ parameters["net.weight"][0] + parameters["net.bias"][0]
    assert torch.allclose(convolve(parameters, "net", pixels)[0], expected)


def test_standardisation_is_each_runs_own():
    inputs = rows(2, 50, 3) * torch.tensor([1.0, 100.0])[:, None, None] + 7
    out = standardised(inputs)
    assert out.mean(1).abs().max().item() < 1e-10
    assert out.std(1, correction=0).sub(1).abs().max().item() < 1e-4
    assert torch.equal(standardised(inputs[1:])[0], out[1])


def test_views_without_noise_and_pose_are_the_images():
    pixels = torch.rand(2, 5, 24, generator=generator())
    batch = {"images": pixels, "pose": torch.zeros(2, 3, 5, 4), "noise": torch.zeros(2, 3, 5, 24)}
    views = recipes.viewed(batch, (4, 6))
    assert torch.allclose(views, pixels[:, None].expand_as(views), atol=1e-5)
    batch["pose"][0, 0, 0, 2] = 1  # a shift by an eighth of the side, along a row
    moved = recipes.viewed(batch, (4, 6))
    assert not torch.allclose(moved[0, 0, 0], views[0, 0, 0], atol=1e-2)
    batch["pose"][0, 0, 0, 2] = 0
    assert torch.equal(moved.flatten(0, 2)[1:], views.flatten(0, 2)[1:])


# ---- What bad input gets


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simclr[temperature=0]", "temperature of 'simclr' must be positive"),
        ("moco[temperature=-1]", "temperature"),
        ("simcse[temperature=0]", "temperature"),
        ("simcse[dropout=0]", "dropout"),
        ("simcse[dropout=1]", "dropout"),
        ("moco[queue=64]", "queue of 64 keys does not hold a batch of 128"),
        ("moco[queue=0]", "queue"),
        ("moco[momentum=1]", "momentum"),
        ("byol[momentum=-0.1]", "momentum"),
        ("random[dim=0]", "dim"),
        ("supervised[batch=0]", "batch"),
        ("byol[dim=0]", "dim"),
        ("simsiam[lr=0]", "lr"),
        ("simclr[steps=-1]", "steps"),
        ("simsiam[stop_gradient=maybe]", "stop_gradient"),
    ],
)
def test_bad_options(name, words):
    with pytest.raises(mibench.UsageError, match=words):
        encoders.get(name)


def test_a_batch_of_more_than_there_are_images():
    recipe = encoders.get("simclr", batch=720)
    with pytest.raises(mibench.UsageError, match="719 images"):
        recipe.check(tasks.get("digits"))
    with pytest.raises(mibench.UsageError, match="images"):
        recipe.check(tasks.get("cpc"))
    encoders.get("simclr", batch=719).check(tasks.get("digits"))


# ---- What they are good for


def test_steps_0_is_the_random_encoder():
    (random,) = train_encoders(specs("random", [3]), CPU)
    (simclr,) = train_encoders(specs("simclr", [3], steps=0), CPU)
    assert all(torch.equal(simclr.parameters[key], value) for key, value in random.parameters.items())


@pytest.mark.parametrize("name", NAMES)
def test_intervals_are_in_order_and_the_pair_is_deterministic(name):
    few = {} if name == "random" else {"steps": 5}
    (made,) = train_encoders(specs(name, [0], **few), CPU)
    (again,) = train_encoders(specs(name, [0], **few), CPU)
    for options in ({"p": 0.0}, {"mi": 4.0}):
        choice, task = tasks.registry.choose("digits", **options), tasks.get("digits", **options)
        found = represent(choice, made)
        assert found.message == ""
        truth = found.pair.truth
        assert 0 <= truth.low <= truth.high == task.true_mi_nats
        assert found.pair.dims == Dims(task.tiles * 32, task.tiles * 32)
        assert dict(represent(choice, again).facts) == dict(found.facts)
        assert {"alignment", "uniformity", "probe_accuracy", "effective_rank"} <= set(found.facts)
        if (ceiling := found.facts.get("encoder_ceiling_nats")) is not None:
            assert found.facts["encoder_nats"] <= ceiling


MEASURED = ("random", "supervised", "simclr", "byol", "simsiam", "simsiam[stop_gradient=false]")


@pytest.fixture(scope="module")
def measured():
    """Return what recipes make of three seeds at m = 1, p = 0, with how far directions spread."""
    full = tasks.registry.choose("digits", m=1, p=0.0)
    return {
        name: [(represent(full, made), spread(made)) for made in train_encoders(specs(name, range(3)), CPU)]
        for name in MEASURED
    }


def spread(made):
    """Return how far directions spread, in the representation of images or in what the loss compares."""
    recipe = encoders.registry.make(made.spec.encoder)
    parameters = {key: value[None] for key, value in made.parameters.items()}
    sides = [
        recipe.encode_x(parameters, source().images(500, generator())[None]),
        recipe.compared(source(), parameters, generator()),
    ]
    return min(direction_spread(side[0].double()) for side in sides if side is not None)


def nearest_class_mean():
    """Return the class-balanced accuracy of the nearest class mean on pixels, train to test."""
    found = load(None)
    inside = found.train.pixels.std(0) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pixels that are always 0 within a class
        nearest = NearestCentroid().fit(found.train.pixels[:, inside].numpy(), found.train.classes.numpy())
    hit = torch.from_numpy(nearest.predict(found.test.pixels[:, inside].numpy())) == found.test.classes
    return np.mean([hit[found.test.classes == c].double().mean().item() for c in range(10)])


@pytest.mark.slow
def test_simclr_beats_an_untrained_network_and_the_nearest_class_mean(measured):
    simclr, random = (
        [found.facts["probe_accuracy"] for found, _ in measured[name]] for name in ("simclr", "random")
    )
    assert min(simclr) > nearest_class_mean()
    assert min(simclr) > max(random)


@pytest.mark.slow
def test_the_supervised_interval_is_narrow(measured):
    for found, _ in measured["supervised"]:
        truth = found.pair.truth
        assert truth.high == pytest.approx(math.log(10))
        assert truth.high - truth.low < 0.3


@pytest.mark.slow
def test_only_what_has_no_stop_gradient_collapses_and_others_are_far_from_it(measured):
    for name in MEASURED:
        for found, far in measured[name]:
            collapsed = name == "simsiam[stop_gradient=false]"
            assert ("collapsed" in found.message) is collapsed
            assert (found.pair is None) is collapsed
            assert "effective_rank" in found.facts
            assert far < COLLAPSED / 2 if collapsed else far > 10 * COLLAPSED


@pytest.mark.slow
def test_a_collapsed_encoder_makes_failed_records(tmp_path):
    frame = mibench.run(
        estimator=["infonce", "nwj"],
        task="digits",
        encoder="simsiam[stop_gradient=false]",
        seeds=1,
        steps=20,
        n=16,
        out=tmp_path,
    )
    assert set(frame["status"]) == {"failed"}
    assert frame["message"].str.contains("collapsed").all()
    assert frame["estimate_nats"].isna().all()
