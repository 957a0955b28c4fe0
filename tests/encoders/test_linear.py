"""Linear encoders: the critic that trains them compared with loops, and what trained ones hold."""

import math

import pytest
import torch

import mibench
from mibench import encoders, estimators, tasks


def test_critic_is_the_quadratic_form(generator):
    task = tasks.get("linear-encoder", dim=4, rank=2)
    recipe = encoders.get("linear", dim=3, batch=5)
    runs = [recipe.initialise(task.pair(), generator) for _ in range(2)]
    trained = {key: torch.stack([run[key] for run in runs]).double() for key in runs[0]}
    x, y = (torch.randn(2, 5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    loss = recipe.loss(trained, {}, {"x": x, "y": y})
    for run in range(2):
        a, b, w, p, q = (trained[key][run] for key in "abwpq")
        scores = torch.zeros(5, 5, dtype=torch.float64)
        for i in range(5):
            for j in range(5):
                z, other = x[run, i] @ a, y[run, j] @ b
                scores[i, j] = z @ w @ other + z @ p @ z + other @ q @ other + trained["bias"][run, 0, 0]
        expected = -estimators.get("infonce").estimate(scores)
        assert loss[run].item() == pytest.approx(expected.item(), abs=1e-12)


def test_the_quadratic_critic_holds_the_exact_log_ratio(generator):
    """With W, P, Q and b of the density, the scores are the log density ratio of (Ax, By)."""
    task = tasks.get("linear-encoder", dim=3, rank=2, mi=1.0)
    recipe = encoders.get("linear", dim=2, batch=6)
    a, b = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    pair = task.represented(lambda x: x @ a.to(x), lambda y: y @ b.to(y), generator)
    xx, yy, xy = a.mT @ a, b.mT @ b, a.mT @ task._normal.core @ b
    inverse = torch.linalg.inv(torch.cat([torch.cat([xx, xy], 1), torch.cat([xy.mT, yy], 1)]))
    trained = {
        "a": a,
        "b": b,
        "w": -inverse[:2, 2:],
        "p": (torch.linalg.inv(xx) - inverse[:2, :2]) / 2,
        "q": (torch.linalg.inv(yy) - inverse[2:, 2:]) / 2,
        "bias": torch.full((1, 1), pair.truth.value, dtype=torch.float64),
    }
    trained = {key: value[None] for key, value in trained.items()}
    x, y = task.sample(6, generator, torch.float64)
    scores = recipe._scores(trained, {"x": x[None], "y": y[None]})[0]
    ratio = pair.log_ratio(x @ a, y @ b)
    assert torch.allclose(scores, ratio, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("linear[steps=-1]", "0 or more"),
        ("linear[lr=0]", "positive"),
        ("linear[batch=1]", "at least 2, not 1"),
        ("linear[objective=tuba]", "learns more than a critic"),
        ("linear[objective=infonse]", "Did you mean 'infonce'"),
    ],
)
def test_what_is_not_allowed(text, word):
    with pytest.raises(mibench.UsageError, match=word):
        encoders.get(text)


@pytest.mark.parametrize(
    ("task", "encoder", "word"),
    [
        ("linear-encoder[dim=5]", "linear", "wider than task 'linear-encoder', which has 5"),
        ("cubic", "linear", "No interval"),
    ],
)
def test_what_does_not_go_together_costs_nothing(task, encoder, word):
    with pytest.raises(mibench.UsageError, match=word):
        mibench.plan("infonce", task, encoder=encoder, device="cpu")


@pytest.mark.slow
def test_a_wide_enough_encoder_learns_all_and_says_more_than_log_n():
    frame = mibench.run(
        "infonce", "linear-encoder", encoder="linear[steps=0|500]", n=16, seeds=3, device="cpu"
    )
    assert (frame["status"] == "ok").all()
    assert (frame["true_mi_low_nats"] == frame["true_mi_high_nats"]).all()
    trained = frame[frame["encoder"] == "linear"]
    assert (trained["true_mi_low_nats"] > 0.97 * 6.0).all()
    assert (trained["true_mi_low_nats"] <= 6.0).all()
    assert (trained["estimate_nats"] < math.log(16)).all()
    assert trained["saturated"].all()
    untrained = frame[frame["encoder"] == "linear[steps=0]"]
    assert (untrained["true_mi_low_nats"] < 2.0).all()
    # The recipe's own estimate is a lower bound too, of the same representation.
    assert (trained["encoder_nats"] < trained["true_mi_low_nats"]).all()
    assert (trained["encoder_nats"] < math.log(256)).all()
