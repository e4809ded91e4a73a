"""A diff as lines with numbers and kinds, and what changed within a line."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from autoresearch.report import text

HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)")
LINE_CHARS = 2000
LEAST_ALIKE = 0.3


@dataclass(frozen=True)
class Line:
    """One line; `before` and `after` stay as they were, `changed` is what differs from its counterpart."""

    kind: str
    """`add`, `del`, `same`, `hunk` or `note`."""
    old: int | None
    new: int | None
    before: str
    changed: str = ""
    after: str = ""


@dataclass
class File:
    """What was changed in one file."""

    name: str
    lines: list[Line] = field(default_factory=list)
    added: int = 0
    deleted: int = 0


def parse(diff: str, first: str) -> list[File]:
    """The files of a diff as git writes it, one of them first."""
    files: list[File] = []
    old = new = 0
    in_hunk = False
    for line in _lines(diff):
        if line.startswith("diff --git "):
            files.append(File(_name(line)))
            in_hunk = False
        elif not files:
            continue
        elif found := HUNK.match(line):
            old, new, in_hunk = int(found[1]), int(found[2]), True
            files[-1].lines.append(Line("hunk", None, None, found[3][:LINE_CHARS]))
        elif in_hunk and line[:1] in ("+", "-", " "):
            kind = {"+": "add", "-": "del", " ": "same"}[line[0]]
            here = (old if kind != "add" else None, new if kind != "del" else None)
            files[-1].lines.append(Line(kind, *here, line[1 : LINE_CHARS + 1]))
            files[-1].added += kind == "add"
            files[-1].deleted += kind == "del"
            old, new = old + (kind != "add"), new + (kind != "del")
        elif line.startswith(("Binary files", "new file", "deleted file", "rename ", "old mode", "new mode")):
            files[-1].lines.append(Line("note", None, None, line[:LINE_CHARS]))
    for file in files:
        file.lines = list(_compared(file.lines))
    return sorted(files, key=lambda file: file.name != first)


def whole(name: str, content: str) -> File:
    """A file as it is, with numbers."""
    lines = enumerate(_lines(content.removesuffix("\n")), 1)
    return File(name, [Line("same", None, number, line[:LINE_CHARS]) for number, line in lines])


def _lines(told: str) -> list[str]:
    """Lines as git counts them: what else ends a line elsewhere is a character here."""
    return [text.clean(line.removesuffix("\r").replace("\r", "\ufffd")) for line in told.split("\n")]


def _name(line: str) -> str:
    """The file of a `diff --git a/x b/x` line, by its new name."""
    half = line.removeprefix("diff --git ")
    return half[len(half) // 2 + 1 :].removeprefix("b/").strip('"')[:300]


def _compared(lines: Sequence[Line]) -> Iterator[Line]:
    """The same lines; where as many were deleted as added, each with what changed marked."""
    place = 0
    while place < len(lines):
        end_deleted = _end(lines, place, "del")
        end_added = _end(lines, end_deleted, "add")
        deleted, added = lines[place:end_deleted], lines[end_deleted:end_added]
        if deleted and len(deleted) == len(added):
            pairs = [_marked(one, other) for one, other in zip(deleted, added, strict=True)]
            yield from (pair[0] for pair in pairs)
            yield from (pair[1] for pair in pairs)
            place = end_added
        elif deleted:
            yield from deleted
            place = end_deleted
        else:
            yield lines[place]
            place += 1


def _end(lines: Sequence[Line], place: int, kind: str) -> int:
    while place < len(lines) and lines[place].kind == kind:
        place += 1
    return place


def _marked(one: Line, other: Line) -> tuple[Line, Line]:
    """Two lines of which one took the other's place, split at what both begin and end with, in whole words."""
    a, b = one.before, other.before
    head = _common(a, b)
    while head and _in_word(a[head - 1]):
        head -= 1
    tail = _common(a[head:][::-1], b[head:][::-1])
    while tail and _in_word(a[-tail]):
        tail -= 1
    if len(a[:head].strip()) + tail < LEAST_ALIKE * max(len(a), len(b)):
        return one, other  # another line altogether
    return _split(one, head, tail), _split(other, head, tail)


def _common(a: str, b: str) -> int:
    """How many characters both begin with."""
    ends = (place for place, (one, other) in enumerate(zip(a, b, strict=False)) if one != other)
    return next(ends, min(len(a), len(b)))


def _in_word(char: str) -> bool:
    return char.isalnum() or char in "_."


def _split(line: Line, head: int, tail: int) -> Line:
    words = line.before
    return replace(line, before=words[:head], changed=words[head : len(words) - tail], after=words[len(words) - tail :])
