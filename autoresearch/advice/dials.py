"""The numeric constants of train.py, and how far each may go."""

import ast
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoresearch import knobs
from autoresearch.errors import Refused

COMMENT = re.compile(r"#.*?\brange: *(\S+?)\.\.(\S+)(.*)")
FIXED = re.compile(r"#.*?\brange: *none\b")
SHARE = re.compile(r"(FRAC|RATIO)$")
NEAR_ONE = re.compile(r"(MOMENTUM|BETA\d*|START)$")  # what counts of these is the distance to 1
SPREAD = 3.0  # without a stated range, a constant may become this many times larger or smaller


@dataclass(frozen=True)
class Dial:
    """A numeric constant, and where it may go."""

    key: str
    """As `knobs` names it."""
    value: float
    """In the champion."""
    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    is_power: bool = False
    """A power of two, which stays one."""

    def place(self, value: float) -> float:
        """Where a value lies in the range, 0 to 1."""
        here = max(value, self.low) if self.is_log else value
        low, high, here = (math.log(x) if self.is_log else x for x in (self.low, self.high, here))
        return min(1.0, max(0.0, (here - low) / (high - low)))

    def at(self, place: float) -> float:
        """The value at a place in the range, as it would be written."""
        low, high = (math.log(x) if self.is_log else x for x in (self.low, self.high))
        value = low + min(1.0, max(0.0, place)) * (high - low)
        value = math.exp(value) if self.is_log else value
        if self.is_power:
            return 2 ** round(math.log2(value))
        if self.is_whole:
            return round(value)
        written = float(f"{value:.3g}")
        return self.value if written == float(f"{self.value:.3g}") else written


def dials_of(source: str, scale: str, only: Sequence[str] = (), edited: str = "") -> list[Dial]:
    """The numeric constants that hold at a scale.

    A comment `# range: LOW..HIGH` (and `log`) on the line states the range, `# range: none` leaves the constant alone;
    without one it lies around the value. A range that does not hold the value is taken to reach to it.

    Args:
        edited: the source with edits under way, whose comments count; the values are those of `source`.

    Raises:
        Refused: a name in `only` that is no numeric constant, a range that is none, or edits that do not parse.
    """
    found = knobs.read(source)
    comments = _lines(source, found) | (_lines(edited, knobs.read(edited)) if edited else {})
    blocks = {one.name for one in found.values() if one.block and one.block == scale}
    dials, known = [], set()
    for one in found.values():
        if one.block not in ("", scale) or (not one.block and one.name in blocks):
            continue
        if isinstance(one.value, bool) or not isinstance(one.value, int | float) or one.line != one.last_line:
            continue
        is_wanted = not only or bool({one.name, one.key} & set(only))
        try:
            dial = _dial(one.key, one.value, comments[one.key])
        except Refused:
            if is_wanted:
                raise
            continue
        dials += [dial] if dial and is_wanted else []
        known |= {one.name, one.key} if dial else set()
    if missing := sorted(set(only) - known):
        raise Refused(f"{', '.join(missing)} must be numeric constants of train.py; known: {', '.join(sorted(known))}")
    return dials


def _lines(source: str, found: Mapping[str, knobs.Knob]) -> dict[str, str]:
    lines = source.splitlines()
    return {key: lines[one.line - 1] for key, one in found.items()}


def _dial(key: str, value: float, line: str) -> Dial | None:
    """A dial; None where nothing says how far it may go."""
    whole, power = isinstance(value, int), _is_power(value, 2 if key.endswith("BATCH_SIZE") else 16)
    if FIXED.search(line):
        return None
    if stated := COMMENT.search(line):
        try:
            low, high = (float(knobs.eval_literal(ast.parse(one, mode="eval").body)) for one in stated.groups()[:2])  # type: ignore[arg-type]
        except (ValueError, TypeError, SyntaxError) as error:
            raise Refused(f"the range of {key} must be two numbers such as 1e-3..1e-1 but got {stated[0]!r}") from error
        is_log = "log" in stated[3]
        if not low < high or (is_log and min(low, value) <= 0):
            hint = f", and for `log` all of it and the value, {value}, be above 0" if is_log else ""
            raise Refused(f"the range of {key} must rise{hint} but is {stated[1]}..{stated[2]}")
        return Dial(key, value, min(low, value), max(high, value), is_log, whole, power)
    if SHARE.search(key) and 0 <= value <= 1 and not whole:
        return Dial(key, value, 0.0, min(1.0, max(2 * value, 0.2)))
    if NEAR_ONE.search(key) and 0.5 < value < 1:
        return Dial(key, value, max(0.5, 1 - SPREAD * (1 - value)), 1 - (1 - value) / SPREAD)
    if value <= 0:
        return None
    if whole and not power and value < 32:
        return Dial(key, value, max(1, value // 2), value * 2, False, True)
    spread = 4.0 if power else SPREAD
    return Dial(key, value, max(1.0, value / spread) if power else value / spread, value * spread, True, whole, power)


def _is_power(value: float, least: int = 16) -> bool:
    return isinstance(value, int) and value >= least and value & (value - 1) == 0
