"""A linear probe, and what two probes' predictions know of each other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_ITERATIONS = 5000


def predictions(train: Tensor, classes: Tensor, test: Tensor) -> Tensor:
    """Return the classes that a probe predicts for rows `test`, (rows).

    It is logistic regression (L2 penalty 1/2 |w|^2 a weight) on coordinates standardised over `train`, whose
    classes have equal weight.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = train.mean(0), train.std(0)
    scale = torch.where(deviation > 0, deviation, 1.0)
    probe = LogisticRegression(max_iter=MOST_ITERATIONS, class_weight="balanced")
    probe.fit(((train - mean) / scale).numpy(), classes.numpy())
    predicted: Tensor = torch.from_numpy(probe.predict(((test - mean) / scale).numpy()).astype(np.int64))
    return predicted


def confusion(predicted: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return q(predicted | class), (class, predicted): fractions of the rows of each class, in float64."""
    table = torch.zeros(count, count, dtype=torch.float64)
    table.index_put_((classes, predicted), torch.ones(len(classes), dtype=torch.float64), accumulate=True)
    return table / table.sum(1, keepdim=True)


def table_information(joint: Tensor) -> float:
    """Return the mutual information in nats of a joint table p(a, b), (A, B) in float64."""
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    terms = torch.where(joint > 0, joint * (joint / product).log(), 0.0)
    return max(0.0, terms.sum().item())
