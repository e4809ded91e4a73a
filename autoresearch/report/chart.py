"""The progress chart as numbers: what lies where, in pixels; drawn by page.html as SVG and by picture.py as PNG."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoresearch.report import axis
from autoresearch.report.entries import Entry
from autoresearch.report.story import Story

NO_SCORE = ("crash", "cancelled", "cut off", "running", "other", "damaged")
CHAR_EM = 0.58  # width of a character, as a share of the font's height, on the safe side


@dataclass(frozen=True)
class Size:
    """How large a chart is drawn."""

    width: float
    height: float
    font: float
    """Height of its letters."""
    num_labels: int
    label_chars: int
    left: float = 66
    right: float = 18
    top: float = 14
    bottom: float = 40


WIDE = Size(width=1040, height=460, font=12, num_labels=16, label_chars=30)
NARROW = Size(width=360, height=330, font=11, num_labels=6, label_chars=18, left=60, right=10)


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box", gap: float = 0.0) -> bool:
        """Whether the two come closer than a gap."""
        across = self.left - gap < other.right and other.left - gap < self.right
        return across and self.top - gap < other.bottom and other.top - gap < self.bottom

    def holds(self, x: float, y: float, gap: float = 0.0) -> bool:
        """Whether a point lies in it, or closer than a gap."""
        return self.left - gap <= x <= self.right + gap and self.top - gap <= y <= self.bottom + gap


@dataclass(frozen=True)
class Mark:
    """An attempt."""

    entry: Entry
    x: float
    y: float
    beyond: bool = False
    """Drawn at the edge, for its score lies beyond the axis."""


@dataclass(frozen=True)
class Label:
    """A kept attempt's name, where nothing else stands."""

    text: str
    x: float
    y: float
    """Of the middle of its letters."""
    anchor: str
    """`start` or `end`: which end of the text is at x."""
    mark: Mark
    box: Box


@dataclass
class Chart:
    """Everything to be drawn."""

    size: Size
    plot: Box
    marks: list[Mark] = field(default_factory=list)
    steps: list[tuple[float, float, float]] = field(default_factory=list)
    """The champion's line: from x to x, and y."""
    band: float = 0.0
    """Half the height of the noise band."""
    labels: list[Label] = field(default_factory=list)
    ticks_x: list[tuple[float, str]] = field(default_factory=list)
    ticks_y: list[tuple[float, str]] = field(default_factory=list)
    lane: float | None = None
    """Height at which attempts without a score stand."""


def draw(story: Story, size: Size) -> Chart:
    """Lay the chart out."""
    entries, sign = story.entries, story.sign
    has_lane = any(_needs_lane(entry) for entry in entries)
    bottom = size.height - size.bottom - (1.9 * size.font if has_lane else 0)
    plot = Box(size.left, size.top, size.width - size.right, bottom)
    chart = Chart(size, plot, lane=bottom + 1.25 * size.font if has_lane else None)
    low, high = bounds(entries, sign, story.noise.sigma if story.noise else 0.0)
    unit_y = (plot.bottom - plot.top) / (high - low)
    unit_x = (plot.right - plot.left) / max(1, len(entries))

    def x_of(place: float) -> float:
        return plot.left + (place - 0.5) * unit_x

    def y_of(score: float) -> float:
        return plot.bottom - (score - low) * unit_y

    for entry in entries:
        if entry.score is not None:
            y = min(plot.bottom, max(plot.top, y_of(entry.score)))
            chart.marks.append(Mark(entry, x_of(entry.place), y, not low <= entry.score <= high))
        elif chart.lane is not None and _needs_lane(entry):
            chart.marks.append(Mark(entry, x_of(entry.place), chart.lane))
    for entry in entries:
        if entry.level is not None:
            begin, end, y = x_of(entry.place), x_of(entry.place + 1), y_of(entry.level)
            if chart.steps and chart.steps[-1][2] == y:
                begin = chart.steps.pop()[0]
            chart.steps.append((begin, min(end, plot.right), y))
    chart.band = story.noise.sigma * unit_y if story.noise else 0.0
    chart.ticks_y = [(y_of(value), words) for value, words in axis.ticks(low, high, 5)]
    last = max(1, len(entries))
    chart.ticks_x = [(x_of(value), words) for value, words in axis.ticks(1, last, 8, whole=True)]
    _place_labels(chart, story)
    return chart


def _needs_lane(entry: Entry) -> bool:
    return entry.score is None and entry.kind in NO_SCORE


def bounds(entries: Sequence[Entry], sign: int, sigma: float) -> tuple[float, float]:
    """Lowest and highest score of the axis."""
    losses = [sign * one.score for one in entries if one.score is not None]
    way = [sign * one.level for one in entries if one.level is not None] or losses
    ends = [sign * end for end in axis.span(losses, way, sigma)]
    return min(ends), max(ends)


def text_width(words: str, font: float) -> float:
    """How wide a text is drawn at most; wide letters of other scripts count double."""
    return font * sum(1.05 if unicodedata.east_asian_width(char) in "WF" else CHAR_EM for char in words)


def _place_labels(chart: Chart, story: Story) -> None:
    """Name the kept attempts that matter most, each where it covers nothing; what has no room stays without."""
    size = chart.size
    kept = [mark for mark in chart.marks if mark.entry.kind == "keep"]
    chosen = sorted(kept, key=lambda mark: -_weight(mark, story))[: size.num_labels]
    down = 1 if story.sign == 1 else -1  # the better side is where the champion's line leaves room
    for mark in chosen:
        number = mark.entry.name.lstrip("0")
        words = f"{number} {mark.entry.description}" if mark.entry.attempt else mark.entry.description
        words = words if len(words) <= size.label_chars else f"{words[: size.label_chars - 1].rstrip()}…"
        spots = [spot for spot in _spots(mark, words, down, size) if _is_free(spot, chart, kept)]
        covered = [sum(spot.box.holds(one.x, one.y, 2) for one in chart.marks) for spot in spots]
        if spots:
            chart.labels.append(spots[min(range(len(spots)), key=lambda place: covered[place] + place / 3)])


def _weight(mark: Mark, story: Story) -> float:
    """How much a label is worth: the first, the champion, then the largest gains."""
    if mark.entry in (story.baseline, story.champion):
        return math.inf
    found = mark.entry.attempt.verdict if mark.entry.attempt else None
    if found:
        return abs(found.difference)
    levels = [one.level for one in story.entries[: mark.entry.place - 1] if one.level is not None]
    return abs(mark.entry.score - levels[-1]) if levels and mark.entry.score is not None else 0.0


def _spots(mark: Mark, words: str, down: int, size: Size) -> list[Label]:
    """Places for a label, the best first: beside the line's better side, then further off, then above."""
    width, half = text_width(words, size.font), 0.62 * size.font
    spots = []
    for away in (1.1, 2.3, 3.6, 5.0, 6.5, 8.0, -1.3, -2.6, -4.0):
        y = mark.y + down * away * size.font
        for anchor, x in (("end", mark.x - 5), ("start", mark.x + 6)):
            left = x - width if anchor == "end" else x
            spots.append(Label(words, x, y, anchor, mark, Box(left, y - half, left + width, y + half)))
    return spots


def _is_free(spot: Label, chart: Chart, kept: Sequence[Mark]) -> bool:
    """Whether a label would lie within the plot and off the other labels, the champion's line and the kept ones."""
    box, plot = spot.box, chart.plot
    if box.left < plot.left + 2 or box.right > plot.right or box.top < plot.top or box.bottom > plot.bottom - 2:
        return False
    if any(box.meets(other.box, 3) for other in chart.labels):
        return False
    if any(box.holds(mark.x, mark.y, 3) for mark in kept):
        return False
    over = min(spot.y, spot.mark.y), max(spot.y, spot.mark.y)
    if any(abs(mark.x - spot.mark.x) < 7 and over[0] < mark.y < over[1] for mark in kept):
        return False  # its leader would seem to be that one's
    previous: float | None = None
    for begin, end, y in chart.steps:
        crosses = box.holds(min(max(begin, box.left), box.right), y, 2) and begin <= box.right and end >= box.left
        rises = previous is not None and box.meets(Box(begin, min(y, previous), begin, max(y, previous)), 2)
        if crosses or rises:
            return False
        previous = y
    return not any(_crosses_leader(spot, other) for other in chart.labels)


def _crosses_leader(spot: Label, other: Label) -> bool:
    """Whether a label lies on the line that leads to another, or the other way round."""
    return any(
        box.meets(Box(x, min(mark_y, y), x, max(mark_y, y)), 1)
        for box, x, mark_y, y in (
            (spot.box, other.mark.x, other.mark.y, other.y),
            (other.box, spot.mark.x, spot.mark.y, spot.y),
        )
    )
