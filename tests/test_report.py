"""What a report says, in each of its formats, and which stores it refuses and why."""

import base64
import hashlib
import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from records import UNTRAINED
from stores import SCRIPT, by_horizon, by_temperature, collapsed, encoded, failure, grid, made_up, written
from typer.testing import CliRunner

import mibench
from mibench.analysis.cells import summarise
from mibench.api.report import gather
from mibench.cli import app
from mibench.reports import tables
from mibench.store.record import to_frame


class Page(HTMLParser):
    """The rows of a page's tables, its ids, what its attributes refer to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.in_cell = False
        self.rows, self.ids, self.links, self.tags, self.attributes, self.text = [], [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.text += " " if tag not in ("a", "b", "em", "span") else ""
        self.tags.append(tag)
        self.attributes += given
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


def test_what_was_run_are_facts(store):
    report = gather([store], draw=False)
    facts = dict(report.facts)
    assert report.title == "Errors of infonce, mine and nwj on gaussian"
    assert (facts["Runs"], facts["Seeds"], facts["Store"]) == ("40 in 14 cells, 4 failed", "0 to 2", "store")
    assert (facts["mibench"], facts["Devices"]) == ("0.1.0", "cpu")
    assert (facts["Models trained"], facts["Finished (UTC)"]) == ("40", "2026-01-02")
    assert any("4 of 40 runs failed" in notice for notice in report.notices)
    assert [words.partition(":")[0] for words in report.split_words] == ["infonce", "mine", "nwj"]


def test_failures_are_counted_by_estimator_and_reason(store):
    page = Page(mibench.report(store))
    assert ["mine", "4 of 4", "diverged", "2 and 4", "16", "0 and 1", SCRIPT] in page.rows
    alike = [failure(message=f"not finite at step {step}", seed=step) for step in (3, 17)]
    (sheet,) = gather([written(store.parent / "other", [*grid(), *alike])], draw=False).background
    assert sheet.table.rows[0][1::5] == ["2 of 2", "not finite at step 3 (and 1 alike)"]


HOSTILE = [
    'infonce[a"><script>alert(1)</script>=1]',
    "infonce[</title></style></script><script>alert(2)</script>=2]",
    "x' onload='alert(3)",
    '<img src=x onerror="alert(4)">',
    "javascript:alert(5)",
    "[click](javascript:alert(6)) <!-- --> ]]>",
    "$\\frac{a$ {{ 7 * 7 }} {% raw %}",
]


def hostile(text, number):
    """Return records in which every text of a store is hostile: labels, names, options, messages, makers."""
    choice = {"name": text, "options": {text: number, "k": number}}
    texts = dict.fromkeys(
        ("estimator", "task", "critic", "protocol", "schedule", "precision", "device"), text
    )
    texts |= dict.fromkeys(("version", "finished_at", "training", "objective", "truth"), text)
    choices = {**dict.fromkeys(("estimator", "task", "critic", "protocol"), choice), "encoder": None}
    about = {"choices": choices, "key": f"{text} {number}", **texts}
    shown = [
        made_up(seed=seed, true_mi=2.0 + seed, **about | {"key": f"{text} {number} {seed}"})
        for seed in (0, 1)
    ]
    encoder = {**about, "key": f"{text} encoder", "encoder": text, "choices": choices | {"encoder": choice}}
    return [*shown, failure(message=text, **about | {"key": f"{text} lost {number}"}), encoded(**encoder)]


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "<script>alert(0)<script>"
    return written(folder, [one for number, text in enumerate(HOSTILE) for one in hostile(text, number)])


def test_no_text_of_a_store_becomes_markup_of_the_page(hostile_store):
    text = mibench.report(hostile_store)
    page = Page(text)
    assert text.lower().count("<script") == text.count("<script>") == 1
    assert text.lower().count("<style") == 1
    assert page.tags.count("script") == page.tags.count("style") == page.tags.count("title") == 1
    assert not [name for name in page.attributes if name.startswith("on")]
    assert {link.partition(":")[0] for link in page.links if not link.startswith("#")} == {"data", "https"}
    images = [base64.b64decode(link.partition(",")[2]).decode() for link in page.links if "base64" in link]
    assert len(images) == page.tags.count("img") > 10
    for image in images:
        assert "<script" not in image.lower()
        ElementTree.fromstring(image)
    for words in HOSTILE:
        assert " ".join(words.split()) in " ".join(page.text.split())
    markdown = mibench.report(hostile_store, format="md")
    assert re.search(r"(?<!\\)<|(?<!\\)\]\((?!https://arxiv)", markdown) is None
    latex = [line for line in mibench.report(hostile_store, format="tex").splitlines() if line[:1] != "%"]
    assert re.search(r"(?<!\$)<", "\n".join(latex)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_a_folder_whose_name_is_not_text_can_be_reported(tmp_path):
    store = written(tmp_path / os.fsdecode(b"st\xffre"), [made_up()])
    assert "st?re" in mibench.report(store, out=tmp_path / "report.md", format="md")


def test_only_the_page_s_own_script_and_style_may_run(store):
    text = mibench.report(store)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        own = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in html.unescape(policy)
    assert "style" not in Page(text).attributes


def test_the_page_needs_nothing_else_and_its_ids_are_its_own(store):
    page = Page(mibench.report(store))
    assert len(page.ids) == len(set(page.ids))
    within = {link[1:] for link in page.links if link.startswith("#")}
    assert within <= set(page.ids)
    outside = {link for link in page.links if not link.startswith("#")}
    images = {link for link in outside if link.startswith("data:image/svg+xml;base64,")}
    assert {link.partition("/abs/")[0] for link in outside - images} == {"data:,", "https://arxiv.org"}
    assert "@import" not in mibench.report(store)
    assert page.tags.count("h1") == 1
    assert len(images) == page.tags.count("img") == page.tags.count("figcaption") >= 3
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
    assert page.text.count("2.885, 5.771 and 14.43 bits") == 2  # the lead and the methods


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


SNAPSHOTS = Path(__file__).with_name("snapshots")

TOLD = {
    "plain": lambda: [
        *grid(),
        *(failure(true_mi=level, seed=seed) for level in (2.0, 4.0) for seed in range(2)),
    ],
    "one_run": lambda: [made_up()],
    "shared_trainings": lambda: [
        *grid(("infonce", "js", "smile[tau=5]"), critic="joint", training="one", objective="jensen-shannon"),
        *grid(("nwj",), task="cubic", dim_x=1, dim_y=1, lr=0.0005, schedule="constant", version="0.2.0"),
    ],
    "protocols": lambda: [
        *grid(protocol="staircase[levels=2/4/10,span=50]"),
        *grid(protocol="samples", samples=5000, best_step=75),
        *grid(protocol="unheard-of"),
    ],
    "representations": lambda: [*by_temperature(seeds=2), *by_horizon(seeds=2), collapsed(), *grid(seeds=2)],
    "bounds": lambda: [
        *grid(("a-lower",), critic="gaussian-mlp", bound="lower", oracle_is_best=True, truth="closed form"),
        *grid(("an-upper",), critic="gaussian-mlp", bound="upper", oracle_is_best=False, truth="closed form"),
        *grid(("a-direct",), estimate_se_nats=None, **UNTRAINED),
    ],
}
"""Stores whose reports have, together, every sentence that one can have."""


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("form", ["md", "tex"])
def test_reports_say_what_they_said(name, form, tmp_path):
    """MIBENCH_WRITE_SNAPSHOTS=1 rewrites them: read the difference."""
    text = mibench.report(written(tmp_path / "store", TOLD[name]()), format=form)
    text = text.replace(mibench.__version__, "<version>") if form == "tex" else text
    path = SNAPSHOTS / f"{name}.{form}"
    if "MIBENCH_WRITE_SNAPSHOTS" in os.environ:
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_no_model_can_do_better_is_said_only_where_it_is_proved(tmp_path):
    proved, not_proved = grid(("infonce",), oracle_is_best=True), grid(("smile",), oracle_is_best=False)
    report = gather([written(tmp_path / "both", [*proved, *not_proved, *grid(("nwj",))])])
    assert report.best == ["infonce"]
    captions = {drawing.name: drawing.caption for drawing in report.drawings}
    assert "no model can" not in captions["error_split-1"]
    alone = gather([written(tmp_path / "one", proved)])
    assert "which no model can undo" in {d.name: d.caption for d in alone.drawings}["error_split-1"]
    none = mibench.report(written(tmp_path / "none", not_proved))
    assert "no model can do better" not in none
    assert "no critic can" not in none


def test_an_estimator_that_is_not_installed_is_named(tmp_path):
    report = gather([written(tmp_path, grid(("their-own[k=3]", "infonce"), task="theirs", critic="x[y=1]"))])
    assert "their-own[k=3] is not installed here: formula and citation are missing." in report.notices
    assert ["their-own[k=3]", "–", "–", "–", ""] in report.estimators[0].table.rows
    assert "theirs" in report.methods[0]
    assert "x[y=1]" in report.methods[0]


def test_records_of_several_versions_and_devices_are_told_apart(tmp_path):
    one = written(tmp_path / "one", grid())
    other = written(tmp_path / "other", grid(device="cuda:0", version="0.2.0", lr=0.001))
    report = gather([one, other])
    (notice,) = report.notices
    assert "2 versions of mibench on 2 devices" in notice
    assert "0 cells of 24" in notice
    rows = report.background[0].table.rows
    assert [row[:3] for row in rows] == [["0.1.0", "cpu", "36"], ["0.2.0", "cuda:0", "36"]]
    assert ("Stores", "one and other") in report.facts
    assert "0.001 and 0.002" in dict(report.facts)["Learning rate"]
    mixed = written(tmp_path / "mixed", [made_up(seed=seed, device=f"cuda:{seed}") for seed in range(2)])
    assert "1 cell of 1" in gather([mixed]).notices[0]


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
    assert "3 of 3 runs failed" in page.text
    assert mibench.report(store, format="tex").count(r"\begin{table}") == 1


def test_tasks_and_protocols_have_tables_of_their_own(tmp_path):
    records = [*grid(), *grid(task="cubic"), *grid(protocol="samples", samples=500)]
    titles = [sheet.title for sheet in gather([written(tmp_path, records)]).results]
    assert titles == [
        "Estimates and their error: task cubic, protocol stream",
        "Estimates and their error: task gaussian, protocol samples",
        "Estimates and their error: task gaussian, protocol stream",
    ]


def test_representations_have_tables_and_figures_in_every_form(tmp_path):
    records = [*by_temperature(seeds=2), *by_horizon(seeds=2), collapsed(), *grid(seeds=2)]
    store = written(tmp_path / "store", records)
    report = gather([store])
    names = {drawing.name.rpartition("-")[0] for drawing in report.drawings}
    assert {"vs_temperature", "vs_horizon", "estimate_vs_probe"} <= names
    page = Page(mibench.report(store))
    assert ["infonce", "simsiam[stop=false]", "1 of 1"] in [row[:3] for row in page.rows]
    titles = [sheet.title for sheet in report.results]
    assert titles[-1] == "The representations"
    assert "Estimates and their error: task cpc" in titles  # horizons are one task
    for form in ("md", "tex"):
        for unit in ("nats", "bits"):
            assert "simclr[temperature=0.05]" in mibench.report(store, format=form, unit=unit)


def disagreeing(folder):
    written(folder / "one", grid())
    written(folder / "two", [made_up(seed=1, estimate_nats=1.0)])
    return [folder / "one", folder / "two"]


def not_writable(folder):
    written(folder / "one", grid())
    (folder / "page").mkdir()
    return [folder / "one", "-o", folder / "page"]


BAD = {
    "missing": (lambda f: [f / "nothing"], "does not exist", "Give a folder that 'mibench run' wrote."),
    "file": (lambda f: [written(f / "a", grid()) / "records"], "not a results store", "'mibench run' wrote"),
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
