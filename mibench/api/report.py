"""A report of one or several results stores: gathered here, given its form in `mibench.reports.page`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from mibench import __version__, estimators
from mibench.analysis.cells import CELL, FIT, UNITS, summarise
from mibench.api.registries import REGISTRIES
from mibench.engine.plan import MOST_ROWS
from mibench.engine.read import TARGET_SE_NATS
from mibench.errors import StoreError, StoreWarning, UsageError
from mibench.grid import one_of
from mibench.options import describe_class, path_of
from mibench.reports.page import page, parts, texts
from mibench.reports.page.citations import Citations
from mibench.reports.page.content import About, Report
from mibench.reports.page.methods import methods
from mibench.reports.words import counted, listed
from mibench.store.record import Record, is_superseded, to_frame
from mibench.store.segments import AGREEMENT_NATS, Store, merge

_FORMS: dict[str, Callable[[Report], str]] = {"html": page.page, "md": texts.markdown, "tex": texts.latex}
FORMATS = tuple(_FORMS)


def report(
    *stores: Path | str, out: Path | str | None = None, format: str | None = None, unit: str = "nats"
) -> str:
    """Return a report of one or several results stores as text, and write it to `out` if that is given.

    Args:
        stores: folders that `mibench run` wrote.
        out: the file to write.
        format: "html", one page that needs nothing else; "md"; or "tex". By default what the name of `out`
            ends with, else "html".
        unit: "nats" or "bits".

    Raises:
        UsageError: a folder that is not a store or has no records, stores whose results disagree, a file that
            cannot be written.
    """
    path = None if out is None else path_of(out, "out")
    ending = path.suffix.removeprefix(".") if path else ""
    chosen = one_of(format or (ending if ending in FORMATS else "html"), "format", FORMATS)
    text = _FORMS[chosen](gather(stores, one_of(unit, "unit", UNITS), draw=chosen == "html"))
    if path is not None:
        _write(path, text)
    return text


def gather(stores: Sequence[Path | str], unit: str = "nats", draw: bool = True) -> Report:
    """Return the content of a report of some stores; figures are drawn only if wanted."""
    if not stores:
        raise UsageError("No results store is given.", "Give the folder of one, such as 'results'.")
    paths = [path_of(store, "A results store") for store in stores]
    folders = list({path.resolve(): path for path in paths}.values())
    records, notices = _agreed(folders)
    frame, repeated = _without_repetition(to_frame(records))
    summary, about = summarise(frame), _about(frame)
    citations = Citations(_own_bibtex())
    paragraphs = methods(frame, citations, about, unit, TARGET_SE_NATS, MOST_ROWS)
    return Report(
        title=parts.title(frame),
        lead=parts.lead(frame, summary, unit),
        notices=notices + repeated + _notices(frame, summary, about),
        facts=parts.facts(frame, summary, folders, unit),
        background=parts.makers(frame) + parts.failures(frame, unit),
        best=parts.best(summary),
        split_words=parts.split_words(summary),
        split=parts.split(summary, unit),
        drawings=parts.drawings(summary, unit) if draw else [],
        results=parts.results(summary, unit) + parts.representations(frame, unit),
        estimators=parts.formulas(frame, citations, about),
        methods=paragraphs,
        references=citations.references,
        version=__version__,
    )


def _about(frame: pd.DataFrame) -> About:
    """Return what is known of each class that was used; nothing of those that are not installed here."""
    found = {}
    for kind, registry in REGISTRIES.items():
        names = {choices[kind]["name"] for choices in frame["choices"] if choices[kind]}
        for name in names:
            with suppress(Exception):  # a broken package of others is one that is not there
                used = registry.load(name)
                found[kind, name] = describe_class(kind, name, used) | {
                    "methods": getattr(used, "methods", "")
                }
    return found


def _own_bibtex() -> list[str]:
    """Return the entries of all estimators of this package: tasks and encoders cite the same papers."""
    own = [entry for entry in estimators.registry.entries.values() if entry.origin == "mibench"]
    return [entry.load().bibtex for entry in own]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"The report {str(path)!r} cannot be written: {error.strerror}.", "Give another --out file."
        ) from error


def _load(folder: Path) -> dict[str, Record]:
    """Return the records of a store, or raise what is wrong with it."""
    if not folder.is_dir():
        what = "is a file, not a results store" if folder.exists() else "does not exist"
        raise StoreError(f"The folder {str(folder)!r} {what}.", "Give a folder that 'mibench run' wrote.")
    if not (folder / "records").is_dir():
        near = next((path.parent for path in sorted(folder.glob("*/records")) if path.is_dir()), None)
        raise StoreError(
            f"The folder {str(folder)!r} is not a results store: it has no folder 'records'.",
            f"Did you mean {str(near)!r}?" if near else "Give a folder that 'mibench run' wrote.",
        )
    try:
        records = Store(folder).load()
    except OSError as error:
        raise StoreError(
            f"{error.filename} cannot be read: {error.strerror}.", "Give another store."
        ) from error
    if not records:
        raise StoreError(
            f"The results store {str(folder)!r} is empty: it has no records.",
            f"Fill it with 'mibench run --out {folder}', or give another one.",
        )
    return records


def _agreed(folders: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """Return the records of all stores, one a run, and what their readers warned of.

    Raises:
        StoreError: two stores have results of one run that disagree.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        loaded = {folder: _load(folder) for folder in folders}
        _check_agreement(loaded)
        merged = merge(record for records in loaded.values() for record in records.values())
    shared = sum(map(len, loaded.values())) - len(merged)
    notices = [str(one.message) for one in caught if issubclass(one.category, StoreWarning)]
    if shared:
        notices.append(
            f"{counted(shared, 'run is', 'runs are')} in more than one of the stores; finished results of "
            f"one run agree within {AGREEMENT_NATS:g} nats, and the latest is shown."
        )
    return list(merged.values()), notices + _superseded(merged.values())


def _superseded(records: Iterable[Record]) -> list[str]:
    """Say which records have a truth that is known better today."""
    old = [record for record in records if is_superseded(record)]
    if not old:
        return []
    tasks, encoders = (
        listed(dict.fromkeys(getattr(record, kind) for record in old)) for kind in ("task", "encoder")
    )
    return [
        f"{counted(len(old), 'run')} with encoder {encoders} on {tasks} "
        f"{'was' if len(old) == 1 else 'were'} judged by an earlier rule: the truth is an interval here, and "
        "exact today. 'mibench run' with the same settings and --out judges them anew, or runs them again "
        "where it does not have their encoder."
    ]


def _check_agreement(loaded: dict[Path, dict[str, Record]]) -> None:
    seen: dict[str, tuple[Path, Record]] = {}
    for folder, records in loaded.items():
        for key, record in records.items():
            if record.estimate_nats is None:
                continue
            other_folder, other = seen.setdefault(key, (folder, record))
            assert other.estimate_nats is not None
            if abs(other.estimate_nats - record.estimate_nats) > AGREEMENT_NATS:
                raise StoreError(
                    f"Run {key[:12]} ({record.estimator}, {record.task}, true MI {record.true_mi_nats:g}, "
                    f"n = {record.n}, seed {record.seed}) is {other.estimate_nats:.4g} nats in "
                    f"{str(other_folder)!r} and {record.estimate_nats:.4g} in {str(folder)!r}.",
                    f"One run's results differ by at most {AGREEMENT_NATS:g} nats unless something is wrong: "
                    "report the stores one by one, or repeat the run with --rerun all.",
                )


def _without_repetition(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Order the runs by their settings, and keep the latest where two keys stand for one cell and seed.

    A key changes with the version of an estimator or of the key itself; counting both would take one seed
    for two.
    """
    others = ["critic", "protocol", "samples", *FIT[1:], "true_mi_nats", "n", "seed"]
    settings = ["task", "dim_x", "dim_y", "encoder", "estimator", *others]
    ordered = frame.sort_values([*settings, "finished_at", "key"], kind="stable", ignore_index=True)
    kept = ordered.drop_duplicates([*CELL, "seed"], keep="last", ignore_index=True)
    dropped = len(ordered) - len(kept)
    if not dropped:
        return kept, []
    return kept, [
        f"{counted(dropped, 'run has', 'runs have')} a later one with the same settings and seed, made by "
        "a version of mibench that names runs differently; the later one is shown."
    ]


def _notices(frame: pd.DataFrame, summary: pd.DataFrame, about: About) -> list[str]:
    notices = []
    makers = frame.groupby(["version", "device"]).ngroups
    if makers > 1:
        by_cell = frame.groupby(CELL, dropna=False)
        mixed = int(((by_cell["version"].nunique() > 1) | (by_cell["device"].nunique() > 1)).sum())
        average = "averages" if mixed == 1 else "average"
        notices.append(
            f"The records were made by {counted(frame['version'].nunique(), 'version')} of mibench on "
            f"{counted(frame['device'].nunique(), 'device')}, as the first table shows; "
            f"{counted(mixed, 'cell')} of {len(summary):,} {average} over more than one."
        )
    failed = int(summary["failed"].sum())
    if failed:
        notices.append(f"{failed:,} of {counted(len(frame), 'run')} failed and are excluded from the means.")
    names = dict(zip(frame["estimator"], frame["choices"], strict=True))
    unknown = [
        label for label, choices in names.items() if ("estimator", choices["estimator"]["name"]) not in about
    ]
    if unknown:
        notices.append(
            f"{listed(unknown)} {'is' if len(unknown) == 1 else 'are'} not installed here: formula and "
            "citation are missing."
        )
    return notices
