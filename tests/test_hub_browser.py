"""The pages of a hub in a browser: they render, follow, take the keyboard, and ask nobody else for anything.

Skipped where no Chromium is installed; `.ci/run` installs one.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import browsers
import hub_story
import pytest
from hub_html import one_of_each, poison
from hubs import Live, serving
from playwright.sync_api import Browser, Page, expect

from autoresearch.hub.pages.shelf import Shelf

pytestmark = browsers.needed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.launched() as running:
        yield running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("story") / "hub"
    hub_story.tell(folder, 200)
    with serving(folder) as one:
        one.hub.shelf = Shelf(0.0)
        yield one


class Visit:
    """A tab, and what its pages complained of or asked others for."""

    def __init__(self, browser: Browser, live: Live, width: int = 1280, **context: Any):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page: Page = self.context.new_page()
        self.url, self.complaints = live.url, list[str]()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self.ask)

    def ask(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.complaints.append(f"asks for {request.url}")

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def close(self) -> None:
        assert self.complaints == []
        self.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_render_in_any_light_and_width(browser: Browser, live: Live, scheme: Any, width: int) -> None:
    visit = Visit(browser, live, width, color_scheme=scheme)
    for path in one_of_each(live):
        tab = visit.go(path)
        expect(tab.locator("#pulse")).to_have_text("live")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) < 200) == (scheme == "dark")
        assert tab.is_visible("h1") or tab.locator("h1.unseen").count() == 1
    visit.close()


def test_chart_is_drawn_to_its_room(browser: Browser, live: Live) -> None:
    visit = Visit(browser, live)
    tab = visit.go("/platform/H100")
    field = tab.locator(".field").bounding_box()
    best = tab.locator(".plot .best").bounding_box()
    assert field and best and field["width"] > 800
    assert best["x"] >= field["x"] and best["x"] + best["width"] <= field["x"] + field["width"] + 2
    assert best["width"] > 0.9 * field["width"] and 50 < best["height"] <= field["height"]
    boxes = [one.bounding_box() for one in tab.locator(".marks .record circle").all()]
    assert len(boxes) > 2 and all(
        box and abs(box["width"] - box["height"]) < 1 for box in boxes
    )  # round, not stretched
    texts = [one.bounding_box() for one in tab.locator(".plot .below text").all()]
    spans = sorted((box["x"], box["x"] + box["width"]) for box in texts if box)
    assert len(spans) > 2 and all(end < begin for (_, end), (begin, _) in pairwise(spans))
    visit.close()


def test_chart_tells_of_a_result_to_pointer_and_keyboard(browser: Browser, live: Live) -> None:
    visit = Visit(browser, live)
    tab = visit.go("/platform/H100")
    mark = tab.locator(".marks .record >> nth=-1")
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box and not tab.is_visible(".tip")
    tab.mouse.move(box["x"] + 5, box["y"] - 2)  # near is enough
    expect(tab.locator(".tip")).to_contain_text("record")
    tab.mouse.move(5, 5)
    expect(tab.locator(".tip")).to_be_hidden()
    mark.focus()
    expect(tab.locator(".tip")).to_contain_text("run")
    tab.keyboard.press("Escape")
    expect(tab.locator(".tip")).to_be_hidden()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/commit/*")
    visit.close()


def test_pages_are_reached_by_keyboard(browser: Browser, live: Live) -> None:
    visit = Visit(browser, live)
    tab = visit.go("/commits")
    reached: list[str] = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("(e => e.name || e.tagName + ' ' + e.textContent.trim())(document.activeElement)"))
        if reached[-1].startswith("SUMMARY"):
            break
    assert reached[0] == "A to the content" and "q" in reached and "A Dashboard" in reached
    assert reached[-1].startswith("SUMMARY")
    folded = tab.locator(".graph details").first
    assert not folded.locator("ul").is_visible()
    tab.keyboard.press("Enter")
    expect(folded.locator("ul")).to_be_visible()
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.focus("input[name=q]")
    tab.keyboard.type("batch")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search?q=batch")
    visit.close()


def test_pages_work_without_javascript(browser: Browser, live: Live) -> None:
    visit = Visit(browser, live, java_script_enabled=False)
    for path in one_of_each(live):
        tab = visit.go(path)
        assert tab.locator("main a").count() > 0 and not tab.is_visible("#pulse")
    tab = visit.go("/")
    assert tab.locator(".plot .best").count() == 3 and tab.locator(".marks .record title").count() > 3
    tab = visit.go("/commits?limit=30")
    tab.click(".graph summary >> nth=0")
    assert tab.is_visible(".graph details[open] .plain-list li >> nth=0")
    tab.click("text=older →")
    assert "offset=30" in tab.url
    tab = visit.go("/results")
    tab.select_option("select[name=platform]", "4090")
    tab.click("text=Filter")
    assert "platform=4090" in tab.url and "H100" not in tab.inner_text("table")
    visit.close()


def test_open_page_follows_what_happens(browser: Browser, live: Live) -> None:
    poster = live.join("narrator")
    poster.post("/api/channels", name="live")
    visit = Visit(browser, live)
    tab = visit.go("/channel/live")
    expect(tab.locator("#pulse")).to_have_text("live")
    tab.evaluate("window.same = true")
    first = poster.post("/api/channels/live/posts", content="**it** happened").json()["id"]
    expect(tab.locator(f"#post-{first} strong")).to_have_text("it", timeout=20_000)
    tab.focus(f"#post-{first} .agent")
    poster.post("/api/channels/live/posts", content="and again")
    expect(tab.locator(".post")).to_have_count(2, timeout=20_000)
    assert tab.evaluate("window.same && document.activeElement.className") == "agent"  # not loaded anew
    visit.close()


def test_news_leave_open_what_was_opened_and_forms_alone(browser: Browser, live: Live) -> None:
    poster = live.join("interrupter")
    poster.post("/api/channels", name="noise")
    visit = Visit(browser, live)
    tab = visit.go("/commits")
    before = tab.get_attribute("body", "data-event")
    tab.click(".graph summary >> nth=0")
    poster.post("/api/channels/noise/posts", content="1")
    expect(tab.locator("body")).not_to_have_attribute("data-event", before or "", timeout=20_000)
    assert tab.locator(".graph details[open]").count() == 1
    tab = visit.go("/results")
    before = tab.get_attribute("body", "data-event") or ""
    tab.fill(".filters [name=q]", "half a wor")
    poster.post("/api/channels/noise/posts", content="2")
    tab.wait_for_timeout(2500)
    assert tab.get_attribute("body", "data-event") == before and tab.input_value(".filters [name=q]") == "half a wor"
    tab.focus(".skip")
    expect(tab.locator("body")).not_to_have_attribute("data-event", before, timeout=20_000)
    visit.close()


def test_page_says_when_it_follows_no_more(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as short:
        tab = browser.new_page()
        tab.goto(short.url)
        expect(tab.locator("#pulse")).to_have_text("live")
    expect(tab.locator("#pulse")).to_have_text("not live", timeout=20_000)
    tab.close()


def test_hostile_text_runs_nothing_and_covers_nothing(browser: Browser, tmp_path: Path) -> None:
    poison(tmp_path / "hub")
    with serving(tmp_path / "hub") as live:
        db, visit = live.hub.db, Visit(browser, live, 390)
        hashes = [row["hash"] for row in db.rows("SELECT hash FROM commits")]
        paths = ["/", "/commits", "/results", "/claims", "/channel/talk", "/agent/eve", "/search?q=hacked"]
        for path in (*paths, *(f"/post/{number}" for number in range(1, 7)), *(f"/commit/{name}" for name in hashes)):
            tab = visit.go(path)
            expect(tab.locator("#pulse")).to_have_text("live")
            assert tab.evaluate("typeof hacked") == "undefined", path
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, path
            bar = tab.locator(".bar").bounding_box()
            assert bar and tab.evaluate("document.elementFromPoint(30, 20).closest('.bar') !== null"), path
        visit.close()
