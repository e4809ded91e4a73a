"""autoresearch/report/chart.py, axis.py and evidence.py: what lies where in the chart, curves, diffs."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import morning
import pytest
from telling import UPSTREAM, ledger_story, source_in, story_in

from autoresearch.attempt.trial import describe_progress, last_report
from autoresearch.report import axis, chart, evidence, sources
from autoresearch.report.story import Story

# --- the chart


def marks(told: Story, size: chart.Size = chart.WIDE) -> chart.Chart:
    return chart.draw(told, size)


def crowded(folder: Path, direction: sources.Direction) -> Story:
    """Fifty rows, most of them kept, some of those worse than the best, with long names."""
    sign = -1 if direction == "min" else 1
    score = [1 + sign * 0.2 * (1 - 0.9**number) for number in range(50)]
    rows = [
        f"a{number}\t{score[number] - sign * 0.05 * (number % 2)}\t1\t{word}\tidea {number} of a long name\n"
        for number, word in enumerate(["keep", "discard", "keep", "keep", "keep"] * 10)
    ]
    return ledger_story(folder, UPSTREAM + "".join(rows), direction=direction)


@pytest.mark.parametrize("size", [chart.WIDE, chart.NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", ["night", "min", "max"])
def test_chart_labels_cover_nothing_that_matters(
    long_night: morning.Maker, tmp_path: Path, size: chart.Size, kind: Any
) -> None:
    drawn = marks(story_in(long_night.root) if kind == "night" else crowded(tmp_path, kind), size)
    assert len(drawn.labels) >= (5 if size is chart.WIDE else 3)
    for number, one in enumerate(drawn.labels):
        assert drawn.plot.left <= one.box.left and one.box.right <= drawn.plot.right
        assert drawn.plot.top <= one.box.top and one.box.bottom <= drawn.plot.bottom
        assert not any(one.box.meets(other.box) for other in drawn.labels[:number])
        assert not any(one.box.holds(mark.x, mark.y) for mark in drawn.marks if mark.entry.kind == "keep")
        for (begin, end, y), (_, _, next_y) in pairwise([*drawn.steps, drawn.steps[-1]]):
            across = [(begin + (end - begin) * part / 40, y) for part in range(41)]
            upright = [(end, y + (next_y - y) * part / 40) for part in range(41)]
            assert not any(one.box.holds(*point) for point in (*across, *upright))


def test_chart_is_not_flattened_by_one_bad_attempt(tmp_path: Path) -> None:
    rows = "a1\t1.00\t1\tkeep\tbaseline\na2\t0.98\t1\tkeep\tbetter\na3\t0.985\t1\tdiscard\tnear\n"
    rows += "a4\t7.5\t1\tdiscard\tbad\na5\t0.0\t1\tdiscard\ttoo good to be true\n"
    told = ledger_story(tmp_path, UPSTREAM + rows)
    drawn = marks(told)
    by_name = {mark.entry.description: mark for mark in drawn.marks}
    assert by_name["baseline"].y + 150 < by_name["better"].y
    assert by_name["bad"].beyond and by_name["bad"].y == drawn.plot.top
    assert by_name["too good to be true"].beyond and by_name["too good to be true"].y == drawn.plot.bottom
    assert not by_name["near"].beyond
    low, high = chart.bounds(told.entries, 1, 0.0)
    assert 0.9 < low < 0.98 and 1.0 < high < 1.1


def test_chart_band_is_the_noise_and_higher_is_up_when_higher_is_better(
    long_night: morning.Maker, tmp_path: Path
) -> None:
    told = story_in(long_night.root)
    drawn = marks(told)
    unit = (drawn.ticks_y[0][0] - drawn.ticks_y[1][0]) / (float(drawn.ticks_y[1][1]) - float(drawn.ticks_y[0][1]))
    assert told.noise and drawn.band == pytest.approx(told.noise.sigma * unit, rel=1e-6)
    rows = "a1\t0.5\t1\tkeep\tone\na2\t0.7\t1\tkeep\ttwo\n"
    up = marks(ledger_story(tmp_path, UPSTREAM.replace("val_bpb", "acc") + rows, "acc", "max"))
    assert up.marks[0].y > up.marks[1].y and up.band == 0


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 1.0], [0.0], [1e11, -1e11], [1e-9, 2e-9], [-5.0, -5.1]])
def test_chart_is_drawn_for_any_scores(tmp_path: Path, scores: list[float]) -> None:
    rows = "".join(f"a{number}\t{score!r}\t1\tkeep\tx\n" for number, score in enumerate(scores))
    drawn = marks(ledger_story(tmp_path, UPSTREAM + rows))
    assert len(drawn.marks) == len(scores)
    assert all(math.isfinite(one.x) and drawn.plot.top <= one.y <= drawn.plot.bottom for one in drawn.marks)


def test_ticks_are_round_and_distinct() -> None:
    assert [words for _, words in axis.ticks(0.9712, 0.9979, 5)] == ["0.975", "0.980", "0.985", "0.990", "0.995"]
    assert [words for _, words in axis.ticks(1, 1000, 8, whole=True)][:3] == ["1", "100", "200"]
    assert [words for _, words in axis.ticks(1, 3, 8, whole=True)] == ["1", "2", "3"]
    assert [words for _, words in axis.ticks(1, 1, 8, whole=True)] == ["1"]


# --- evidence


def test_diffs_are_those_of_git_by_one_process(long_night: morning.Maker) -> None:
    found = sources.read(source_in(long_night.root))
    one, repo = found.attempts[5], found.source.repo
    assert repo
    known = evidence.diffs(found)
    assert repo.diff(one.parent, one.commit).endswith(known[one.id]) and "+++ b/train.py" in known[one.id]
    assert known[1] == ""
    pairs = [(one.parent, one.commit), ("0" * 40, one.commit), ("--all", "x\ny"), (one.commit, one.parent), ("", "")]
    first, *rest = repo.diffs(pairs)
    assert first == repo.diff(one.parent, one.commit) and rest[:2] == ["", ""] and rest[3] == ""
    assert rest[1:3] == ["", repo.diff(one.commit, one.parent)] and repo.diffs([]) == []


def test_diff_beside_a_record_comes_before_git(root: Path) -> None:
    (root / "results" / morning.TAG / "0003.diff").write_text("-a\n+b \x07\n")
    known = evidence.diffs(sources.read(source_in(root)))
    assert known[3] == "-a\n+b \ufffd" and known[4]


def report(x: float, y: object) -> str:
    return json.dumps({"step": 1, "elapsed_s": x, "metrics": {"train_loss": y}})


def test_curve_is_sampled_evenly_whatever_the_size(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text("".join(report(x, 9 - x / 1000) + "\n" for x in range(8000)) + '{"step": 80')
    curve = evidence.curve(path, 50)
    assert 45 <= len(curve) <= 52 and curve[0] == (0.0, 9.0) and curve[-1] == (7999.0, 1.001)
    assert max(after[0] - before[0] for before, after in pairwise(curve)) < 2.5 * 8000 / 50
    path.write_text(report(1, 5) + "\n" + report(2, 4) + "\n")
    assert evidence.curve(path, 50) == [(1.0, 5.0), (2.0, 4.0)]
    assert evidence.curve(tmp_path / "none", 50) == []


HOSTILE_REPORTS = [
    "[" * 4000,
    '{"step": 1' + "0" * 999 + ', "elapsed_s": 1}',
    "\x00\xff",
    '{"metrics": [1]}',
    "7",
    "null",
]
HOSTILE_REPORTS += ['{"elapsed_s": 1, "metrics": {"train_loss": "<b>"}}', '{"elapsed_s": NaN, "metrics": {"a": 1}}']


@pytest.mark.parametrize("row", HOSTILE_REPORTS, ids=range(len(HOSTILE_REPORTS)))
def test_reports_that_are_none_are_left_out(tmp_path: Path, row: str) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(f"{report(1, 5)}\n{row}\n{report(3, 4)}\n".encode(errors="replace"))
    assert evidence.curve(path, 20) == [(1.0, 5.0), (3.0, 4.0)]
    path.write_bytes(f"{row}\n".encode(errors="replace"))
    assert "step" in describe_progress(last_report(path), "x", 1.0)
