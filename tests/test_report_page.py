"""autoresearch/report/page.py, text.py and export.py: the page as text, without a browser."""

import json
import time
from pathlib import Path

import morning
from telling import NOW, edit, source_in, story_in

from autoresearch import notes
from autoresearch.records import Analysis, Crash
from autoresearch.report import detail, evidence, export, headline, page, picture, sources, story, text
from autoresearch.report.sources import Found

# --- text


def test_text_shows_what_would_hide_or_turn_it() -> None:
    assert text.clean("a\x00b\u202ec\x1b[31m\r\nd\te\ud800") == "a\ufffdb\ufffdc\ufffd[31m\nd\te\ufffd"
    assert text.line("  a \n b ", 10) == "a b" and text.line("x" * 1_000_000, 20) == "x" * 19 + "…"
    assert text.line("a" + " " * 90, 20) == "a…"  # what was left out might have been text


def test_fit_cuts_the_long_and_leaves_the_short() -> None:
    texts = ["short", "l" * 5000, "line\n" * 900, ""]
    found = text.fit(texts, 3000)
    assert found[0][0] == "short" and sum(len(kept) for kept, _ in found) <= 3000
    assert all(len(kept) + cut == len(whole) for whole, (kept, cut) in zip(texts, found, strict=True))
    assert found[2][0].endswith("line") and found[1][1] > 3000
    assert text.fit(texts, 100_000) == [(one, 0) for one in texts]
    assert sum(text.num_bytes(kept) for kept, _ in text.fit(["<" * 9000] * 9, 20_000)) <= 20_000


def test_markdown_loads_runs_and_styles_nothing() -> None:
    html = text.markdown(
        "<!-- template -->\n## A\n<script>alert(1)</script> [x](javascript:alert(1)) ![i](http://e.example/x.png)\n\n"
        "<img src=x onerror=alert(1)> [ok](https://a.example) `code`\n\n| a |\n|---|\n| 1 |\n"
    )
    assert "<script" not in html and "<img" not in html and 'href="javascript' not in html and "template" not in html
    assert "&lt;script&gt;alert(1)" in html and "&lt;img src=x" in html  # nothing that was written is hidden
    assert '<a href="https://a.example" rel="noopener noreferrer">ok</a>' in html and "<td>1</td>" in html
    assert "more characters were left out" in text.markdown("word " * 40_000)


def test_text_keeps_few_marks_on_a_letter() -> None:
    assert text.clean("Z\u0351\u0352\u0353" + "\u0354" * 900 + "a\u0301") == "Z\u0351\u0352\u0353a\u0301"
    assert text.clean("e\u0301 \u0935\u093f\u0928\u094d\u092f") == "e\u0301 \u0935\u093f\u0928\u094d\u092f"


# --- the page as text


def test_page_and_picture_are_the_same_for_equal_input(long_night: morning.Maker) -> None:
    first, second = (page.render(story_in(long_night.root), NOW) for _ in range(2))
    assert first == second and NOW in first and first.count("2026-11-21") == 1
    one, two = (picture.paint(story_in(long_night.root), "a night") for _ in range(2))
    assert one == two and len(one) > 10_000


def test_page_of_a_thousand_attempts_with_long_texts_is_small_and_quick(long_night: morning.Maker) -> None:
    found = sources.read(source_in(long_night.root))
    crash = Crash(kind="error", why="why " * 70, tail="tail of the log\n" * 400)
    words = {"hypothesis": "because " * 400, "evidence": "<&> " * 400, "risk": "risk " * 400}
    lesson = Analysis(result="r" * 3000, expected="same", why="w" * 3000, lesson="l" * 3000)
    for number in range(41, 1001):
        one = found.attempts[number % 40].model_copy(deep=True)
        one.id, one.analysis, one.trials[-1].crash = number, lesson, crash
        one.reasoning = morning.Reasoning.model_validate(words)
        found.attempts.append(one)
    begun = time.process_time()
    html = page.render(story.tell(found, False), NOW)
    assert time.process_time() - begun < 3
    assert len(html.encode()) < 3_000_000 and html.count('<tr id="a') == 1000
    data = json.loads(html[html.index('id="data">') + 10 : html.index("</script>", html.index('id="data">'))])
    cut = [one["cut"] for one in data["details"] if "cut" in one]
    assert len(cut) > 900 and all(number > 0 for one in cut for number in one.values())


def test_page_holds_hostile_text_as_text(root: Path) -> None:
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x00\u2028" + "A" * 300_000
    folder = root / "results" / morning.TAG
    fields = {"description": hostile, "reasoning": {"hypothesis": hostile}, "changed": [hostile], "notices": [hostile]}
    edit(folder / "0040.json", **fields)
    (root / "notes.md").write_text(hostile)
    html = page.render(story_in(root), NOW)
    assert html.count("<script") == 2 and html.count("</script>") == 2 and "<img" not in html
    assert "\x00" not in html and "\u202e" not in html and len(html) < 1_000_000
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in html and "unsafe-" not in html


def test_page_says_how_sure_each_number_is_and_what_the_machine_was(long_night: morning.Maker) -> None:
    html = page.render(story_in(long_night.root), NOW)
    for words in ("95% interval", "confirmed", "carries its weight", "no more than noise", morning.REGIME, "H100x1",
                  "AUTORESEARCH_TIME_BUDGET", "spent training", "Slower matrices", "flash-attention 3"):  # fmt: skip
        assert words in html, words


def test_details_leave_out_what_is_empty(long_night: morning.Maker) -> None:
    told = story_in(long_night.root)
    found = detail.of_entries(told.entries, evidence.gather(told.found, 20))
    baseline, crashed = found[0], found[[entry.kind for entry in told.entries].index("crash")]
    assert "diff" not in baseline and "learnt_why" not in baseline and len(baseline["runs"]) == 2
    assert crashed["runs"][0]["crash"].startswith("out of memory") and "OutOfMemoryError" in crashed["tail"]
    kept = found[1]
    assert kept["why_hypothesis"] and kept["learnt_lesson"] and "+" in kept["diff"] and kept["took"].endswith(" min")
    assert len(kept["curves"][0]) in range(30, 45) and "val_bpb" in kept["tail"]


# --- export


def test_exported_folder_tells_the_same_night_without_the_repository(long_night: morning.Maker, tmp_path: Path) -> None:
    told = story_in(long_night.root)
    assert export.copy(told.found, tmp_path / "copy") == 43
    again = sources.of_ledger(tmp_path / "copy" / "results.tsv", "", "min", None)
    other = story.tell(sources.read(again), False)
    assert not other.found.problems and other.champion and other.champion.attempt == long_night.champion
    assert headline.of_story(other) == headline.of_story(told)
    before, after = (detail.of_entries(one.entries, evidence.gather(one.found, 30)) for one in (told, other))
    for one, two in zip(before, after, strict=True):
        assert {**one, "curves": 0} == {**two, "curves": 0}
        assert bool(one.get("curves")) == bool(two.get("curves"))
    export.copy(other.found, tmp_path / "copy")  # onto itself
    assert story.tell(sources.read(again), False).champion == other.champion


def test_stamp_changes_with_whatever_is_read(root: Path) -> None:
    source = source_in(root)
    stamps = {sources.stamp(source)}
    assert sources.stamp(source) in stamps
    notes.replace(root / "notes.md", "other")
    stamps.add(sources.stamp(source))
    edit(root / "results" / morning.TAG / "0040.json", description="other")
    stamps.add(sources.stamp(source))
    with open(root / "results.tsv", "a") as file:
        file.write("x")
    stamps.add(sources.stamp(source))
    assert len(stamps) == 4


def test_found_is_read_while_files_come_and_go(root: Path) -> None:
    source = source_in(root)
    (root / "results" / morning.TAG / "0041.json").symlink_to("nowhere")
    found = sources.read(source)
    assert isinstance(found, Found) and found.broken.keys() == {41} and sources.stamp(source)
