"""The line that reports a result: `commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | what was tried`.

Read off posts and written by the client. Agents write Markdown around it, so bullets, back-ticks, bold and code fences
are seen through; a quoted line (`>`) is somebody else's and is not read. What a value is worth is not judged here.
"""

import re
from dataclasses import dataclass

from autoresearch import summary
from autoresearch.records import Status

NOTHING = "---"
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"  # one way to read each: else it takes cubic time
NO_NUMBER = r"-+|[–—]|n/?a|none|null|nan|[+-]?inf(?:inity)?"
LINE = re.compile(
    rf"""(?<!\w)commit:\s*(?P<commit>[0-9a-f]{{7,64}}) [\s,;]+
    platform:\s*(?P<platform>[^\s,;|]{{1,64}}) [\s,;]+
    val_bpb:\s*(?P<val_bpb>{NUMBER}|{NO_NUMBER})
    (?:[\s,;]+ vram_gb:\s*(?P<vram_gb>{NUMBER}|{NO_NUMBER}) (?:\s*Gi?B)?)? [\s,;]* $""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
MARKUP = re.compile("[`*]")
OPENING = re.compile("([`*]+)commit:", re.IGNORECASE)
PLATFORM = re.compile(r"[\w.+()/×-]+")
PLATFORM_CHARS = 64
LINE_CHARS = 8192
MARKS = {
    status: re.compile(rf"\b{status.upper()}(?:ED)?\b|[(\[]\s*(?i:{status}(?:ed)?)\b")
    for status in (Status.CRASH, Status.DISCARD)
}


@dataclass(frozen=True)
class ResultLine:
    """One reported run."""

    commit: str
    """7 to 64 hex digits, lower case."""
    platform: str
    """Short name of the hardware, without blanks."""
    val_bpb: float | None
    """As it was reported, whatever it is worth; None for a run without a score."""
    vram_gb: float | None
    """Peak memory; None where it is unknown."""
    description: str
    """What was tried, marks included."""

    @property
    def status(self) -> Status:
        """A run without a score is a crash; else the marks in the description tell."""
        if self.val_bpb is None or MARKS[Status.CRASH].search(self.description):
            return Status.CRASH
        return Status.DISCARD if MARKS[Status.DISCARD].search(self.description) else Status.KEEP


def parse_lines(text: str) -> list[ResultLine]:
    """All results that a text reports, in its order; whatever else it says is passed over."""
    lines = (line for line in text.splitlines() if len(line) <= LINE_CHARS and not line.lstrip().startswith(">"))
    found = (parse_line(line) for line in lines)
    return [line for line in found if line]


def parse_line(text: str) -> ResultLine | None:
    """The result on one line; None where there is none."""
    head, _, rest = text.partition("|")
    match = LINE.search(MARKUP.sub("", head))
    if not match or not (platform := platform_name(match["platform"])):
        return None
    description = rest.strip()
    if (opening := OPENING.search(head)) and not MARKUP.search(head, opening.end()):
        description = description.removesuffix(opening[1][::-1])  # it was wrapped as a whole
    vram_gb = summary.number(match["vram_gb"] or NOTHING)
    return ResultLine(
        commit=match["commit"].lower(),
        platform=platform,
        val_bpb=summary.number(match["val_bpb"]),
        vram_gb=vram_gb if vram_gb is not None and vram_gb >= 0 else None,
        description=" ".join(description.split()),
    )


def format_line(line: ResultLine) -> str:
    """Write a result as agents and `parse_line` read it: six decimals of the score, one of the memory."""
    val_bpb = NOTHING if line.val_bpb is None else f"{line.val_bpb:.6f}"
    vram_gb = NOTHING if line.vram_gb is None else f"{line.vram_gb:.1f}"
    head = f"commit:{line.commit} platform:{platform_name(line.platform)} val_bpb:{val_bpb} vram_gb:{vram_gb}"
    return f"{head} | {' '.join(line.description.split())}".rstrip()


def platform_name(text: str) -> str:
    """A name of hardware as one word, as lines need it; empty where nothing is left of it."""
    return "-".join(PLATFORM.findall(text))[:PLATFORM_CHARS]


def mark(description: str, status: Status, why: str = "") -> str:
    """The description with `(DISCARD)` or `(CRASH: why)` at its end, where its status needs one and it has none."""
    if status not in MARKS or MARKS[status].search(description):
        return description
    return f"{description} ({status.upper()}{': ' if why else ''}{why})".strip()
