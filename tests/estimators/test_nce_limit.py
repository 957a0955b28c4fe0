"""As k grows, NCE's gradient tends to that of maximum likelihood (Mnih & Teh 2012, arXiv 1206.6426)."""

import torch

from mibench import estimators

# A variable with three values; data p, noise q, in quarters, so that finite samples can have them exactly.
P = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
Q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
DATA = torch.tensor([0, 1, 2, 2])
NOISE = torch.tensor([0, 0, 1, 2])
# A normalised model that is not the truth: sum_v q(v) exp(f(v)) = 1.
F = torch.tensor([0.5, 1.8, 1.2], dtype=torch.float64).log()


def scores_with_exact_frequencies(f, k):
    """One matrix for each datum: its value on the diagonal, k noise values in exact proportion beside it."""
    noise = NOISE.repeat(k // len(NOISE))
    rows = []
    for i in range(k + 1):
        row = torch.empty(k + 1, dtype=torch.long)
        row[torch.arange(k + 1) != i] = noise
        row[i] = -1
        rows.append(row)
    index = torch.stack(rows).expand(len(DATA), -1, -1).clone()
    index[:, torch.arange(k + 1), torch.arange(k + 1)] = DATA[:, None]
    return f[index]


def gradient(name, k):
    f = F.clone().requires_grad_()
    estimators.get(name).objective.of(scores_with_exact_frequencies(f, k), {}).mean().backward()
    return f.grad


def test_the_model_is_normalised_and_wrong():
    assert torch.isclose((Q * F.exp()).sum(), torch.tensor(1.0, dtype=torch.float64))
    assert not torch.allclose(Q * F.exp(), P)


def test_gradient_tends_to_that_of_maximum_likelihood():
    likelihood = P - Q * F.exp()  # d/df(v) of E_p log p_f with p_f = q exp(f)
    ks = (4, 16, 64, 256)
    distances = [(gradient("nce", k) - likelihood).norm().item() for k in ks]
    for nearer, farther in zip(distances[1:], distances, strict=False):
        assert nearer < farther / 3  # the difference is of order 1/k
    assert distances[-1] < 0.01


def test_the_truth_is_stationary_at_every_k():
    for k in (4, 16):
        f = (P / Q).log().requires_grad_()
        estimators.get("nce").objective.of(scores_with_exact_frequencies(f, k), {}).mean().backward()
        assert torch.allclose(f.grad, torch.zeros_like(f.grad), atol=1e-12)
