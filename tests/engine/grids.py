"""Small grids for the engine's tests."""

from mibench import encoders, estimators, protocols, tasks
from mibench.engine.plan import Pack
from mibench.models import critics
from mibench.spec import grid


def pack_of(specs_):
    """Return one pack of runs that all have a training of their own."""
    return Pack(tuple((spec,) for spec in specs_))


def specs(
    names="infonce",
    mis=(2.0, 6.0),
    ns=(8,),
    seeds=(0,),
    critic="separable[hidden=16,embedding=4]",
    protocol="stream",
    dim=4,
    steps=50,
    lr=None,
    schedule="one-cycle",
    precision="float64",
):
    return grid(
        estimators=[estimators.registry.choose(name) for name in names.split()],
        sources=[
            (
                tasks.registry.choose("gaussian", dim=dim, mi=mi),
                encoders.registry.choose("none"),
                critics.registry.choose(critic),
            )
            for mi in mis
        ],
        protocols=[protocols.registry.choose(protocol)],
        ns=ns,
        seeds=seeds,
        steps=steps,
        lr=lr,
        schedule=schedule,
        precision=precision,
    )
