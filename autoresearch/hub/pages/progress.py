"""The progress of one platform as numbers: every result by its time, the line of records.

Places are shares of the width and the height of the drawing, which is stretched to whatever room there is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoresearch.hub.pages.words import at as written
from autoresearch.report import axis

GRID_X, GRID_Y = 2000, 800
"""Of paths: what falls onto one point of this grid is drawn once."""
LANE = 0.06
"""Share of the height that the lane of runs without a score takes."""
DAY_S = 86_400
TIME_STEPS = (
    *(60 * minutes for minutes in (1, 5, 15, 30, 60, 120, 180, 360, 720)),
    *(DAY_S * days for days in (1, 2, 7, 14, 28, 91, 365)),
)
NUM_TICKS = 6
MARGIN = 0.012
"""Share of the width that stays free at both ends, for half a dot."""
ROOM = 0.12
"""Share of the height that stays free below the best."""
LEAST_S = 60
Old = tuple[int, float | None]


@dataclass(frozen=True)
class Point:
    """One result."""

    at: int
    """Seconds since 1970."""
    value: float | None
    """None for a run without a score."""
    title: str
    link: str


@dataclass(frozen=True)
class Mark:
    """A result that can be pointed at."""

    x: float
    y: float
    kind: str
    """`record`, `dot`, `beyond` or `crash`."""
    point: Point


@dataclass
class Chart:
    """Everything to be drawn."""

    marks: list[Mark] = field(default_factory=list)
    dots: str = ""
    """Path of the older results, each a line of no length."""
    crashes: str = ""
    best: str = ""
    """Path of the records."""
    band: str = ""
    """Outline of the noise around it."""
    ticks_x: list[tuple[float, str]] = field(default_factory=list)
    ticks_y: list[tuple[float, str]] = field(default_factory=list)
    lane: float | None = None
    """Height of the runs without a score."""


def draw(old: Sequence[Old], points: Sequence[Point], records: Sequence[Point], sigma: float) -> Chart:
    """Lay the chart out; lower values are better.

    Args:
        old: results that are drawn, but cannot be pointed at: times and values.
        points: results that can.
        records: what set a record, with its mean, in the order of time.
        sigma: noise of one run; 0 where it is not known.
    """
    chart = Chart()
    every = [*old, *((point.at, point.value) for point in points)]
    if not every:
        return chart
    steps = [(one.at, one.value) for one in records if one.value is not None]
    begin = min(at for at, _ in every)
    end = max(begin + LEAST_S, max(at for at, _ in every))
    losses = [value for _, value in every if value is not None]
    low, high = axis.span(losses, [value for _, value in steps], sigma, ROOM)
    bottom = 1.0
    if len(losses) < len(every):
        chart.lane, bottom = 1 - LANE / 2, 1 - LANE - 0.02
    scale = Scale(begin, end, low, high, bottom, chart.lane or 1.0)
    for point in points:
        kind = "crash" if point.value is None else "beyond" if point.value > high else "dot"
        chart.marks.append(Mark(scale.x(point.at), scale.y(point.value), kind, point))
    chart.marks += [Mark(scale.x(one.at), scale.y(one.value), "record", one) for one in records]
    chart.dots = scale.dots((at, value) for at, value in old if value is not None)
    chart.crashes = scale.dots((at, value) for at, value in old if value is None)
    if steps:
        chart.best = scale.steps(steps)
        if sigma:
            below = scale.steps([(at, value - sigma) for at, value in steps], backwards=True)
            chart.band = f"{scale.steps([(at, value + sigma) for at, value in steps])}L{below[1:]}Z"
    chart.ticks_y = [(scale.y(value), words) for value, words in axis.ticks(low, high, 4)]
    chart.ticks_x = [(scale.x(at), words) for at, words in times(begin, end)]
    return chart


@dataclass(frozen=True)
class Scale:
    """From times and values to places."""

    begin: int
    end: int
    low: float
    high: float
    bottom: float
    """Height of the worst value."""
    lane: float
    """Height of what has no value."""

    def x(self, at: float) -> float:
        """Place of a time."""
        return MARGIN + (1 - 2 * MARGIN) * (at - self.begin) / (self.end - self.begin)

    def y(self, value: float | None) -> float:
        """Place of a value, at the edge where it lies beyond."""
        if value is None:
            return self.lane
        share = (value - self.low) / (self.high - self.low)
        return self.bottom * (1 - min(1.0, max(0.0, share)))

    def dots(self, pairs: Iterable[Old]) -> str:
        """A path of lines of no length, one for each place of the grid that is taken."""
        left, width = MARGIN * GRID_X, (1 - 2 * MARGIN) * GRID_X / (self.end - self.begin)
        worst, height = self.bottom * GRID_Y, self.bottom * GRID_Y / (self.high - self.low)
        low, high, lane = self.low, self.high, round(self.lane * GRID_Y)
        places = {
            (
                round(left + (at - self.begin) * width),
                lane if value is None else 0 if value > high else round(worst - (value - low) * height),
            )
            for at, value in pairs
        }
        return "".join([f"M{x} {y}h0" for x, y in sorted(places)])

    def steps(self, corners: Sequence[tuple[int, float]], backwards: bool = False) -> str:
        """A path that keeps each value until the time of the next."""
        ends = [at for at, _ in corners[1:]] + [self.end]
        way = [(x, value) for (at, value), end in zip(corners, ends, strict=True) for x in (at, end)]
        way = way[::-1] if backwards else way
        return "M" + "L".join(f"{self.x(at) * GRID_X:.1f} {self.y(value) * GRID_Y:.1f}" for at, value in way)


def times(begin: int, end: int) -> list[tuple[int, str]]:
    """Round times between two, and how they read."""
    step = next((step for step in TIME_STEPS if (end - begin) / step <= NUM_TICKS), TIME_STEPS[-1])
    form = "%d %b" if step >= DAY_S else "%d %b %H:%M" if end - begin > DAY_S else "%H:%M"
    return [(at, written(at, form)) for at in range(-(-begin // step) * step, end + 1, step)]
