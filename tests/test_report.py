"""What a report says, in each of its formats, and which stores it refuses and why."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from stores import SCRIPT, by_horizon, by_temperature, collapsed, failure, grid, made_up, written
from typer.testing import CliRunner

import mibench
from mibench.analysis.cells import summarise
from mibench.api.report import gather
from mibench.cli import app
from mibench.reports import tables
from mibench.reports.citations import Citations
from mibench.reports.methods import methods
from mibench.store.record import to_frame


class Page(HTMLParser):
    """The rows of a page's tables, its ids, what its attributes refer to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.in_cell = False
        self.rows, self.ids, self.links, self.tags, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.text += " " if tag not in ("a", "b", "em", "span") else ""
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[key] for key in ("href", "src", "srcset", "data") if key in given]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(filter(None, given.values())))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


@pytest.fixture
def records():
    return [*grid(), *(failure(true_mi=level, seed=seed) for level in (2.0, 4.0) for seed in range(2))]


@pytest.fixture
def store(tmp_path, records):
    return written(tmp_path / "store", records)


def call(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def test_every_number_of_every_cell_is_in_every_form(store, records):
    summary = gather([store], draw=False).results[0].table
    assert len(summary.rows) == 2 * 3 * 2 + 2
    frame = to_frame(sorted(records, key=lambda record: (record.estimator, record.true_mi_nats, record.n)))
    assert summary.rows == tables.table(summarise(frame)).rows
    page = Page(mibench.report(store))
    for row in summary.rows:
        assert row in page.rows
    markdown, latex = mibench.report(store, format="md"), mibench.report(store, format="tex")
    assert tables.latex(summary).strip() in latex
    for row in summary.rows:
        assert re.search(" *[|] *".join(map(re.escape, row)), markdown)


def test_what_was_run_is_said(store):
    page = " ".join(Page(mibench.report(store)).text.split())
    for words in (
        "Errors of infonce, mine and nwj on gaussian",
        "40 runs in 14 cells: true mutual information (MI) of 2, 4 and 10 nats",
        "Seeds 0 to 2",
        "Runs 40 in 14 cells, 4 failed",
        "mibench 0.1.0",
        "Devices cpu",
        "Finished (UTC) 2026-01-02",
        "4 of 40 runs failed and are in no mean.",
        "Store store",
        "infonce: the bound gap is the larger part in",
    ):
        assert words in page


def test_failures_are_counted_by_estimator_and_reason(store):
    page = Page(mibench.report(store))
    assert ["mine", "4 of 4", "diverged", "2 and 4", "16", "0 and 1", SCRIPT] in page.rows
    alike = [failure(message=f"not finite at step {step}", seed=step) for step in (3, 17)]
    (sheet,) = gather([written(store.parent / "other", [*grid(), *alike])], draw=False).background
    assert sheet.table.rows[0][1::5] == ["2 of 2", "not finite at step 3 (and 1 alike)"]


def test_what_a_record_says_is_never_markup(store):
    page = mibench.report(store)
    assert SCRIPT not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert page.count("<script>") == 1
    markdown = mibench.report(store, format="md")
    assert "\\<script>" in markdown
    assert re.search(r"(?<!\\)<script", markdown) is None
    odd = [made_up("infonce", device=f"<img src=x>{i}", seed=i, version="<b>|</b>") for i in range(2)]
    page = mibench.report(written(store.parent / "odd", odd))
    assert "<img" not in page
    assert "<b>|" not in page


def test_the_page_needs_nothing_else_and_its_ids_are_its_own(store):
    page = Page(mibench.report(store))
    assert len(page.ids) == len(set(page.ids))
    within = {link[1:] for link in page.links if link.startswith("#")}
    assert within <= set(page.ids)
    outside = {link for link in page.links if not link.startswith("#")}
    assert {link.partition("/abs/")[0] for link in outside} == {"data:,", "https://arxiv.org"}
    assert "@import" not in mibench.report(store)
    assert page.tags.count("h1") == 1
    assert page.tags.count("svg") == page.tags.count("figcaption") >= 3
    assert page.tags.count("caption") == page.tags.count("table")


def test_the_same_store_gives_the_same_bytes(store, tmp_path, records):
    code = "import sys, mibench; mibench.report(sys.argv[1], out=sys.argv[2])"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    other = tmp_path / "other.html"
    subprocess.run([sys.executable, "-c", code, str(store), str(other)], check=True, env=environment)
    assert other.read_text("utf-8") == mibench.report(store)
    (tmp_path / "again").mkdir()
    shuffled = written(tmp_path / "again" / "store", records[::-1])
    assert mibench.report(shuffled, format="md") == mibench.report(store, format="md")


def test_bits(store):
    page = Page(mibench.report(store, unit="bits"))
    text = " ".join(page.text.split())
    assert "true mutual information (MI) of 2.885, 5.771 and 14.43 bits" in text
    assert "at a true MI of 2.885, 5.771 and 14.43 bits" in text
    assert "In bits." in text


def test_files_and_formats(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(store)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Written to report.html\n")
    assert call(store, "--format", "md").stderr == "Written to report.md\n"
    assert call(store, "--format", "tex").stderr == "Written to report.tex\n"
    assert call(store, "-o", "paper.tex").exit_code == 0
    assert (tmp_path / "paper.tex").read_text() == (tmp_path / "report.tex").read_text()
    assert (tmp_path / "report.md").read_text().startswith("# Errors of infonce")
    done = call(store, "--format", "md", "-o", "-")
    assert done.stdout == (tmp_path / "report.md").read_text()
    assert done.stderr == ""
    store.rename(tmp_path / "results")
    assert call("-o", "page").exit_code == 0
    assert (tmp_path / "page").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_latex_cites_what_its_bibtex_has(store):
    latex = mibench.report(store, format="tex")
    cited = {key for keys in re.findall(r"\\cite\{([^}]+)\}", latex) for key in keys.split(",")}
    assert cited == set(re.findall(r"% @\w+\{([^,]+),", latex))
    assert {"oord2018representation", "nguyen2010estimating", "kingma2015adam"} <= cited
    assert latex.count(r"\begin{table}") == 2
    prose = latex[latex.index(r"\paragraph") : latex.index("% The entries")]
    assert "$<$script$>$" in prose
    assert r"\& " in prose


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(store, tmp_path):
    mibench.report(store, out=tmp_path / "report.tex")
    paper = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report}\end{document}"
    (tmp_path / "paper.tex").write_text(paper)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout


def words_of(records):
    return " ".join(methods(to_frame(records), Citations()))


def test_methods_in_the_singular_and_the_plural():
    one = words_of([made_up()])
    for words in (
        "on the task gaussian [1] (standard Gaussians x and y",
        "with 5 coordinates in each of x and y, at a true MI of 2 nats.",
        "The estimator was infonce [2].",
        "The critic was separable (f(x, y) = g(x) . h(y), two multilayer perceptrons with ReLU; embedding 32",
        "for 1,000 steps with a one-cycle learning rate [4] of peak 0.002, in float32 under the "
        "protocol stream.",
        "There was 1 seed a setting (0)",
        "(100 batches)",
        "Where a single run finished, ± is the standard error of its read-out",
        "The run finished. All runs were made with mibench 0.1.0 on cpu.",
    ):
        assert words in one
    many = [
        *grid(("infonce", "js", "smile[tau=5]"), critic="joint", training="one", objective="jensen-shannon"),
        *grid(("nwj",), task="cubic", dim_x=1, dim_y=1, lr=0.0005, schedule="constant", version="0.2.0"),
    ]
    told = words_of(many)
    for words in (
        "on the tasks gaussian [1] (standard Gaussians x and y, correlated with rho coordinate by "
        "coordinate) and cubic [2] (correlated Gaussians with y replaced by",
        "with 1 and 5 coordinates in each of x and y, at a true MI of 2, 4 and 10 nats.",
        "The estimators were infonce [3], js [2, 4], smile[tau=5] [5] and nwj [6].",
        "The critics were joint (",
        "of peak 0.002 (infonce, js and smile[tau=5]); or for 1,000 steps with a constant learning rate of "
        "0.0005 (nwj); all in float32 under the protocol stream.",
        "There were 3 seeds a setting (0 to 2)",
        "The estimators infonce, js and smile[tau=5] read out the same critics, trained once by the "
        "objective jensen-shannon.",
        "(100 to 102 batches)",
        "None of the 72 runs failed. The runs were made with mibench: 54 with 0.1.0 on cpu and 18 with 0.2.0 "
        "on cpu.",
    ):
        assert words in told


def test_methods_of_the_other_protocols():
    stairs = words_of(grid(protocol="staircase[levels=2/4/10,span=50]"))
    assert "equal share of the steps" in stairs
    assert "average of span 50" in stairs
    assert "Every batch was fresh" not in stairs
    fixed = words_of(grid(protocol="samples", samples=5000, best_step=75))
    assert "at most 1,000 steps on 5,000 pairs of samples" in fixed
    assert "60% for training, 20% for early stopping and 20% for the estimate" in fixed
    assert "(step 75)" in fixed
    assert "under the protocol unheard-of" in words_of(grid(protocol="unheard-of"))


def test_an_estimator_that_is_not_installed_is_named(tmp_path):
    report = gather([written(tmp_path, grid(("their-own[k=3]", "infonce"), task="theirs", critic="x[y=1]"))])
    assert "their-own[k=3] is not installed here: formula and citation are missing." in report.notices
    assert ["their-own[k=3]", "–", "–", "–", ""] in report.estimators[0].table.rows
    assert "on the task theirs, with" in report.methods[0]
    assert "The critic was x[y=1]." in report.methods[0]


def test_records_of_several_versions_and_devices_are_told_apart(tmp_path):
    one = written(tmp_path / "one", grid())
    other = written(tmp_path / "other", grid(device="cuda:0", version="0.2.0", lr=0.001))
    report = gather([one, other])
    assert report.notices == [
        "The records were made by 2 versions of mibench on 2 devices, as the first table shows; 0 cells of "
        "24 average over more than one."
    ]
    rows = report.background[0].table.rows
    assert [row[:3] for row in rows] == [["0.1.0", "cpu", "36"], ["0.2.0", "cuda:0", "36"]]
    assert ("Stores", "one and other") in report.facts
    assert "0.001 and 0.002" in dict(report.facts)["Learning rate"]
    mixed = written(tmp_path / "mixed", [made_up(seed=seed, device=f"cuda:{seed}") for seed in range(2)])
    assert "1 cell of 1 averages over more than one." in gather([mixed]).notices[0]


def test_runs_in_two_stores_are_counted_once(tmp_path):
    one, other = written(tmp_path / "one", grid()), written(tmp_path / "other", grid(seeds=5))
    report = gather([one, other], draw=False)
    assert "36 runs are in more than one of the stores" in report.notices[0]
    assert dict(report.facts)["Runs"] == "60 in 12 cells, 0 failed"
    assert gather([one, one], draw=False).notices == []


def test_one_cell_and_seed_under_two_keys_is_counted_once(tmp_path):
    old = [made_up(seed=seed, key=f"old {seed}", estimate_nats=1.0) for seed in range(2)]
    new = [made_up(seed=seed, finished_at="2026-05-05T05:05:05Z", estimate_nats=1.5) for seed in range(3)]
    report = gather([written(tmp_path, [*new, *old])], draw=False)
    assert "2 runs have a later one with the same settings and seed" in report.notices[0]
    assert report.results[0].table.rows[0][2] == "1.500"


def test_what_is_wrong_within_a_store_is_said_and_not_hidden(tmp_path):
    store = written(tmp_path, [made_up(), made_up(estimate_nats=9.0, finished_at="2027-01-01T00:00:00Z")])
    (segment,) = (store / "records").iterdir()
    with segment.open("a") as file:
        file.write('{"schema": 2, "key"')
    notices = gather([store], draw=False).notices
    assert any("was cut short by a crash" in notice for notice in notices)
    assert any("Two results of run infonce-2.0-" in notice for notice in notices)


def test_all_runs_failed(tmp_path):
    store = written(tmp_path, [failure(seed=seed) for seed in range(3)])
    page = Page(mibench.report(store))
    assert "3 of 3 runs failed and are in no mean." in page.text
    assert "no cell has both a finished run and a known truth" in page.text
    assert mibench.report(store, format="tex").count(r"\begin{table}") == 1


def test_tasks_and_protocols_have_tables_of_their_own(tmp_path):
    records = [*grid(), *grid(task="cubic"), *grid(protocol="samples", samples=500)]
    titles = [sheet.title for sheet in gather([written(tmp_path, records)]).results]
    assert titles == [
        "Estimates and their error: task cubic, protocol stream",
        "Estimates and their error: task gaussian, protocol samples",
        "Estimates and their error: task gaussian, protocol stream",
    ]


def test_representations_are_told_in_every_form(tmp_path):
    records = [*by_temperature(seeds=2), *by_horizon(seeds=2), collapsed(), *grid(seeds=2)]
    store = written(tmp_path / "store", records)
    page = Page(mibench.report(store))
    text = " ".join(page.text.split())
    for words in (
        "seen through 7 encoders",
        "Truth of the representations [nats] 0.374 to 3.306",
        "The representations",
        "1 of 1 failed: the encoder collapsed",
        "In nats",
        "there is no split",
        "linear probes, trained on other images",
        "Gaussian regression q that was fitted on other data",
        "bias is the signed distance from it, 0 inside",
        "1 of 19 encoders failed, and with it all its runs.",
        "What follows from temperature, all else the same.",
        "What follows from horizon, all else the same.",
        "Does a higher estimate mean a better probe?",
        "Chen, Kornblith, Norouzi, Hinton 2020",
    ):
        assert words in text, words
    assert ["infonce", "simsiam[stop=false]", "1 of 1"] in [row[:3] for row in page.rows]
    report = gather([store], draw=False)
    titles = [sheet.title for sheet in report.results]
    assert titles[-1] == "The representations"
    assert "Estimates and their error: task cpc" in titles  # horizons are one task
    for form in ("md", "tex"):
        for unit in ("nats", "bits"):
            assert "simclr[temperature=0.05]" in mibench.report(store, format=form, unit=unit)
    only = words_of(by_horizon(seeds=2))
    assert "The exact critic of these representations is not known" in only


def disagreeing(folder):
    written(folder / "one", grid())
    written(folder / "two", [made_up(seed=1, estimate_nats=1.0)])
    return [folder / "one", folder / "two"]


def not_writable(folder):
    written(folder / "one", grid())
    (folder / "page").mkdir()
    return [folder / "one", "-o", folder / "page"]


BAD = {
    "missing": (lambda f: [f / "nothing"], "is not there", "Give a folder that 'mibench run' wrote."),
    "file": (lambda f: [written(f / "a", grid()) / "records"], "no results store", "'mibench run' wrote"),
    "a file": (lambda f: [next(written(f, grid()).glob("*/*.jsonl"))], "is a file", "'mibench run' wrote"),
    "no store": (lambda f: [written(f / "inner", grid()).parent], "no folder 'records'", "inner'?"),
    "empty": (
        lambda f: [(f / "e" / "records").mkdir(parents=True) or f / "e"],
        "is empty",
        "mibench run --out",
    ),
    "disagree": (
        disagreeing,
        "Run infonce-2.0- (infonce, gaussian, true MI 2, n = 16, seed 1) is",
        "--rerun",
    ),
    "unwritable": (not_writable, "page' cannot be written: Is a directory", "--out file"),
    "no folder": (lambda f: [written(f, grid()), "-o", f / "no" / "r.html"], "cannot be written", "--out"),
    "format": (lambda f: [written(f, grid()), "--format", "htm"], "Unknown format 'htm'", "mean 'html'?"),
    "unit": (lambda f: [written(f, grid()), "--unit", "bit"], "Unknown unit 'bit'", "'bits'?"),
}


@pytest.mark.parametrize(("words", "what", "how"), BAD.values(), ids=BAD)
def test_bad_input_gets_two_lines_and_status_2(words, what, how, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*words(tmp_path))
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert what in first
    assert how in second
    assert not (tmp_path / "report.html").exists()
