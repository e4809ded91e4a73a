"""autoresearch/hub/pages/progress.py, graph.py and diff.py: what lies where."""

import re

from hypothesis import given
from hypothesis import strategies as st

from autoresearch.hub.pages import diff, graph, progress
from autoresearch.hub.pages.progress import Point

HOUR = 3600
T0 = 1_800_000_000


def points(*values: float | None) -> list[Point]:
    return [Point(T0 + place * HOUR, value, f"no {place}", f"/commit/{place}") for place, value in enumerate(values)]


# --- the chart


def test_progress_goes_by_time_and_value() -> None:
    every = points(1.0, 0.98, 0.99, None)
    drawn = progress.draw([], every, [every[0], every[1]], 0.002)
    assert [mark.kind for mark in drawn.marks] == ["dot", "dot", "dot", "crash", "record", "record"]
    xs = [mark.x for mark in drawn.marks[:4]]
    assert xs == sorted(xs) and 0 < xs[0] < 0.05 and 0.95 < xs[-1] < 1
    ys = [mark.y for mark in drawn.marks]
    assert ys[1] > ys[2] > ys[0] and ys[3] > ys[1]  # the lower the better the further down, and crashes below all
    assert ys[4:] == ys[:2]
    corners = [tuple(map(float, pair.split())) for pair in drawn.best[1:].split("L")]
    assert corners[0][1] == corners[1][1] < corners[2][1] == corners[3][1] and corners[1][0] == corners[2][0]
    assert corners[-1][0] == round(xs[-1] * progress.GRID_X, 1)
    assert drawn.band.count("M") == 1 and drawn.band.endswith("Z")


def test_progress_marks_what_lies_beyond_the_axis() -> None:
    drawn = progress.draw([], points(1.0, 0.99, 7.0), points(1.0), 0.001)
    assert drawn.marks[2].kind == "beyond" and drawn.marks[2].y == 0.0


def test_progress_draws_old_results_of_one_place_once() -> None:
    old = [(T0, 1.0), (T0, 1.0), (T0 + HOUR, None), (T0 + HOUR, 0.9)]
    drawn = progress.draw(old, points(1.0), [], 0.0)
    assert drawn.dots.count("M") == 2 and drawn.crashes.count("M") == 1 and not drawn.best and not drawn.band


def test_progress_of_little_is_drawn() -> None:
    assert progress.draw([], [], [], 0.0).marks == []
    for few in (points(0.97), points(None), points(1.0, 1.0)):
        drawn = progress.draw([], few, few[:1], 0.0)
        assert len(drawn.marks) == len(few) + 1
        assert all(0 <= mark.x <= 1 and 0 <= mark.y <= 1 for mark in drawn.marks)


def test_times_are_round() -> None:
    assert progress.times(T0, T0 + 3 * HOUR) == [
        (T0 + step * 1800, words)
        for step, words in enumerate(["08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "11:00"])
    ]
    long = progress.times(T0, T0 + 40 * 86_400)
    assert 3 <= len(long) <= 7 and all(re.fullmatch(r"\d+ \w{3}", words) for _, words in long)


# --- the graph


def node(key: str, *parents: str) -> graph.Node:
    return graph.Node(key, parents, [])


def test_graph_draws_a_line_straight_and_a_fork_beside_it() -> None:
    rows = graph.lay_out([node("d", "b"), node("c", "b"), node("b", "a"), node("a")], ["d", "b", "a"])
    assert [row.lane for row in rows] == [0, 1, 0, 0]
    assert [row.strong for row in rows] == [True, False, True, True]
    assert rows[2].above == [(0, True), (1, False)] and rows[1].passing == [(0, True)]
    assert rows[3].below == [] and not rows[3].stub


def test_graph_joins_a_merge_to_both_parents() -> None:
    rows = graph.lay_out([node("m", "a", "b"), node("b", "root"), node("a", "root"), node("root")])
    assert rows[0].below == [(0, False), (1, False)] and rows[1].lane == 1 and rows[2].lane == 0


def test_graph_ends_lines_to_other_pages() -> None:
    rows = graph.lay_out([node("c", "elsewhere"), node("b", "elsewhere")])
    assert [row.lane for row in rows] == [0, 0] and all(row.stub and not row.below for row in rows)


@given(st.lists(st.lists(st.integers(1, 12), max_size=2, unique=True), max_size=40), st.sets(st.integers(0, 40)))
def test_graph_joins_every_commit_to_its_parents_or_stops_short(steps: list[list[int]], strong: set[int]) -> None:
    """Every lane that begins at a child goes by in all rows between and ends at the parent that was named."""
    nodes = [node(str(place), *(str(place + step) for step in up)) for place, up in enumerate(steps)]
    rows = graph.lay_out(nodes, map(str, strong))
    going: dict[int, int] = {}  # lane -> where it ends
    for place, row in enumerate(rows):
        assert {lane for lane, _ in row.above} == {lane for lane, end in going.items() if end == place}
        assert {lane for lane, _ in row.passing} == {lane for lane, end in going.items() if end != place}
        assert row.lane not in {lane for lane, _ in row.passing}
        going = {lane: end for lane, end in going.items() if end != place}
        ends = [int(parent) for parent in row.node.parents if int(parent) < len(nodes)]
        begun = [lane for lane, _ in row.below]
        assert len(begun) <= len(ends)
        if len(begun) < len(ends):  # there was no lane left
            assert graph.width(rows) >= graph.MOST_LANES
        elif begun:
            for lane, end in zip(begun, ends, strict=True):
                assert going.setdefault(lane, end) == end
        going |= {lane: going.get(lane, -1) for lane in begun}
        if len(begun) < len(ends):
            return  # which parent it was is not told
    assert not going


# --- the diff

DIFF = """diff --git a/prepare.py b/prepare.py
--- a/prepare.py
+++ b/prepare.py
@@ -1 +1,2 @@
 same
+more
diff --git a/train.py b/train.py
index 1..2 100644
--- a/train.py
+++ b/train.py
@@ -10,4 +10,4 @@ def f():
 x
-MATRIX_LR = 0.04  # Muon
-y = 1
+MATRIX_LR = 0.032  # Muon
+something else
 z
\\ No newline at end of file
"""


def test_diff_has_train_first_with_numbers_and_what_changed() -> None:
    train, prepare = diff.parse(DIFF, "train.py")
    assert (train.name, train.added, train.deleted, prepare.name, prepare.added) == ("train.py", 2, 2, "prepare.py", 1)
    hunk, x, old, y, new, other, z = train.lines
    assert (hunk.kind, hunk.before, x.old, x.new) == ("hunk", "def f():", 10, 10)
    assert (old.kind, old.old, old.new, old.before, old.changed, old.after) == (
        "del",
        11,
        None,
        "MATRIX_LR = ",
        "0.04",
        "  # Muon",
    )
    assert (new.changed, new.new) == ("0.032", 11)
    assert (y.changed, other.changed, z.old, z.new) == ("", "", 13, 13)


def test_diff_of_hostile_lines_stays_within_its_file() -> None:
    told = (
        "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n"
        "--- a/x\n+++ b/x\n+a\rdiff --git a/evil b/evil\r@@ -1 +1 @@\n \u202e\x1b[31m\u2028y\n"
    )
    (file,) = diff.parse(told, "train.py")
    assert [line.kind for line in file.lines] == ["hunk", "del", "add", "add", "same"]
    assert (file.lines[1].before, file.lines[2].before) == ("-- a/x", "++ b/x")
    assert (
        "\r" not in file.lines[3].before and "\u202e" not in file.lines[4].before and "\x1b" not in file.lines[4].before
    )


def test_diff_names_binary_and_renamed_files() -> None:
    told = "diff --git a/w.bin b/w.bin\nnew file mode 100644\nBinary files /dev/null and b/w.bin differ\n"
    (file,) = diff.parse(told, "train.py")
    assert file.name == "w.bin" and [line.kind for line in file.lines] == ["note", "note"]
    assert diff.parse("", "train.py") == [] and diff.parse("junk\n", "train.py") == []


def test_whole_file_is_numbered() -> None:
    file = diff.whole("train.py", "a\x0cb\nc\n")
    assert [(line.new, line.before) for line in file.lines] == [(1, "a\ufffdb"), (2, "c")]
