"""report.html in a browser: it renders, filters, sorts, unfolds, follows, and asks nobody for anything.

Skipped where no Chromium is installed; `.ci/run` installs one.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import morning
import pytest
from playwright.sync_api import Browser, Page, expect
from telling import NOW, UPSTREAM, edit, ledger_story, source_in, story_in

from autoresearch.report import page, server

pytestmark = browsers.needed
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>[x](javascript:window.hacked=3)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.launched() as running:
        yield running


@pytest.fixture(scope="module")
def html(long_night: morning.Maker) -> str:
    return page.render(story_in(long_night.root), NOW)


class Visit:
    """A page, and what it complained of or asked for."""

    def __init__(self, browser: Browser, folder: Path, html: str, width: int = 1280, **context: Any):
        (folder / "report.html").write_text(html)
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"file://{folder}/report.html")

    def shown(self) -> list[str]:
        """Names of the visible rows, in their order."""
        return self.page.eval_on_selector_all(
            "#table .row", "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent)"
        )

    def close(self) -> None:
        """Check that nothing was complained of and nothing asked for but the file itself and what it holds."""
        assert self.complaints == []
        assert all(url.startswith(("file:///", "data:")) for url in self.requests)
        assert sum(url.startswith("file:") for url in self.requests) == 1
        self.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_renders_in_any_light_and_width(
    browser: Browser, html: str, tmp_path: Path, scheme: Any, width: int
) -> None:
    visit = Visit(browser, tmp_path, html, width, color_scheme=scheme)
    tab = visit.page
    assert "−0.0" in tab.inner_text("h1 + .gain") and "confirmed" in tab.inner_text(".gain")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    luminance = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(luminance) < 200) == (scheme == "dark")
    svg = ".chart.wide" if width > 640 else ".chart.narrow"
    assert tab.is_visible(svg) and tab.locator(".chart:visible").count() == 1
    assert tab.locator(f"{svg} .marks > *").count() == 40
    boxes = tab.eval_on_selector_all(
        f"{svg} .labels text",
        "all => all.map(one => { const b = one.getBBox(); return [b.x, b.y, b.width, b.height] })",
    )
    assert len(boxes) > 2
    for number, (x, y, w, h) in enumerate(boxes):
        assert all(x + w < x2 or x2 + w2 < x or y + h < y2 + 2 or y2 + h2 < y + 2 for x2, y2, w2, h2 in boxes[:number])
    tab.click("#a2 button")
    assert tab.is_visible("#u2") and tab.evaluate("document.documentElement.scrollWidth") <= width
    visit.close()


def test_rows_filter_search_and_sort(browser: Browser, html: str, tmp_path: Path, long_night: morning.Maker) -> None:
    visit = Visit(browser, tmp_path, html)
    tab = visit.page
    kept = [one.name for one in long_night.attempts if one.status == "keep"]
    assert len(visit.shown()) == 40
    for kind in ("discard", "crash"):
        tab.uncheck(f".filter.{kind} input")
    assert visit.shown() == kept and tab.inner_text(".found") == f"{len(kept)} of 40 attempts"
    visible = ".chart.wide .marks > :not(.away)"
    assert tab.locator(visible).count() == len(kept)
    for kind in ("discard", "crash"):
        tab.check(f".filter.{kind} input")
    tab.fill(".search input", "warmup_ratio  conditioned")
    expect(tab.locator(".found")).to_contain_text("of 40")
    names = [one.name for one in long_night.attempts if one.changed == ["WARMUP_RATIO"]]
    assert (
        names and visit.shown() == names
    )  # found by the hypothesis and by what was changed, which the row does not show
    tab.fill(".search input", "")
    expect(tab.locator(".found")).to_be_empty()

    tab.click("th[data-sort=score] button")
    scores = {one.name: one.scores() for one in long_night.attempts}
    scored = [name for name in visit.shown() if scores[name]]
    means = [sum(scores[name]) / len(scores[name]) for name in scored]
    assert means == sorted(means) and visit.shown()[: len(scored)] == scored
    assert tab.get_attribute("th[data-sort=score]", "aria-sort") == "ascending"
    tab.click("th[data-sort=score] button")
    assert [name for name in visit.shown() if scores[name]] == scored[::-1]
    assert visit.shown()[: len(scored)] == scored[::-1]  # what has no score stays last
    visit.close()


def test_row_unfolds_to_all_there_is_about_an_attempt(browser: Browser, html: str, tmp_path: Path) -> None:
    visit = Visit(browser, tmp_path, html)
    tab = visit.page
    assert tab.get_attribute("#a2 button", "aria-expanded") == "false"
    tab.click("#a2 .what")
    told = tab.inner_text("#u2")
    for words in (
        "hypothesis",
        "at best",
        "evidence",
        "risk",
        "lesson",
        "P(better)",
        "reaches",
        "steps",
        "val_bpb:",
        "took",
    ):
        assert words in told, words
    assert tab.locator("#u2 pre .add").count() and tab.locator("#u2 pre .del").count()
    assert tab.locator("#u2 .curve path.own").count() and tab.locator("#u2 .curve path.parent").count()
    assert tab.get_attribute("#a2 button", "aria-expanded") == "true"
    tab.click("th[data-sort=score] button")
    assert tab.evaluate("document.getElementById('a2').nextElementSibling.id") == "u2"
    tab.click("#a2 button")
    assert tab.locator("#u2").count() == 0
    tab.uncheck(".filter.keep input")
    tab.click(".kept .go >> nth=0")  # to a row that is filtered away
    assert tab.is_visible("#u2") and tab.is_checked(".filter.keep input")
    visit.close()


def test_page_is_reached_by_keyboard_and_pointer(browser: Browser, html: str, tmp_path: Path) -> None:
    visit = Visit(browser, tmp_path, html)
    tab = visit.page
    name = "(e => e.id || e.value || e.textContent)(document.activeElement)"
    reached: list[str] = []
    for _ in range(90):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate(name))
        if "0002" in reached[-1] and "chart" in reached and "discard" in reached:
            break
    assert reached[0] == "to the attempts" and {"chart", "keep", "discard"} <= set(reached), reached
    tab.focus("#chart")
    for key, name in (("Home", "0001"), ("ArrowRight", "0002"), ("End", "0040"), ("ArrowLeft", "0039")):
        tab.keyboard.press(key)
        assert name in tab.inner_text(".tip")
    tab.keyboard.press("Enter")
    assert tab.is_visible("#u39") and tab.evaluate("document.activeElement.textContent") == "0039"
    tab.keyboard.press("Space")
    assert tab.locator("#u39").count() == 0
    tab.locator('.chart.wide [data-n="7"]').scroll_into_view_if_needed()
    tab.locator('.chart.wide [data-n="7"]').hover(force=True)
    assert "0007" in tab.inner_text(".tip")
    visit.close()


def test_page_reads_without_javascript(browser: Browser, html: str, tmp_path: Path) -> None:
    visit = Visit(browser, tmp_path, html, java_script_enabled=False)
    tab = visit.page
    assert tab.is_visible("h1") and tab.is_visible(".chart.wide .best") and tab.locator("#table .row").count() == 40
    assert not tab.is_visible(".controls") and "need JavaScript" in tab.inner_text("#attempts")
    visit.close()


def test_hostile_text_stays_text(browser: Browser, root: Path, tmp_path: Path) -> None:
    folder = root / "results" / morning.TAG
    words = {"hypothesis": HOSTILE, "evidence": HOSTILE + "\u202e" + "A" * 50_000, "risk": "\x00\x1b[31m"}
    lesson = {"result": HOSTILE, "expected": "same", "why": HOSTILE, "lesson": HOSTILE}
    edit(folder / "0040.json", description=HOSTILE + "B" * 9999, reasoning=words, analysis=lesson, notices=[HOSTILE])
    (folder / "0039.diff").write_text(f"+{HOSTILE}\n")
    (folder / "0039" / "1" / "run.log").write_text(HOSTILE)
    (root / "notes.md").write_text(
        f"# {HOSTILE}\n\n![x](http://e.example/x.png)\n\n[l](http://e.example)\n\n{'C' * 9999}\n"
    )
    with open(root / "results.tsv", "a") as file:
        file.write(f"{HOSTILE}\t{HOSTILE}\t{HOSTILE}\t{HOSTILE}\t{HOSTILE}\t{HOSTILE}\n")
    visit = Visit(browser, tmp_path, page.render(story_in(root), NOW), 390)
    tab = visit.page
    for place in (39, 40, 41):
        tab.click(f"#a{place} button")
    told = tab.inner_text("#u40")
    assert "<script>window.hacked=1</script>" in told and "\u202e" not in told and "\x00" not in told
    assert "<img src=x" in tab.inner_text("#u39 pre >> nth=0") and "<script>" in tab.inner_text(".notes")
    assert tab.evaluate("window.hacked") is None and tab.locator("#story img").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    visit.close()


def test_table_from_elsewhere_renders(browser: Browser, tmp_path: Path) -> None:
    rows = "a\t1.0\t44.0\tkeep\tbaseline\nb\t0.9\t44.0\tkeep\tbetter\nc\t0.000000\t0.0\tcrash\toom\nbroken row\n"
    visit = Visit(browser, tmp_path, page.render(ledger_story(tmp_path, UPSTREAM + rows), NOW))
    assert visit.shown() == ["row 2", "row 3", "row 4", "row 5"]
    visit.page.click("#a4 button")
    assert "must have 5 columns" in visit.page.inner_text("#u4")
    visit.close()
    empty = Visit(browser, tmp_path, page.render(ledger_story(tmp_path, UPSTREAM), NOW))
    assert "No attempt yet" in empty.page.inner_text("main")
    empty.close()


def test_served_page_follows_the_night_and_keeps_what_was_set(browser: Browser, root: Path) -> None:
    path = root / "results" / morning.TAG / "0040.json"
    closed = path.read_text()
    edit(path, state="running", status=None, verdict=None, analysis=None)
    live = server.Live(source_in(root), lambda: NOW, lambda: True)
    with server.Server(live, 0) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        try:
            tab = browser.new_page()
            complaints: list[str] = []
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.goto(listener.url)
            assert "attempt 0040" in tab.inner_text("#running .what") and tab.is_visible("#running progress")
            tab.wait_for_selector("#running .curve svg")
            tab.fill(".search input", "embeddings")
            tab.click("#a3 button")
            path.write_text(closed)
            live.is_alive = lambda: False
            tab.wait_for_selector("#running", state="hidden", timeout=20_000)
            assert tab.locator(".row.running").count() == 0 and tab.is_visible("#u3")
            assert tab.input_value(".search input") == "embeddings" and "of 40" in tab.inner_text(".found")
            assert tab.inner_text("#pulse") == "live" and complaints == []
        finally:
            listener.shutdown()
            thread.join()
    expect(tab.locator("#pulse")).to_have_text("no longer live", timeout=20_000)
    tab.close()
