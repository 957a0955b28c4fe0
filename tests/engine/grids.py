"""Small grids for the engine's tests, and how they end."""

import itertools

import torch

from mibench import estimators, models, tasks
from mibench.engine.backends.base import execute
from mibench.engine.backends.local import Local
from mibench.engine.jobs import PackJob
from mibench.engine.plan import Pack, packs
from mibench.engine.protocols import registry as protocols
from mibench.spec import DEFAULT_LEARNING_RATE, Fit, grid

CPU = torch.device("cpu")
LARGE = 2**40

MODELS = {
    "critic": "separable[hidden=16,embedding=4]",
    "conditional": "gaussian-mlp[hidden=16]",
    "denoiser": "noise-mlp[hidden=16]",
}


def specs(
    names="infonce",
    mis=(2.0, 6.0),
    ns=(8,),
    seeds=(0,),
    model=None,
    protocol="stream",
    task="gaussian",
    steps=50,
    lr=None,
    schedule="one-cycle",
    precision="float64",
    **options,
):
    """Return the runs of estimators on a task, by default a Gaussian of 4 coordinates, at every true MI."""
    if task == "gaussian":
        options = {"dim": 4, **options}
    chosen = [tasks.registry.choose(task, mi=mi, **options) for mi in mis] or [
        tasks.registry.choose(task, **options)
    ]
    rate = DEFAULT_LEARNING_RATE[schedule] if lr is None else lr
    settings = []
    for name, one in itertools.product(names.split(), chosen):
        estimator = estimators.registry.choose(name)
        objective = estimators.get(name).objective
        fit = None
        if objective is not None:
            own = models.registry.choose(model or MODELS[objective.model])
            fit = Fit(own, steps, rate, schedule, precision)
        settings.append((estimator, one, None, fit))
    return grid(settings, protocols.choose(protocol), ns, seeds)


def pack_of(specs_):
    """Return one pack of runs that all have a training of their own."""
    return Pack(tuple((spec,) for spec in specs_))


def jobs(specs_, budget=LARGE):
    """Return the jobs in which runs are done, each within a budget of memory."""
    return [PackJob(pack.trainings, pack.source) for pack in packs(specs_, budget)]


def outcomes(specs_, budget=LARGE, backend=None, device=CPU):
    """Return how each run ends."""
    done = execute(jobs(specs_, budget), backend or Local(), device)
    return {outcome.spec: outcome for part in done for outcome in part}
