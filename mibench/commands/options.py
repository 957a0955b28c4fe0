"""Options that several commands have: the grid, where it runs, and where its records go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Tasks = Annotated[
    list[str],
    typer.Option("--task", "-t", metavar="NAMES", help="Tasks with known true MI, such as cpc[horizon=1|4]."),
]
Dim = Annotated[
    list[str] | None,
    typer.Option("--dim", "-d", metavar="NUMBERS", help="Coordinates of x and y. [default: the task's own]"),
]
Mi = Annotated[
    list[str] | None,
    typer.Option(
        "--mi",
        metavar="NUMBERS",
        help="True MI in nats. [default: 2,4,6,8,10 for gaussian and cubic, else the task's own]",
    ),
]
Rho = Annotated[
    list[str] | None,
    typer.Option("--rho", metavar="NUMBERS", help="Correlation of each coordinate, in place of --mi."),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="PATHS", help="Files of one's own labelled images, for task digits (.npz)."
    ),
]
Encoders = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="NAMES",
        help="What stands between task and critic, such as simclr[temperature=0.1|0.5] (two values, two "
        "encoders), or none. [default: the task's own]",
    ),
]
Critics = Annotated[
    list[str] | None,
    typer.Option(
        "--critic",
        "-c",
        metavar="NAMES",
        help="Critics: separable, bilinear, joint, embedding. [default: the task's own; most: separable]",
    ),
]
Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        "-p",
        metavar="NAMES",
        help="stream: fresh data at each step; staircase: the papers', --mi climbed by one critic; "
        "samples: a fixed data set with early stopping. [default: stream]",
    ),
]
SampleSizes = Annotated[
    list[str] | None,
    typer.Option("--samples", metavar="NUMBERS", help="Sizes of a fixed data set: protocol samples."),
]
Steps = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        help="Training steps. [default: 1000; 4000 a level on the staircase; at most 2000 on samples]",
    ),
]
LearningRate = Annotated[
    str | None,
    typer.Option(
        "--lr",
        metavar="NUMBER",
        help="Learning rate: the peak of one-cycle [default: 0.002], or constant [default: 0.0005].",
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="one-cycle, or constant as in the papers. [default: one-cycle on the stream, else constant]",
    ),
]
Precision = Annotated[str, typer.Option(metavar="NAME", help="float32, float64, or tf32 on CUDA.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:1.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FOLDER", envvar="MIBENCH_OUT", help="Folder for records, tables, figures."
    ),
]
Rerun = Annotated[
    str,
    typer.Option(
        metavar="WHICH",
        help="never: repeat no finished run (failed ones are tried again); "
        "failed: only those that failed before; all: everything.",
    ),
]
Unit = Annotated[str, typer.Option(metavar="NAME", help="nats or bits, for the table and the figures.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")]


def sizes(default: str) -> typer.models.OptionInfo:
    """Return the option -n with its default in words."""
    option: typer.models.OptionInfo = typer.Option(
        "-n", metavar="NUMBERS", help=f"Sizes of the score matrix. [default: {default}]"
    )
    return option


def seed_count(default: int) -> typer.models.OptionInfo:
    """Return the option --seeds with its default in words."""
    option: typer.models.OptionInfo = typer.Option(
        "--seeds", metavar="COUNT", help=f"How many seeds, or which: 0:8, or a list. [default: {default}]"
    )
    return option
