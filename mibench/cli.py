"""The command line: parse, call `mibench.api`, render. Data go to stdout, talk goes to stderr."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from mibench import __version__
from mibench.errors import StoreWarning, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from mibench.api import Plan
    from mibench.registry import Registry
    from mibench.spec import RunSpec

P = ParamSpec("P")

FINE, ANSWERED_NO, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="mibench",
    help="Benchmark mutual-information estimators on tasks whose true mutual information is known.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Run the command line."""
    app()


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into two lines and status 2, and Ctrl-C into status 130."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a library's warning says nothing to its user's users
                warnings.simplefilter("always", StoreWarning)
                warnings.showwarning = _show_warning
                command(*args, **kwargs)
        except UsageError as error:
            if kwargs.get("debug"):
                raise
            say(f"Error: {error.what}", f"{error.how}")
            raise typer.Exit(BAD_USAGE) from None
        except OSError as error:
            if kwargs.get("debug"):
                raise
            where = f" {error.filename!r}" if error.filename else ""
            say(f"Error: cannot read or write{where}: {error.strerror}.", "Give another --out folder.")
            raise typer.Exit(BAD_USAGE) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def say(*lines: str) -> None:
    """Write lines to stderr."""
    for line in lines:
        typer.echo(line, err=True)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"Warning: {message}")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mibench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Benchmark mutual-information estimators on tasks whose true mutual information is known."""


@app.command(epilog="Example: mibench run -e infonce,nwj --mi 2,4,6 -n 16,64 --critic joint --out my-results")
@explained
def run(
    estimator: Annotated[
        list[str],
        typer.Option("--estimator", "-e", metavar="NAMES", help="Estimators, such as infonce or nce[k=5]."),
    ] = ["infonce"],  # noqa: B006 - Typer copies it
    task: Annotated[
        list[str], typer.Option("--task", "-t", metavar="NAMES", help="Tasks with known true MI.")
    ] = [  # noqa: B006
        "gaussian"
    ],
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", "-d", metavar="NUMBERS", help="Coordinates of x and of y. [default: 20]"),
    ] = None,
    mi: Annotated[
        list[str] | None,
        typer.Option("--mi", metavar="NUMBERS", help="True MI in nats. [default: 2,4,6,8,10]"),
    ] = None,
    rho: Annotated[
        list[str] | None,
        typer.Option("--rho", metavar="NUMBERS", help="Correlation of each coordinate, in place of --mi."),
    ] = None,
    n: Annotated[
        list[str] | None,
        typer.Option("-n", metavar="NUMBERS", help="Sizes of the score matrix. [default: 16,32,64,128]"),
    ] = None,
    critic: Annotated[
        list[str],
        typer.Option("--critic", "-c", metavar="NAMES", help="Critics: separable, bilinear, joint."),
    ] = ["separable"],  # noqa: B006
    steps: Annotated[str, typer.Option(metavar="NUMBER", help="Training steps.")] = "1000",
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            "--seeds",
            metavar="COUNT",
            help="How many seeds, or which: 0:8, or a list. [default: 3]",
        ),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Learning rate: the peak of one-cycle [default: 0.002], or constant [default: 0.0005].",
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="one-cycle, or constant as in the papers.")
    ] = "one-cycle",
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="float32, float64, or tf32 on CUDA.")
    ] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:1.")] = "auto",
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            envvar="MIBENCH_OUT",
            help="Folder for records, table, figures.",
        ),
    ] = Path("results"),
    rerun: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="never: repeat no finished run (failed ones are tried again); "
            "failed: only those that failed before; all: everything.",
        ),
    ] = "never",
    unit: Annotated[
        str, typer.Option(metavar="NAME", help="nats or bits, for the table and the figures.")
    ] = "nats",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    debug: Debug = False,
) -> None:
    """Run estimators on tasks, and show their bias against n, the exact critic and the ceiling.

    Every list is comma-separated or repeated; the grid is every combination. Finished runs stay in --out
    and are not run again. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench import api
    from mibench.results.record import to_frame
    from mibench.results.statistics import UNITS
    from mibench.results.store import Store

    api.one_of(rerun, "rerun", api.RERUN)
    api.one_of(unit, "unit", UNITS)
    planned = api.plan(
        estimator,
        task,
        dim=dim,
        mi=mi,
        rho=rho,
        n=n or api.DEFAULT_N,
        critic=critic,
        steps=steps,
        seeds=seeds or api.DEFAULT_SEEDS,
        lr=lr,
        schedule=schedule,
        precision=precision,
        device=device,
    )
    store = Store(out)
    known = store.load()
    selected = api.select(planned, known, rerun)
    if dry_run:
        _show_plan(planned, selected, as_json)
        return
    if selected:
        with store.writer() as writer:
            say(planned.device_message)
            try:
                with _progress(planned, selected, quiet) as report:
                    records = api.execute(planned, selected, known, writer.append, report)
            except KeyboardInterrupt:
                kept = len(planned.specs) - len(api.select(planned, store.load(), "never"))
                say(f"Interrupted. {kept} of {len(planned.specs)} runs are finished and kept in {out}.")
                say("The same command goes on from there.")
                raise typer.Exit(INTERRUPTED) from None
    elif rerun == "failed":
        records = api.execute(planned, selected, known)
        say("No run of this grid failed before, so nothing is run.")
    else:
        records = api.execute(planned, selected, known)
        say(f"{len(records)} of {len(planned.specs)} runs are finished in {out}, none is left to run.")
    frame = to_frame(records)
    if records:
        paths = api.write_tables(frame, out, unit)
        say(f"Written to {out}: {', '.join(path.name for path in paths)}")
    if records or as_json:
        _show_results(frame, unit, as_json)
    failures = [record for record in records if record.status != "ok"]
    for record in failures[:5]:
        say(
            f"{record.status}: {record.estimator}, true MI {record.true_mi_nats:g}, n = {record.n}, "
            f"seed {record.seed}: {record.message}"
        )
    if failures:
        say(f"{len(failures)} of {len(records)} runs failed.")
        raise typer.Exit(ANSWERED_NO)


@contextmanager
def _progress(planned: Plan, selected: list[RunSpec], quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the block runs; the bar counts estimated time."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if quiet:
        yield lambda work: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        total = sum(pack.work for pack in planned.packs(selected))
        task = bar.add_task(f"Training {len(selected)} critics", total=total)
        yield lambda work: bar.update(task, advance=work)


def _show_plan(planned: Plan, selected: list[RunSpec], as_json: bool) -> None:
    from mibench import api

    estimate = api.cost(planned, selected)
    if as_json:
        typer.echo(json.dumps(estimate))
        return
    typer.echo(planned.device_message)
    typer.echo(f"runs: {estimate['runs']} ({estimate['finished']} of the grid are left as they are)")
    typer.echo(f"packs: {estimate['packs']}, of up to {estimate['largest_pack']} runs")
    typer.echo(f"time: about {estimate['seconds']:.0f} s")
    typer.echo(
        f"memory: about {estimate['memory_mib']:.0f} MiB "
        f"({estimate['pack_mib']:.0f} MiB of it for the largest pack)"
    )


def _show_results(frame: pd.DataFrame, unit: str, as_json: bool) -> None:
    from mibench.results import tables
    from mibench.results.record import SCHEMA, to_json
    from mibench.results.statistics import in_unit, summarise

    summary = summarise(frame)
    if as_json:
        content = {
            "schema": SCHEMA,
            "records": to_json(frame),
            "summary": to_json(in_unit(summary, unit)),
        }
        typer.echo(json.dumps(content, allow_nan=False))
        return
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    shown = tables.table(summary, unit)
    grid = Table(
        box=box.SIMPLE_HEAD,
        title=shown.caption,
        caption="\n".join(shown.notes),
        pad_edge=False,
        collapse_padding=True,
    )
    for index, title in enumerate(shown.titles):
        grid.add_column(title, justify="left" if index == 0 else "right", no_wrap=True)
    for row in shown.rows:
        grid.add_row(*row)
    # A number is never cut: a table that is too wide for the terminal runs over.
    wide = Console().options.update(width=1000)
    natural = Measurement.get(Console(), wide, grid).maximum
    Console(highlight=False, width=natural).print(grid, markup=False)


@app.command("list")
@explained
def list_names(
    kind: Annotated[str, typer.Argument(help="estimators, tasks or critics")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the estimators, tasks or critics, those of installed plug-ins included."""
    registries = {f"{name}s": registry for name, registry in _registries().items()}
    if kind not in registries:
        raise unknown("kind", kind, registries, f"It is one of: {', '.join(registries)}.")
    entries = registries[kind].entries
    if as_json:
        rows = [{"name": e.name, "summary": e.summary, "origin": e.origin} for e in entries.values()]
        typer.echo(json.dumps(rows))
        return
    width = max(map(len, entries), default=0)
    for entry in entries.values():
        typer.echo(f"{entry.name:<{width}}  {entry.summary}")


@app.command()
@explained
def describe(
    name: Annotated[str, typer.Argument(help="An estimator, a task or a critic.")],
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Show the BibTeX entry alone.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Describe an estimator, a task or a critic: formula, ceiling, bias, options, reference."""
    from mibench.registry import describe_class, parse

    bare, _ = parse(name, "estimator, task or critic")
    registries = _registries()
    known = {entry: registry for registry in registries.values() for entry in registry.entries}
    if bare not in known:
        raise unknown("name", bare, known, "'mibench list estimators' (tasks, critics) shows all.")
    known[bare].choose(name)
    facts = describe_class(known[bare].kind, known[bare].load(bare))
    if bibtex:
        if "bibtex" not in facts:
            raise UsageError(f"{bare!r} has no BibTeX entry.", "Estimators have one.")
        typer.echo(facts["bibtex"])
    elif as_json:
        typer.echo(json.dumps(facts))
    else:
        _show_facts(facts)


def _show_facts(facts: dict[str, Any]) -> None:
    options = facts.pop("options")
    facts.pop("bibtex", None)
    typer.echo(f"{facts.pop('name')} ({facts.pop('kind')}): {facts.pop('summary')}")
    for key, value in facts.items():
        typer.echo(f"  {key + ':':<11} {value}")
    typer.echo("  options:" + ("" if options else "    none"))
    for option in options:
        typer.echo(f"    {option['name']}={option['default']}: {option['help']}")


@app.command()
@explained
def info(as_json: Json = False, debug: Debug = False) -> None:
    """Show versions, devices, threads and plug-ins."""
    from mibench import api

    facts = api.environment()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        items = value if isinstance(value, list) else [value]
        typer.echo(f"{key + ':':<12} {', '.join(map(str, items)) or 'none'}")


def _registries() -> dict[str, Registry[Any]]:
    from mibench import critics, estimators, tasks

    return {
        "estimator": estimators.registry,
        "task": tasks.registry,
        "critic": critics.registry,
    }


if __name__ == "__main__":
    main()
