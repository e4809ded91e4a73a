"""The progress of one platform as numbers: every result by its time, the line of records.

Places are shares of the width and the height of the drawing, which is stretched to whatever room there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autoresearch.hub.pages.words import day
from autoresearch.report import axis

GRID_X, GRID_Y = 2000, 800
"""Of paths: what falls onto one point of this grid is drawn once."""
LANE = 0.06
"""Share of the height that the lane of runs without a score takes."""
TIME_STEPS = (
    60,
    300,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    *(86_400 * days for days in (1, 2, 7, 14, 28, 91, 365)),
)
NUM_TICKS = 6


@dataclass(frozen=True)
class Point:
    """One result."""

    at: int
    """Seconds since 1970."""
    value: float | None
    """None for a run without a score."""
    title: str
    link: str
    is_record: bool = False


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
    last: tuple[float, float] | None = None
    """Height at which the line of records ends, and its value."""
    lane: float | None = None
    """Height of the runs without a score."""


def draw(points: Sequence[Point], steps: Sequence[tuple[int, float]], sigma: float, num_marks: int) -> Chart:
    """Lay the chart out; lower values are better.

    Args:
        points: in the order of time.
        steps: when a record was set, and the mean of what set it.
        sigma: noise of one run; 0 where it is not known.
        num_marks: how many of the newest can be pointed at; records always can.
    """
    chart = Chart()
    if not points:
        return chart
    low, high = axis.span([p.value for p in points if p.value is not None], [value for _, value in steps], sigma, 0.12)
    begin, end = points[0].at, max(points[-1].at, points[0].at + 60)
    chart.lane = 1 - LANE / 2 if any(point.value is None for point in points) else None
    bottom = 1 - LANE - 0.02 if chart.lane else 1.0

    def x_of(at: float) -> float:
        return 0.01 + 0.98 * (at - begin) / (end - begin)

    def y_of(value: float) -> float:
        return bottom * (1 - (min(max(value, low), high) - low) / (high - low))

    old: dict[str, set[tuple[int, int]]] = {"dot": set(), "crash": set()}
    for place, point in enumerate(points):
        x = x_of(point.at)
        y = chart.lane if point.value is None else y_of(point.value)
        assert y is not None
        kind = (
            "crash"
            if point.value is None
            else "record"
            if point.is_record
            else "beyond"
            if point.value > high
            else "dot"
        )
        if point.is_record or place >= len(points) - num_marks:
            chart.marks.append(Mark(x, y, kind, point))
        else:
            old["crash" if kind == "crash" else "dot"].add((round(x * GRID_X), round(y * GRID_Y)))
    chart.marks.sort(key=lambda mark: mark.kind == "record")  # drawn last, on top
    chart.dots, chart.crashes = (_dots(old[kind]) for kind in ("dot", "crash"))
    if steps:
        corners = [(x_of(at), value) for at, value in steps]
        chart.best = _steps([(x, y_of(value)) for x, value in corners])
        chart.last = y_of(steps[-1][1]), steps[-1][1]
        if sigma:
            above = _steps([(x, y_of(value + sigma)) for x, value in corners])
            below = _steps([(x, y_of(value - sigma)) for x, value in corners], backwards=True)
            chart.band = f"{above}{below.replace('M', 'L', 1)}Z"
    chart.ticks_y = [(y_of(value), words) for value, words in axis.ticks(low, high, 4)]
    chart.ticks_x = [(x_of(at), words) for at, words in times(begin, end)]
    return chart


def times(begin: int, end: int) -> list[tuple[int, str]]:
    """Round times between two, and how they read."""
    step = next((step for step in TIME_STEPS if (end - begin) / step <= NUM_TICKS), TIME_STEPS[-1])
    form = "%d %b" if step >= 86_400 else "%d %b %H:%M" if end - begin > 86_400 else "%H:%M"
    return [(at, day(at, form)) for at in range(-(-begin // step) * step, end + 1, step)]


def _dots(places: set[tuple[int, int]]) -> str:
    return "".join(f"M{x} {y}h0" for x, y in sorted(places))


def _steps(corners: Sequence[tuple[float, float]], backwards: bool = False) -> str:
    """A path that goes from each corner to the right edge of its step, then down to the next."""
    ends = [x for x, _ in corners[1:]] + [0.99]
    way = [place for (x, y), end in zip(corners, ends, strict=True) for place in ((x, y), (end, y))]
    way = way[::-1] if backwards else way
    return "M" + "L".join(f"{x * GRID_X:.1f} {y * GRID_Y:.1f}" for x, y in way)
