"""The command line. Data go to stdout, talk goes to stderr; the commands are in `mibench.commands`."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from mibench import __version__
from mibench.commands import names
from mibench.commands.check import check
from mibench.commands.compare import compare
from mibench.commands.estimate import estimate
from mibench.commands.report import report
from mibench.commands.reproduce import reproduce
from mibench.commands.run import run
from mibench.commands.validate import validate
from mibench.commands.watch import watch
from mibench.process import keep_freed_memory

app = typer.Typer(
    name="mibench",
    help="Benchmark mutual-information estimators on tasks whose true mutual information is known.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command(epilog="Example: mibench run -e infonce,nwj --mi 2,4,6 -n 16,64 --critic joint --out here")(run)
app.command(epilog="Example: mibench compare infonce nwj js smile --mi 2,4,6 --out here")(compare)
app.command(epilog="Example: mibench reproduce song-ermon-2020 --critic separable --only infonce,smile")(
    reproduce
)
app.command(
    epilog="Example: mibench check --save baseline.json, and later mibench check --baseline baseline.json"
)(check)
app.command(epilog="Example: mibench report results -o report.html")(report)
app.command(epilog="Example: mibench estimate data.csv --x 'x_*' --y y_0,y_1")(estimate)
app.command(epilog="Example: mibench validate nwj my_package.estimators:MyEstimator")(validate)
app.command(epilog="Example: mibench watch results")(watch)
app.command("list")(names.list_names)
app.command()(names.describe)
app.command()(names.info)


def main() -> None:
    """Run the command line."""
    keep_freed_memory()
    # As Ctrl-C does: workers end, and what the process has left in a store is removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    app()


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


if __name__ == "__main__":
    main()
