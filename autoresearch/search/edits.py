"""What a model wants changed in one file -> a unified diff of that file that applies; pure functions on text.

Models miscount lines, so a diff is read as pieces of text to be found and replaced; its numbers only choose between
equal places. Whatever the answer names or asks for, the result changes the text of this file and nothing else.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

MOST_CHARS = 100_000  # of all that an answer puts in, and of a diff
HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
BEYOND_TEXT = ("old mode", "new mode", "deleted file", "new file", "rename ", "copy ", "similarity ", "Binary files")
PREAMBLE = ("diff --git ", "index ")
FENCE = re.compile(r"\A\s*```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class Edit(BaseModel):
    """Text to be found, which stands in the file once, and what takes its place."""

    find: str
    replace: str


@dataclass(frozen=True)
class Hunk:
    """One place of a unified diff."""

    line: int
    """Where its author believes it to begin, from 1; 0: no idea."""
    old: str
    new: str


def with_edits(source: str, edits: Sequence[Edit]) -> str:
    """The text after all edits, one after the other.

    Raises:
        ValueError: a text to be found is not there, or more than once; in words for the author.
    """
    text = plain(source)
    _check_size(sum(len(edit.find) + len(edit.replace) for edit in edits))
    for place, edit in enumerate(edits, 1):
        find = plain(edit.find)
        times = text.count(find) if find else 0
        if times != 1:
            near = f"; the nearest there is {nearest(text, find)!r}" if find and not times else ""
            raise ValueError(
                f"`find` of edit {place} must stand in the file exactly once but stands {times} times{near}"
            )
        text = text.replace(find, plain(edit.replace))
    return as_in(source, text)


def with_diff(source: str, diff: str, path: str) -> str:
    """The text after a unified diff.

    Args:
        path: of the file; a diff may name it by any end of that, and is told of the last part alone.

    Raises:
        ValueError: it names another file, does more than change text, or one of its places is not there.
    """
    _check_size(len(diff))
    lines = source_lines(plain(source))
    shift = 0
    for hunk in hunks(plain(diff), path):
        old, new = source_lines(hunk.old), source_lines(hunk.new)
        place = _find(lines, old, hunk.line - 1 + shift)
        if place is None:
            raise ValueError(f"these lines of the diff must stand in the file but do not:\n{hunk.old[:2000]}")
        lines[place : place + len(old)] = new
        shift += len(new) - len(old)
    return as_in(source, "".join(lines))


def hunks(diff: str, path: str) -> list[Hunk]:
    """The places of a unified diff of one file.

    Raises:
        ValueError: it names another file, does more than change text, or has no place at all.
    """
    fenced = FENCE.match(diff)
    found: list[Hunk] = []
    body: list[str] = []
    line = -1  # no place has begun
    for row in [*source_lines(fenced[1] if fenced else diff), "@@"]:
        header = _is_header(row, in_hunk=line >= 0)
        if row.startswith(("@@", *PREAMBLE, *BEYOND_TEXT, "GIT binary patch")) or header:
            if line >= 0 and body:
                found.append(_hunk(line, body))
            body, line = [], -1
        if row.startswith((*BEYOND_TEXT, "GIT binary patch")):
            name = path.rpartition("/")[2]
            raise ValueError(f"the diff may change the text of {name} alone but has the line {row.strip()!r}")
        if header:
            _check_name(row, path)
        elif row.startswith("@@"):
            numbers = HUNK.match(row)
            line = int(numbers[1]) if numbers else 0
        elif line >= 0:
            body.append(row)
    if not found:
        raise ValueError("the diff must have at least one hunk, beginning with `@@ -line,count +line,count @@`")
    return found


def _is_header(row: str, in_hunk: bool) -> bool:
    """Whether a row names a file; within a hunk, `--- x` deletes `-- x` unless the name is spelt as git does."""
    names = r"--- (a/|/dev/null)|\+\+\+ (b/|/dev/null)" if in_hunk else r"--- |\+\+\+ "
    return re.match(names, row) is not None


def _check_name(row: str, path: str) -> None:
    named = row[4:].partition("\t")[0].strip().strip('"')
    bare = re.sub(r"^([ab]|\.)/", "", named)
    if not (bare and (path == bare or path.endswith(f"/{bare}"))):
        raise ValueError(f"the diff may change {path.rpartition('/')[2]} alone but names {named!r}")


def _hunk(line: int, body: list[str]) -> Hunk:
    """Old and new text; a row without a mark is one of context whose leading space was lost."""
    while body and not body[-1].strip():
        body.pop()  # empty rows between hunks belong to none
    old: list[str] = []
    new: list[str] = []
    for row in body:
        mark, rest = (row[0], row[1:]) if row[0] in " +-\\" else (" ", row)
        if mark == "\\":  # no line break at the end of the row before
            continue
        if mark in " -":
            old.append(rest)
        if mark in " +":
            new.append(rest)
    return Hunk(line, "".join(old), "".join(new))


def _find(lines: list[str], wanted: list[str], expected: int) -> int | None:
    """Where rows stand, at the place nearest to the expected one; ends of rows count for nothing."""
    if not wanted:
        return min(max(expected + 1, 0), len(lines))
    bare, sought = [one.rstrip() for one in lines], [one.rstrip() for one in wanted]
    starts = [place for place, one in enumerate(bare) if one == sought[0]]
    found = [place for place in starts if bare[place : place + len(sought)] == sought]
    return min(found, key=lambda place: abs(place - expected), default=None)


def unified(old: str, new: str, name: str) -> str:
    """A diff that git applies: rows end at line feeds alone, and a last one without is marked."""
    rows = difflib.unified_diff(source_lines(old), source_lines(new), f"a/{name}", f"b/{name}")
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def invisible(old: str, new: str) -> list[str]:
    """Characters that a reader of the change would not see, such as those that turn the direction of writing."""
    added = set(new) - set(old)
    return sorted(f"U+{ord(one):04X}" for one in added if one not in "\t\n\r" and unicodedata.category(one)[0] == "C")


def nearest(text: str, wanted: str) -> str:
    """The rows of a text that are most like the wanted ones."""
    rows, first = source_lines(text), (source_lines(wanted.lstrip("\n")) or [""])[0]
    match = difflib.get_close_matches(first[:200], rows, 1, 0.5)
    place = rows.index(match[0]) if match else 0
    return "".join(rows[place : place + max(1, wanted.count("\n"))])[:500]


def plain(text: str) -> str:
    """A text whose rows end with line feeds."""
    return text.replace("\r\n", "\n")


def as_in(source: str, text: str) -> str:
    """A text whose rows end as those of the file do."""
    return text.replace("\n", "\r\n") if 0 < source.count("\n") == source.count("\r\n") else text


def source_lines(text: str) -> list[str]:
    """Rows with their ends; form feeds and the like end none."""
    return list(_rows(text))


def _rows(text: str) -> Iterator[str]:
    first, *rest = text.split("\n")
    for row in rest:
        yield f"{first}\n"
        first = row
    if first:
        yield first


def _check_size(num_chars: int) -> None:
    if num_chars > MOST_CHARS:
        raise ValueError(f"a change must have at most {MOST_CHARS:,} characters but has {num_chars:,}")
