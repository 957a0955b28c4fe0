"""The report's page in a real browser: it loads from a file, sorts, copies, and is readable everywhere."""

import os
import shutil

import pytest
from stores import failure, grid, made_up, written

import mibench

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "MIBENCH_NEEDS_CHROMIUM" not in os.environ,
    reason="no chromium on PATH (MIBENCH_NEEDS_CHROMIUM makes this an error)",
)

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data);
  };
  const luminance = ([red, green, blue]) => {
    const linear = [red, green, blue].map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  return Array.from(document.querySelectorAll("body *:not(script, style)"))
    .filter((e) => Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => e.getClientRects().length > 0)
    .map((e) => {
      const both = [channels(getComputedStyle(e).color), ground(e)].map(luminance).sort((a, b) => b - a);
      return [(both[0] + 0.05) / (both[1] + 0.05), e.outerHTML.slice(0, 80)];
    });
}"""


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    records = [*grid(("infonce", "nwj", "js"), ns=(8, 16, 128)), *(failure(seed=seed) for seed in range(3))]
    mibench.report(written(folder / "store", records), out=folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "MIBENCH_NEEDS_CHROMIUM is set and there is no chromium on PATH"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser, page_path):
    """Open the page in a window of its own; it must report no error and ask for no other file."""
    contexts, heard, asked = [], [], []

    def open_(**settings):
        contexts.append(browser.new_context(**settings))
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert heard == []
    assert {url for url in asked if not url.startswith("data:")} == {page_path.as_uri()}


def column(table, title):
    """Return a column of a table as it stands on the page."""
    titles = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    return table.locator(f"tbody td:nth-child({titles.index(title) + 1})").all_inner_texts()


def results_of(page):
    return page.locator("#results table").first


def test_tables_sort_by_numbers_both_ways_with_what_is_missing_last(opened):
    table = results_of(opened())
    before = column(table, "Bias")
    assert before.count("–") == 1
    header = table.locator("th", has=table.page.get_by_role("button", name="Bias", exact=True))
    assert header.get_attribute("aria-sort") == "none"

    def numbers():
        return [float(text.split()[0]) for text in column(table, "Bias")[:-1]]

    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert numbers() == sorted(numbers())
    assert column(table, "Bias")[-1] == "–"
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(numbers(), reverse=True)
    assert column(table, "Bias")[-1] == "–"
    assert sorted(column(table, "Bias")) == sorted(before)


def test_tables_sort_by_the_keyboard_and_by_size_not_by_letters(opened):
    table = results_of(opened())
    button = table.get_by_role("button", name="n", exact=True)
    button.focus()
    button.press("Enter")
    assert column(table, "n") == sorted(column(table, "n"), key=int)
    assert column(table, "n")[0] == "8"
    table.get_by_role("button", name="estimator").press("Space")
    assert column(table, "estimator") == sorted(column(table, "estimator"))
    assert table.locator("th[aria-sort=ascending]").count() == 1


@pytest.mark.parametrize("clipboard", [True, False], ids=["clipboard", "no clipboard"])
def test_copy_buttons_copy_and_say_so(clipboard, opened, page_path):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    if not clipboard:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.evaluate("addEventListener('copy', () => { window.copied = getSelection().toString(); })")
    latex = page.get_by_role("button", name="Copy LaTeX").last
    latex.click()
    page.wait_for_function("document.getElementById('said').textContent === 'Copied'")
    assert page.get_by_role("button", name="Copied").count() == 1
    got = page.evaluate("navigator.clipboard ? navigator.clipboard.readText() : window.copied")
    assert got == page.locator("#results pre").first.text_content()
    assert got.startswith("\\begin{table}")
    page.get_by_role("button", name="Copied").wait_for(state="detached")
    assert latex.inner_text() == "Copy LaTeX"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_written_can_be_read(scheme, opened):
    page = opened(color_scheme=scheme)
    measured = page.evaluate(CONTRAST)
    assert len(measured) > 100
    assert [one for one in measured if one[0] < 4.5] == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    card = page.locator(".card").first
    assert card.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(width, opened):
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.locator(".scroll").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert (wide > 0) == (width < 1000)  # tables do, in boxes of their own


def test_figures_are_seen(opened):
    figures = opened().locator("figure img")
    assert figures.count() >= 3
    for index in range(figures.count()):
        box = figures.nth(index).bounding_box()
        assert min(box["width"], box["height"]) > 200
        assert figures.nth(index).get_attribute("alt")
        assert figures.nth(index).evaluate("e => e.complete && e.naturalWidth > 200")


def test_it_prints(opened):
    page = opened()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    head = results_of(page).locator("th").first
    assert head.evaluate("e => getComputedStyle(e, '::before').content") == '"estimator"'
    for hidden in ("button.copy", "nav", "details", "th button"):
        assert not page.locator(hidden).first.is_visible()
    assert page.locator("#bibtex-text").is_visible()
    assert page.locator("#bibtex-text").evaluate("e => e.scrollHeight <= e.clientHeight + 1")


def test_a_hostile_store_runs_nothing(browser, tmp_path):
    script = '"><script>document.title = "hacked"</script><img src=x onerror="document.title = 1">'
    records = [
        made_up(f"infonce[{script}={k}]", seed=k, task=script, device=script, message=script, true_mi=1.0 + k)
        for k in (0, 1)
    ]
    mibench.report(written(tmp_path / "store", records), out=tmp_path / "report.html")
    page = browser.new_page()
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() != "hacked"
    assert page.title().startswith("Errors of")
    assert page.locator("img").count() == page.locator("figure").count() > 0
    assert heard == []
    page.close()


def test_without_scripts_all_is_there_and_no_button_does_nothing(browser, page_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    assert page.locator("button:visible").count() == 0
    assert page.locator("tbody tr").count() > 20
    context.close()
