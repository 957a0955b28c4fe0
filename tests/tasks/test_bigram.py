"""Bigrams: information, marginals and samples against the whole table of pairs."""

import math

import pytest
import torch

import mibench
from mibench import tasks
from mibench.batch import Dims
from mibench.models import critics


def table(task):
    words = torch.arange(task.vocabulary, dtype=torch.float64)[:, None]
    pointwise = task.log_density_ratio(words, words)
    return task.unigrams[:, None] * task.unigrams * pointwise.exp(), pointwise


@pytest.mark.parametrize("options", [{}, {"exponent": 0.0}, {"mi": 0.01}, {"topics": 3, "mi": 1.0}])
def test_information_is_that_of_the_whole_table(options):
    task = tasks.get("bigram", **{"vocabulary": 211, "topics": 7, "mi": 1.2, **options})
    joint, pointwise = table(task)
    assert joint.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.allclose(joint.sum(0), task.unigrams, atol=1e-14)
    assert torch.allclose(joint.sum(1), task.unigrams, atol=1e-14)
    assert (joint * pointwise).sum().item() == pytest.approx(task.true_mi_nats, abs=1e-10)


def test_extremes_are_independence_and_one_topic_told_by_the_other():
    nothing = tasks.get("bigram", vocabulary=50, topics=5, mi=0.0)
    assert torch.allclose(table(nothing)[1], torch.zeros(50, 50, dtype=torch.float64), atol=1e-12)
    most = nothing._information(0.0)
    shares = nothing._topic_shares
    assert most == pytest.approx(-(shares * shares.log()).sum().item(), abs=1e-12)
    all_told = tasks.get("bigram", vocabulary=50, topics=5, mi=most)
    joint, pointwise = table(all_told)
    assert all_told.mixing == 0
    assert joint.sum().item() == pytest.approx(1, abs=1e-12)
    assert pointwise.isneginf().any()


def test_samples_have_the_frequencies_of_the_table(generator):
    task = tasks.get("bigram", vocabulary=30, topics=4, mi=0.8)
    joint, _ = table(task)
    x, y = task.sample(300_000, generator)
    assert x.shape == y.shape == (300_000, 1)
    cells = x[:, 0].long() * 30 + y[:, 0].long()
    counts = torch.bincount(cells, minlength=900).double()
    expected = 300_000 * joint.flatten()
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert abs(chi_square - 899) < 4 * math.sqrt(2 * 899)


def test_a_large_vocabulary_needs_no_table_of_pairs(generator):
    task = tasks.get("bigram", vocabulary=50_000, topics=200, mi=3.0)
    x, y = task.sample(20_000, generator)
    ratios = torch.cat([task.log_density_ratio(x[i : i + 1], y[i : i + 1])[0] for i in range(2000)])
    error = ratios.std().item() / math.sqrt(2000)
    assert abs(ratios.mean().item() - 3.0) < 4 * error
    assert x.max() < 50_000


def test_embeddings_score_as_looked_up_one_by_one(generator):
    critic = critics.get("embedding", vocabulary=9, embedding=3)
    runs = [critic.initialise(Dims(1, 1, 9), generator, torch.float64) for _ in range(2)]
    parameters = {key: torch.stack([run[key] for run in runs]) for key in runs[0]}
    x = torch.tensor([[[0.0], [8], [3]], [[1], [1], [2]]])
    y = torch.tensor([[[5.0], [8], [0]], [[7], [4], [2]]])
    scores = critic.scores(parameters, x, y)
    for run in range(2):
        for i in range(3):
            for j in range(3):
                u = 3 * parameters["u"][run, int(x[run, i, 0])]
                v = 3 * parameters["v"][run, int(y[run, j, 0])]
                b = 3 * parameters["b"][run, int(y[run, j, 0]), 0]
                assert scores[run, i, j].item() == pytest.approx((u @ v + b).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mi": 9.0}, "entropy of its topics"),
        ({"mi": -0.1}, "between 0 and"),
        ({"vocabulary": 5}, "cannot have 20 topics"),
        ({"vocabulary": 2**20 + 1}, "1,048,576"),
        ({"exponent": -1.0}, "0 or more"),
        ({"exponent": 1000.0}, "no probability"),
    ],
)
def test_what_is_not_allowed(options, word):
    with pytest.raises(mibench.UsageError, match=word):
        tasks.get("bigram", **options)


def test_embeddings_and_words_belong_together():
    with pytest.raises(mibench.UsageError, match="takes tokens"):
        mibench.plan("nce", "gaussian", critic="embedding", device="cpu")
    with pytest.raises(mibench.UsageError, match=r"embedding\[vocabulary=2000\]"):
        mibench.plan("nce", "bigram[vocabulary=2000]", critic="embedding", device="cpu")
    with pytest.raises(mibench.UsageError, match="'joint' takes real numbers"):
        mibench.plan("nce", "bigram", critic="joint", device="cpu")
    planned = mibench.plan("nce", "bigram[vocabulary=2000]", device="cpu")
    assert {spec.fit.model.label for spec in planned.specs} == {"embedding[vocabulary=2000]"}


@pytest.mark.parametrize("name", ["mmg", "doe"])
def test_estimators_without_a_model_for_tokens_are_not_advised_to_take_one(name):
    with pytest.raises(mibench.UsageError, match="takes real numbers") as refused:
        mibench.plan(name, "bigram", device="cpu")
    assert refused.value.how == "Give an estimator with a critic, such as nce or infonce."
    with pytest.raises(mibench.UsageError, match="takes real numbers") as refused:
        mibench.plan("nce", "bigram", critic="joint", device="cpu")
    assert refused.value.how == "Give --critic embedding, or leave --critic out."


@pytest.mark.slow
def test_error_of_nce_falls_as_k_grows():
    frame = mibench.run("nce[k=1|4|16|64]", "bigram", n=128, seeds=3, device="cpu")
    assert (frame["status"] == "ok").all()
    for _, of_seed in frame.groupby("seed"):  # the same data for every k
        errors = of_seed["log_ratio_rmse_nats"].tolist()
        assert errors == sorted(errors, reverse=True)
    estimates = frame.groupby("estimator", sort=False)["estimate_nats"].mean().tolist()
    assert estimates == sorted(estimates)
    # The partition function stays near that of a normalised model, Z = 1.
    assert frame["log_partition_nats"].abs().max() < 0.1
