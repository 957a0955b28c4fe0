"""Independent float64 versions of what the package computes: plain loops, no shared code."""

import math
from fractions import Fraction


def positives(scores):
    return [scores[i][i] for i in range(len(scores))]


def negatives(scores):
    n = len(scores)
    return [scores[i][j] for i in range(n) for j in range(n) if i != j]


def mean(values):
    return math.fsum(values) / len(values)


def infonce(scores):
    n = len(scores)
    rows = [scores[i][i] - math.log(mean([math.exp(s) for s in scores[i]])) for i in range(n)]
    return mean(rows)


def donsker_varadhan(scores):
    return mean(positives(scores)) - math.log(mean([math.exp(s) for s in negatives(scores)]))


def nwj(scores):
    data = mean([s - 1 for s in positives(scores)])
    return 1 + data - mean([math.exp(s - 1) for s in negatives(scores)])


def nce_objective(scores, k):
    n = len(scores)

    def log_sigmoid(z):
        return -math.log1p(math.exp(-z))

    data = mean([log_sigmoid(s - math.log(k)) for s in positives(scores)])
    noise = [log_sigmoid(math.log(k) - scores[i][(i + m) % n]) for i in range(n) for m in range(1, k + 1)]
    return data + k * mean(noise)


def softplus(z):
    return math.log1p(math.exp(z))


def jensen_shannon(scores):
    data = mean([-softplus(-s) for s in positives(scores)])
    return data - mean([softplus(s) for s in negatives(scores)])


def js(scores):
    return nwj([[s + 1 for s in row] for row in scores])


def tuba(scores):
    return 1 + mean(positives(scores)) - mean([math.exp(s) for s in negatives(scores)])


def interpolated(scores, alpha):
    """The baseline is 1: scores are f - log q(y)."""
    n = len(scores)
    joint = []
    for j in range(n):
        own = mean([math.exp(scores[i][j]) for i in range(n)])
        joint.append(math.log(math.exp(scores[j][j]) / (alpha * own + 1 - alpha)))
    product = []
    for j in range(n):
        others = [math.exp(scores[i][j]) for i in range(n) if i != j]
        product += [one / (alpha * mean(others) + 1 - alpha) for one in others]
    return 1 + mean(joint) - mean(product)


def smile(scores, tau):
    clipped = [min(max(math.exp(s), math.exp(-tau)), math.exp(tau)) for s in negatives(scores)]
    return mean(positives(scores)) - math.log(mean(clipped))


def eliminated(rows, size):
    """The determinant of the first `size` columns of rows, and the others times their inverse; Fractions."""
    rows, found = [list(row) for row in rows], Fraction(1)
    for i in range(size):
        found *= rows[i][i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [value - rows[j][i] * pivot for value, pivot in zip(rows[j], rows[i], strict=True)]
    return found, [row[size:] for row in rows]


def determinant(matrix):
    return eliminated(matrix, len(matrix))[0]


def log(fraction):
    """The logarithm of a Fraction whose numerator and denominator may be beyond floats."""
    return math.log(fraction.numerator) - math.log(fraction.denominator)
