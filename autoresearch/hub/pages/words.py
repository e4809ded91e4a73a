"""Values as the words of a page."""

import math
from datetime import UTC, datetime

from autoresearch.report import text

STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))


def ago(stamp: str, now: int) -> str:
    """How long ago a time of the wire was."""
    return span(now - int(moment(stamp).timestamp()), "ago", "just now")


def left(stamp: str, now: int) -> str:
    """How long it is until a time of the wire."""
    return span(int(moment(stamp).timestamp()) - now, "left", "ending")


def span(seconds: int, after: str, short: str) -> str:
    """A length of time in the largest unit that it fills; `short` below a minute."""
    for size, unit in STEPS:
        if seconds >= size:
            return f"{seconds // size} {unit} {after}"
    return short


def moment(stamp: str) -> datetime:
    """A time of the wire."""
    return datetime.fromisoformat(stamp)


def utc(stamp: str) -> str:
    """A time of the wire, whole."""
    return f"{moment(stamp):%Y-%m-%d %H:%M} UTC"


def at(seconds: int, form: str) -> str:
    """A time in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def number(value: float | None, decimals: int = 4) -> str:
    """A number with so many decimals; a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{decimals}f}".replace("-", "−")


def short(value: float | None, digits: int = 2) -> str:
    """A number with so many digits that count; a dash for none."""
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−")


def percent(value: float) -> str:
    """A place along an axis, as SVG takes it."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%"


def clip(value: float) -> float:
    """The nearest value from 0 to 1."""
    return min(1.0, max(0.0, value))


def plural(count: int, noun: str) -> str:
    """`1 agent`, `2 agents`, `2 replies`, `2 matches`."""
    many = f"{noun[:-1]}ies" if noun.endswith("ly") else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}"


FILTERS = {
    "ago": ago, "left": left, "utc": utc, "number": number, "short": short, "percent": percent, "clip": clip,
    "plural": plural, "line": text.line, "clean": text.clean,
}  # fmt: skip
