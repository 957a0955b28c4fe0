"""The methods of a set of records in words, with citations, as a paper has them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mibench import encoders, estimators, protocols, tasks
from mibench.analysis.cells import CELL, summarise
from mibench.engine.evaluate import MOST_ROWS, TARGET_SE_NATS
from mibench.errors import UsageError
from mibench.models import critics
from mibench.protocols import Protocol, Samples, Staircase
from mibench.registry import Registry
from mibench.reports.citations import ADAM, ONE_CYCLE, Citations, found
from mibench.reports.words import counted, listed, numbers, seeds, sentence_part
from mibench.spec import NO_ENCODER

_TRAINING = ["protocol", "samples", "steps", "lr", "schedule", "precision"]


def methods(records: pd.DataFrame, citations: Citations, unit: str = "nats") -> list[str]:
    """Return the methods as paragraphs: what was estimated, how critics were trained, what is reported."""
    scale = 1 / math.log(2) if unit == "bits" else 1.0
    return [
        " ".join(
            [
                _tasks(records, citations, unit, scale),
                *_encoders(records, citations),
                _estimators(records, citations),
                _critics(records),
                _sizes(records),
            ]
        ),
        " ".join([_training(records, citations), *_shared(records), *_readouts(records, citations)]),
        " ".join([*_oracle(records), _statistics(records), _failures(records), _made_by(records)]),
    ]


def _tasks(records: pd.DataFrame, citations: Citations, unit: str, scale: float) -> str:
    named = []
    for label in records["task"].unique():
        task = found(tasks.registry, label)
        what = f" ({sentence_part(_first_line(task))})" if task else ""
        named.append(f"{label}{citations.cite(getattr(task, 'reference', ''))}{what}")
    levels = records["true_mi_nats"].dropna() * scale
    known = f"at a true MI of {numbers(levels)} {unit}" if len(levels) else "whose true MI is not known"
    plural = "s" if len(named) > 1 else ""
    return (
        f"Mutual information (MI) was estimated on the task{plural} {listed(named)}, {_dimensions(records)}, "
        f"{known}."
    )


def _dimensions(records: pd.DataFrame) -> str:
    pairs = sorted(set(zip(records["dim_x"], records["dim_y"], strict=True)))
    if all(x == y for x, y in pairs):
        ones = [x for x, _ in pairs]
        return f"with {numbers(ones)} coordinate{'s' * (ones != [1])} in each of x and y"
    return f"with {listed(f'{x} x {y}' for x, y in pairs)} coordinates of x and y"


BARBER_AGAKOV = "Barber, Agakov 2003, NeurIPS"

_LOWER_ENDS = {
    "sequences": "h(y) + E log q(y | z) with a Gaussian regression q that was fitted on other data",
    "images": "the exact MI of the table of the classes that linear probes, trained on other images, predict "
    "on either side",
}
"""How the information of representations is enclosed from below, by what a task's encoders are trained on."""


def _encoders(records: pd.DataFrame, citations: Citations) -> list[str]:
    """Say what stood between task and critic, and how the truth behind it is known; nothing of no encoder."""
    encoded = records[records["encoder"] != NO_ENCODER]
    if encoded.empty:
        return []
    named: list[str] = []
    for label in encoded["encoder"].unique():
        kind = found(encoders.registry, label)
        formula = str(getattr(kind, "formula", ""))
        about = [] if formula in " ".join(named) else [formula]
        about += [f"{key} {value}" for key, value in _options(encoders.registry, label).items()]
        cited = citations.cite(getattr(kind, "reference", ""))
        named.append(f"{label}{cited}" + (f" ({', '.join(about)})" if about else ""))
    plural = "s" if len(named) > 1 else ""
    told = (
        f"Critics saw the representations of the encoder{plural} {listed(named)}, each trained by Adam once "
        "for every seed (what takes 0 steps is as it was drawn) and then frozen."
    )
    return [told, *_truths(encoded, citations), *_lost(encoded)]


def _truths(encoded: pd.DataFrame, citations: Citations) -> list[str]:
    """Say how the information of representations is known."""
    known = encoded.dropna(subset=["true_mi_low_nats", "true_mi_high_nats"])
    is_exact = known["true_mi_low_nats"] == known["true_mi_high_nats"]
    told = []
    if is_exact.any():
        told.append(f"The MI of the representations on {_names(known[is_exact])} is exact.")
    for source, group in known[~is_exact].groupby(known["task"].map(_source), sort=False):
        low = _LOWER_ENDS.get(str(source), "a lower bound that the task computes")
        cited = citations.cite(BARBER_AGAKOV) if source == "sequences" else ""
        told.append(
            f"The MI of the representations on {_names(group)} lies between {low}{cited}, and the MI of the "
            "task, which no representation can exceed."
        )
    if not is_exact.all():
        told.append("Where the truth is such an interval, bias is the signed distance from it, 0 inside.")
    return told


def _names(records: pd.DataFrame) -> str:
    return listed(records["task"].unique())


def _source(label: str) -> str:
    return str(getattr(found(tasks.registry, label), "source", ""))


def _lost(encoded: pd.DataFrame) -> list[str]:
    """Say how many encoders failed."""
    seeds_of = encoded.drop_duplicates(["task", "true_mi_nats", "encoder", "seed"])
    lost = int(seeds_of["true_mi_low_nats"].isna().sum())
    whose = "it all its" if lost == 1 else "them all their"
    return [f"{lost} of {counted(len(seeds_of), 'encoder')} failed, and with {whose} runs."] * (lost > 0)


def _estimators(records: pd.DataFrame, citations: Citations) -> str:
    named = []
    for label in records["estimator"].unique():
        kind = found(estimators.registry, label)
        named.append(f"{label}{citations.cite(getattr(kind, 'reference', ''), getattr(kind, 'bibtex', ''))}")
    return f"The estimator{'s were' if len(named) > 1 else ' was'} {listed(named)}."


def _critics(records: pd.DataFrame) -> str:
    named = []
    for label in records["critic"].unique():
        kind = found(critics.registry, label)
        about = [sentence_part(_first_line(kind))] if kind else []
        settings = ", ".join(f"{key} {value}" for key, value in _options(critics.registry, label).items())
        about += [settings] if settings else []
        named.append(f"{label} ({'; '.join(about)})" if about else label)
    return f"The critic{'s were' if len(named) > 1 else ' was'} {listed(named)}."


def _sizes(records: pd.DataFrame) -> str:
    return (
        f"Score matrices had n = {numbers(records['n'])}: for every x one joint sample and n - 1 samples of "
        "the product of the marginals."
    )


def _training(records: pd.DataFrame, citations: Citations) -> str:
    """Say how critics were trained; what all settings share is said once."""
    adam = citations.cite(ADAM)
    alike = [column for column in ("protocol", "precision") if records[column].nunique() == 1]
    groups = list(records.groupby(_TRAINING, sort=False, dropna=False))
    users = [tuple(sorted(group["estimator"].unique())) for _, group in groups]
    told: list[str] = []
    for (_, group), names in zip(groups, users, strict=True):
        first = group.iloc[0]
        words = [
            _steps(first, citations, told),
            *(_setting(first, c) for c in ("precision", "protocol") if c not in alike),
        ]
        whose = f" ({listed(names)})" if len(set(users)) > 1 else ""
        told.append(", ".join(words) + whose)
    shared = [_setting(records.iloc[0], column) for column in ("precision", "protocol") if column in alike]
    return (
        f"Each critic was trained by Adam{adam} for {'; or for '.join(told)}"
        f"{'; all ' if len(told) > 1 and shared else ', ' if shared else ''}{' '.join(shared)}. "
        + _seeds(records)
    )


def _steps(run: pd.Series[Any], citations: Citations, told: list[str]) -> str:
    if run["schedule"] == "one-cycle":
        cited = "" if "one-cycle" in "".join(told) else citations.cite(ONE_CYCLE)
        rate = f"a one-cycle learning rate{cited} of peak {run['lr']:g}"
    else:
        rate = f"a {run['schedule']} learning rate of {run['lr']:g}"
    size = run["samples"]
    most = "" if pd.isna(size) else "at most "
    data = "" if pd.isna(size) else f" on {size:,.0f} pairs of samples"
    return f"{most}{counted(run['steps'], 'step')}{data} with {rate}"


def _setting(run: pd.Series[Any], column: str) -> str:
    return f"in {run['precision']}" if column == "precision" else f"under the protocol {run['protocol']}"


def _seeds(records: pd.DataFrame) -> str:
    per_cell = records.groupby(CELL, dropna=False)["seed"].nunique()
    low, high = per_cell.min(), per_cell.max()
    count = counted(low, "seed") if low == high else f"{low} to {high} seeds"
    which = seeds(list(records["seed"]))
    there = "was" if low == high == 1 else "were"
    return f"There {there} {count} a setting ({which}); runs of one seed on one task met the same data."


def _shared(records: pd.DataFrame) -> list[str]:
    """Say which estimators read out the same critics."""
    readers = records.groupby("training")["estimator"].unique().map(sorted).map(tuple)
    groups = sorted({names for names in readers if len(names) > 1})
    objective = records.drop_duplicates("training").set_index("training")["objective"]
    by_group = {names: objective[readers[readers == names].index[0]] for names in groups}
    return [
        f"The estimators {listed(names)} read out the same critics, trained once by the objective "
        f"{by_group[names]}."
        for names in groups
    ]


def _readouts(records: pd.DataFrame, citations: Citations) -> list[str]:
    told = []
    for label, group in records.groupby("protocol", sort=False):
        protocol = _protocol(str(label))
        if isinstance(protocol, Staircase):
            told.append(_climbed(protocol, citations))
        elif isinstance(protocol, Samples):
            told.append(_split(group, protocol))
        else:
            told.append(_read_out(group))
    return list(dict.fromkeys(told))


def _read_out(group: pd.DataFrame) -> str:
    batches = group["batches"].dropna()
    count = f" ({_range(batches)} batches)" if len(batches) else ""
    return (
        "Every batch was fresh. After training each estimator was read out on batches of n that no critic "
        f"was trained on, as many as bring its standard error to {TARGET_SE_NATS:g} nats, but of at most "
        f"{MOST_ROWS:,} pairs{count}."
    )


def _climbed(protocol: Staircase, citations: Citations) -> str:
    cited = citations.cite(protocol.reference)
    smoothed = f"smoothed by an exponentially weighted average of span {protocol.span}"
    return (
        f"On the staircase{cited} the true MI climbs while one critic goes on training, each level for an "
        f"equal share of the steps; the estimate at a level is the mean over its last {protocol.tail:.0%} of "
        f"the estimator's values on the training batches, taken before each step and {smoothed}. "
        "The oracle there is the plain mean over the same batches."
    )


def _split(group: pd.DataFrame, protocol: Samples) -> str:
    rest = 1 - protocol.train - protocol.validation
    finished = group["best_step"].dropna()
    best = finished[finished > 0]
    stopped = f" (step {_range(best)})" if len(best) else ""
    nothing = int((finished == 0).sum())
    none = f" In {nothing} runs no critic was better there than a constant one, which reads 0." * (
        nothing > 0
    )
    return (
        f"The pairs of a data set were split into {protocol.train:.0%} for training, "
        f"{protocol.validation:.0%} for early stopping and {rest:.0%} for the estimate; the critic with the "
        f"best objective on the second part{stopped} was read out on the third, which it never saw.{none}"
    )


def _range(values: pd.Series[float]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _oracle(records: pd.DataFrame) -> list[str]:
    finished = records[records["status"] == "ok"]
    unknown = finished["oracle_nats"].isna()
    if len(finished) and unknown.all():
        return ["The exact critic of these representations is not known, so that the bias has no split."]
    but = "; where that of a representation is not known, there is no split" if unknown.any() else ""
    return [
        "The oracle is the same read-out on the same batches with the critic that is optimal for the "
        "estimator, made of the exact log density ratio. The bias splits into the bound gap, oracle minus "
        f"truth, and the critic gap, estimate minus oracle{but}."
    ]


def _statistics(records: pd.DataFrame) -> str:
    per_cell = records[records["status"] == "ok"].groupby(CELL, dropna=False).size()
    text = (
        "Means are over seeds, ± is one standard error across seeds, and intervals are 95% Student intervals "
        "across seeds."
    )
    if (per_cell == 1).any():
        text += (
            " Where a single run finished, ± is the standard error of its read-out and there is no interval."
        )
    cells = summarise(records)["saturated"]
    if cells.any():
        text += (
            f" In {cells.sum()} of {counted(len(cells), 'cell')}, marked †, the true MI is above the largest "
            "value that the estimator can return at that n."
        )
    return text


def _failures(records: pd.DataFrame) -> str:
    failed = records[records["status"] != "ok"]
    if failed.empty:
        return (
            f"None of the {counted(len(records), 'run')} failed." if len(records) > 1 else "The run finished."
        )
    runs = records.groupby("estimator").size()
    told = []
    for label, group in failed.groupby("estimator", sort=False):
        reasons = group.groupby("status", sort=False)["message"].first()
        why = "; ".join(
            f"{status}: {message}" if message else f"{status}" for status, message in reasons.items()
        )
        alike = ", for example" if group["message"].nunique() > len(reasons) else ""
        told.append(f"{label} {len(group)} of {runs[label]} ({why}{alike})")
    return f"{len(failed):,} of {counted(len(records), 'run')} failed and are in no mean: {listed(told)}."


def _made_by(records: pd.DataFrame) -> str:
    groups = [(*maker, len(group)) for maker, group in records.groupby(["version", "device"])]
    if len(groups) == 1:
        return "All runs were made with mibench {} on {}.".format(*groups[0])
    told = (f"{count:,} with {version} on {device}" for version, device, count in groups)
    return f"The runs were made with mibench: {listed(told)}."


def _first_line(kind: type[Any] | None) -> str:
    return (kind.__doc__ or "").partition("\n")[0] if kind else ""


def _options(registry: Registry[Any], label: str) -> dict[str, Any]:
    try:
        return dict(registry.choose(label).options)
    except (UsageError, ImportError, AttributeError):
        return {}


def _protocol(label: str) -> Protocol | None:
    try:
        return protocols.registry.get(label)
    except UsageError:
        return None
