"""Small grids for the engine's tests."""

from mibench import critics, estimators, tasks
from mibench.spec import grid


def specs(
    names="infonce",
    mis=(2.0, 6.0),
    ns=(8,),
    seeds=(0,),
    critic="separable[hidden=16,embedding=4]",
    dim=4,
    steps=50,
    lr=None,
    schedule="one-cycle",
    precision="float64",
):
    return grid(
        estimators=[estimators.registry.choose(name) for name in names.split()],
        tasks=[tasks.registry.choose("gaussian", dim=dim, mi=mi) for mi in mis],
        critics=[critics.registry.choose(critic)],
        ns=ns,
        seeds=seeds,
        steps=steps,
        lr=lr,
        schedule=schedule,
        precision=precision,
    )
