"""One reported measurement: what a request or a line must say, when two say the same, and what is not believed.

What is implausible is stored like everything else, but kept apart ("quarantined") with the reason, and counts neither
on the leaderboard nor towards the noise:

- a val_bpb of 0 or less, which no model can have, or above 8, which is worse than guessing every byte;
- a val_bpb more than 20% below the best that is believed on that platform in that regime, once there are three. All
  gains of the best documented campaign together came to 4%. It is believed, and with it the agreeing one, as soon as
  another agent reports the same code within 1% of it.

It covers neither lies within these bounds nor agents that one person runs under several names.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from autoresearch.errors import HubError
from autoresearch.hub.result_line import ResultLine, platform_name
from autoresearch.records import Status

METRIC = "val_bpb"
GUESSING_BPB = 8.0
FAR_FRAC = 0.2
NUM_BELIEVED = 3
CONFIRM_FRAC = 0.01
FAR = "far below"
DESCRIPTION_CHARS = 2000
WORD_CHARS = 128
WORD = re.compile(r"[\w.:+/-]+")
LINE_DECIMALS = 4
INT64 = 2**63 - 1
UNSCORED = (Status.CRASH, Status.CANCELLED, Status.BACKTRACK)
SCORED = (Status.KEEP, Status.DISCARD, Status.BACKTRACK)


@dataclass(frozen=True)
class Measurement:
    """What an agent says about one run."""

    commit: str
    """7 to 64 hex digits, as it was given."""
    platform: str
    metric: str
    value: float | None
    """None for a run without a score."""
    status: str
    vram_gb: float | None = None
    seconds: float | None = None
    steps: int | None = None
    tokens_m: float | None = None
    seed: int | None = None
    description: str = ""
    regime: str = ""
    """Under which terms it was measured; only equal ones compare. Lines of posts have none."""
    idempotency_key: str | None = None

    @classmethod
    def from_line(cls, line: ResultLine) -> Self:
        """The measurement that a line of a post reports."""
        value = None if line.status == Status.CRASH else line.val_bpb
        description = line.description[:DESCRIPTION_CHARS]
        return cls(line.commit, line.platform, METRIC, value, line.status, line.vram_gb, description=description)

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        """The measurement that a request reports.

        Raises:
            HubError: 400, with what must hold.
        """
        value = number(body, "value", lowest=-math.inf)
        return cls(
            commit=commit_name(body.get("commit"), "commit"),
            platform=platform_of(body),
            metric=word(body, "metric", METRIC),
            value=value,
            status=status_of(body.get("status"), value),
            vram_gb=number(body, "vram_gb"),
            seconds=number(body, "seconds"),
            steps=whole(body, "steps"),
            tokens_m=number(body, "tokens_m"),
            seed=whole(body, "seed", lowest=-INT64),
            description=text(body, "description", DESCRIPTION_CHARS),
            regime=word(body, "regime", ""),
            idempotency_key=text(body, "idempotency_key", WORD_CHARS) or None,
        )


def doubt(measured: Mapping[str, Any], best: Sequence[float]) -> str:
    """Why a result is not believed; empty when it is.

    Args:
        measured: in the shape of the wire.
        best: the lowest believed values of its platform, metric and regime, rising; three are enough.
    """
    value, platform, regime = measured["value"], measured["platform"], measured["regime"]
    if value is None or measured["metric"] != METRIC:
        return ""
    if value <= 0:
        return f"{METRIC} must be above 0"
    if value > GUESSING_BPB:
        return f"{METRIC} above {GUESSING_BPB:g} is worse than guessing every byte"
    if len(best) >= NUM_BELIEVED and value < (1 - FAR_FRAC) * best[0]:
        where = f"{platform} in regime {regime}" if regime else platform
        return (
            f"{FAR} {best[0]:g}, the best on {where}; it is believed once another agent reports the same code "
            f"within {CONFIRM_FRAC:.0%} of it"
        )
    return ""


def is_same(one: float | None, other: float | None) -> bool:
    """Whether two values are one measurement, written with more and with fewer decimals (four at least)."""
    if one is None or other is None:
        return one is other
    decimals = min(_decimals(one), _decimals(other))
    return abs(one - other) <= 0.5 * 10**-decimals * (1 + 1e-6)


def _decimals(value: float) -> int:
    _, _, fraction = f"{value:.12f}".rstrip("0").partition(".")
    return max(LINE_DECIMALS, len(fraction))


def is_near(one: float, other: float) -> bool:
    """Whether the value of another agent confirms this one."""
    return abs(one - other) <= CONFIRM_FRAC * abs(one)


def status_of(status: object, value: float | None) -> str:
    """The status of a request, which must go with its value."""
    allowed = UNSCORED if value is None else SCORED
    if status is None:
        return allowed[0]
    if status not in list(allowed):
        found = "without a value" if value is None else "with a value"
        raise HubError(400, f"status {found} must be one of {', '.join(allowed)} but got {status!r:.80}")
    return str(status)


def platform_of(body: dict[str, Any]) -> str:
    """The platform, as one word."""
    if name := platform_name(text(body, "platform", WORD_CHARS)):
        return name
    raise HubError(400, "platform must be a short name such as H100")


def commit_name(value: object, name: str) -> str:
    """A commit by 7 hex digits or more."""
    found = value.lower() if isinstance(value, str) else ""
    if 7 <= len(found) <= 64 and not set(found) - set("0123456789abcdef"):
        return found
    raise HubError(400, f"{name} must have 7 to 64 hex digits but got {value!r:.80}")


def text(body: dict[str, Any], name: str, most_chars: int) -> str:
    """A text of a request; empty where there is none."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most_chars:
        raise HubError(400, f"{name} must be a text of at most {most_chars} characters")
    return value


def word(body: dict[str, Any], name: str, default: str) -> str:
    """A short text without blanks, quotes or control characters."""
    value = text(body, name, WORD_CHARS) or default
    if value and not WORD.fullmatch(value):
        raise HubError(400, f"{name} must be one word of letters, digits and . : + / - but got {value!r:.80}")
    return value


def number(body: dict[str, Any], name: str, lowest: float = 0.0) -> float | None:
    """A finite number, or None."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100 and value >= lowest:
        return float(value)
    raise HubError(400, f"{name} must be a finite number{' of 0 or more' if lowest == 0 else ''} but got {value!r:.80}")


def whole(body: dict[str, Any], name: str, lowest: int = 0) -> int | None:
    """A whole number, or None."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= INT64:
        return value
    raise HubError(400, f"{name} must be a whole number from {lowest} to {INT64} but got {value!r:.80}")
