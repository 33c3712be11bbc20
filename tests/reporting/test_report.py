"""The report: one page that says all, needs nothing beside it, and lets nobody in."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from harness.api.report import report
from harness.errors import DataError, UsageError
from harness.reporting.report.making import config_text
from harness.reporting.results import read_results
from harness.store.run_store import RunStore

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"
EVIL = "<script>alert(1)</script>"
LOOKS = {
    "desktop": {"viewport": {"width": 1200, "height": 900}},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True},
}
CHARTS = (
    "forest",
    "differences",
    "shortcuts",
    "pairwise",
    "groups",
    "subtypes",
    "roc",
    "calibration",
    "learning",
    "trade-off",
)


class Page(HTMLParser):
    """What a page refers to, its ids, and the elements of each kind."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [given[key] for key in ("href", "src", "xlink:href", "action") if given.get(key)]


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path_factory.mktemp("no-data")))
        yield


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of the reference run, without images."""
    return report([REFERENCE], tmp_path_factory.mktemp("report") / "page.html", images="none")


@pytest.fixture(scope="module")
def small(finished):
    """A run of two models and one fold."""
    return finished("-o", "schedule.epochs=1")


@pytest.fixture(scope="module")
def hostile(finished, shared_cache, tmp_path_factory):
    """The report of a run with a model and a slide whose names are meant to do harm."""
    run = finished("-o", f'models={{densenet: {{}}, "{EVIL}": {{plugin: majority}}, white-point: {{}}}}', "-o",
                   "protocol=accession-5fold", "-o", "schedule.epochs=1")  # fmt: skip
    slide = f"14-1\x1b]0;x\x07\u202e{EVIL}\"'&"
    tables = [run / "manifest.parquet", *run.glob("cells/*/predictions.parquet")]
    victim = pd.read_parquet(tables[0])["subgroup"].iloc[0]
    for file in tables:
        table = pd.read_parquet(file)
        table.assign(slide=table["subgroup"].replace(victim, slide)).to_parquet(file, index=False)
    for file in run.glob("cells/*/cell.json"):  # an edited table is no longer what its checksum says
        kept = {key: value for key, value in json.loads(file.read_text()).items() if key not in {"files", "sha256"}}
        file.write_text(json.dumps(kept))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
        return report([run], tmp_path_factory.mktemp("hostile") / "page.html")


def test_it_refers_to_nothing_outside(page):
    found = Page(page.read_text())
    assert found.addresses
    assert [address for address in found.addresses if not address.startswith(("#", "data:image/"))] == []
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "url(http" not in page.read_text()
    assert page.stat().st_size < 10_000_000


def test_every_chart_has_words_and_its_numbers(page):
    text, found = page.read_text(), Page(page.read_text())
    assert [f"r1-chart-{name}" in found.ids for name in CHARTS] == [True] * len(CHARTS)
    pictures = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(pictures) == len(CHARTS)
    for picture in pictures:
        assert 'role="img"' in picture
        assert re.search(r"<title id=[^>]*>[^<]{3,}</title><desc id=[^>]*>[^<]{20,}</desc>", picture)
    assert [f"r1-chart-{name}-data" in found.ids for name in CHARTS] == [True] * len(CHARTS)


def test_the_same_run_gives_the_same_bytes(small, tmp_path):
    pages = [report([small], tmp_path / name, images="none").read_bytes() for name in ("one.html", "other.html")]
    assert pages[0] == pages[1]


def test_it_starts_with_the_answer_and_what_to_mind(page):
    text = page.read_text()
    order = [text.index(words) for words in ("The images are generated", "accessions tested", "Table 3. Accuracy")]
    assert order == sorted(order)
    assert "No images: the report was made without them." in text


def test_copies_are_those_of_the_tables(page):
    copies = json.loads(re.search(r'id="copies">(.*?)</script>', page.read_text()).group(1))
    assert copies["r1-table3"]["csv"] == (REFERENCE / "tables" / "table3.csv").read_text()
    assert copies["r1-table3"]["tex"].startswith("\\begin{table*}")
    assert copies["r1-table5"]["md"].startswith("## Table 5")


def test_a_hostile_name_is_text(hostile):
    text = hostile.read_text()
    assert EVIL not in text
    assert text.count("<script") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [character for character in "\x1b\x07\u202e" if character in text] == []


def test_images_are_shown_beside_what_the_models_saw(hostile):
    images = [given for tag, given in Page(hostile.read_text()).tags if tag == "img"]
    assert len(images) >= 6
    assert all(given["src"].startswith("data:image/jpeg;base64,") and given["alt"] for given in images)
    assert {given["alt"][:8] for given in images} == {"Original", "As the m"}


def test_a_gallery_without_data_says_so(small, tmp_path):
    run = shutil.copytree(small, tmp_path / "run")
    content = json.loads((run / "run.json").read_text())
    content["config"]["data"]["folder"] = "/nowhere/at all"
    (run / "run.json").write_text(json.dumps(content))
    text = report([run]).read_text()
    assert "No images: they are no part of a run folder, and no images: their folder is not there" in text
    assert "/nowhere" not in text


def test_an_image_that_is_another_now_is_not_shown(small, phantom, tmp_path):
    run = shutil.copytree(small, tmp_path / "run")
    moved = shutil.copytree(phantom, tmp_path / "images")
    content = json.loads((run / "run.json").read_text())
    content["config"]["data"]["folder"] = str(moved)
    (run / "run.json").write_text(json.dumps(content))
    for file in moved.rglob("*.png"):
        file.write_bytes(file.read_bytes() + b"another")
    assert "is not the file that the run saw" in report([run]).read_text()


def test_runs_side_by_side_share_no_table_unless_they_compare(small, tmp_path):
    again, other = (shutil.copytree(small, tmp_path / name) for name in ("again", "other"))
    for file in [other / "run.json", *other.glob("cells/*/cell.json")]:
        content = {key: value for key, value in json.loads(file.read_text()).items() if key not in {"files", "sha256"}}
        if "comparison" in content:
            content["comparison"]["threads"] = 7
        file.write_text(json.dumps(content | {"comparison_key": "another"}))
    text = report([small, again, other], tmp_path / "three.html", images="none").read_text()
    assert "Runs side by side" in text
    assert 'id="across-0"' in text
    assert 'id="across-1"' not in text


def test_what_cannot_be_reported_on(tmp_path):
    with pytest.raises(UsageError, match="name a run folder"):
        report([])
    with pytest.raises(DataError, match="no run in"):
        report([tmp_path])
    with pytest.raises(UsageError, match="named twice"):
        report([REFERENCE, REFERENCE])


def test_the_config_names_no_folder_of_the_machine(small, phantom):
    assert str(phantom) in (small / "run.json").read_text()
    assert str(phantom) not in config_text(read_results(RunStore(small)).run.config)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here (pip install playwright)")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["page", "hostile"])
def page_file(request):
    """The report of the reference run, and of a run with names that are meant to do harm."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def opened(chromium, page_file):
    """Open the page with a look: the page, and what the browser complained of or asked for."""
    contexts = []

    def open_page(look="desktop"):
        context = chromium.new_context(**LOOKS[look])
        contexts.append(context)
        page, heard = context.new_page(), []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", lambda sent: heard.append(sent.url) if sent.url != page_file.as_uri() else None)
        page.goto(page_file.as_uri())
        return page, heard

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("look", LOOKS)
def test_it_opens_without_a_word_and_keeps_nobody_out(opened, page_file, look):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here")
    if look != "desktop" and page_file.stat().st_size > 1_000_000:
        pytest.skip("a large page looks no other than a small one")
    page, heard = opened(look)
    if page_file.stat().st_size < 1_000_000:  # all that is folded too, where it is little
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["viewport"]["width"]
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}] == []
    assert heard == []


def test_a_table_is_sorted_and_intervals_stay_with_their_values(opened):
    page, heard = opened()
    rows = "#r1-table3 tbody tr"
    before = page.locator(rows).all_inner_texts()
    for wanted in ("ascending", "descending"):
        page.locator("#r1-table3 thead button").last.click()
        assert page.locator("#r1-table3 thead th").last.get_attribute("aria-sort") == wanted
        values = [
            float(row.split("\t")[-1].split()[0]) for row in page.locator(f"{rows}:not(.below)").all_inner_texts()
        ]
        assert values == sorted(values, reverse=wanted == "descending")
    after = page.locator(rows).all_inner_texts()
    pairs = [{tuple(texts[place : place + 2]) for place in range(0, len(texts), 2)} for texts in (before, after)]
    assert {(one[0].split("\t", 1)[-1], one[1]) for one in pairs[0]} == {
        (one[0].split("\t", 1)[-1], one[1]) for one in pairs[1]
    }
    assert heard == []


def test_a_table_is_copied(opened):
    page, heard = opened()
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    for name, start in (("CSV", "metric,model"), ("LaTeX", "\\begin{table*}"), ("Markdown", "## Table 3")):
        page.locator("#r1-table3 .copy").get_by_text(name, exact=True).click()
        assert page.evaluate("window.copied").startswith(start)
    page.get_by_text("Copy the statement").click()
    assert page.evaluate("window.copied").startswith("Images were divided under the protocol")
    assert heard == []


def test_it_says_all_without_scripts(chromium, page_file):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("figure.chart svg").count() >= 5
    assert not page.locator(".copy").first.is_visible()
    assert page.locator("#r1-table3 tbody tr").first.is_visible()
    context.close()
