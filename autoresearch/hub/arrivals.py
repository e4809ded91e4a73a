"""Commits of a bundle that stands in quarantine: read, checked, put in order, and packed for the store."""

import codecs
import graphlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from autoresearch.errors import GitFailed
from autoresearch.hub import trees
from autoresearch.hub.bundle import Bundle, invalid
from autoresearch.hub.limits import Limits
from autoresearch.hub.store.commits import Arrival
from autoresearch.repo.bare import Object
from autoresearch.repo.quarantine import Quarantine

MOST_BYTES = {"commit": 64 << 10, "tree": 1 << 20}
SUBJECT_CHARS = 400
ENCODINGS = ("iso8859", "cp125", "koi8", "gb", "big5", "euc", "shift_jis")
WHO = re.compile(r" -?[0-9]+ [-+][0-9]+$")


@dataclass(frozen=True)
class Commit:
    """A commit as it was sent."""

    hash: str
    tree: str
    parents: tuple[str, ...]
    author: str
    text: str
    """The message."""


def read_commits(room: Quarantine, sent: Iterable[Object], limits: Limits) -> dict[str, Commit]:
    """Commits among what was sent, by hash.

    Raises:
        HubError: 400 for a kind or a size that is not taken.
    """
    names, trees_bytes = [], 0
    for one in sent:
        most_bytes = min(limits.blob_bytes, MOST_BYTES.get(one.kind, limits.blob_bytes))
        if one.kind == "tag":
            raise invalid("only commits can be pushed, no tags; `git bundle create FILE HEAD`")
        if one.size > most_bytes:
            raise invalid(f"a {one.kind} must have at most {most_bytes} bytes but one has {one.size}")
        if one.kind == "tree":
            trees_bytes = trees.count(trees_bytes, one.size)
        if one.kind == "commit":
            names.append(one.name)
    return {found.name: parse(found.name, content) for found, content in room.contents(names) if found}


def parse(name: str, content: bytes) -> Commit:
    """A commit whose form git has checked."""
    head, _, text = content.partition(b"\n\n")
    fields: dict[str, list[bytes]] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        fields.setdefault(key.decode(errors="replace"), []).append(value)
    encoding = _encoding(fields.get("encoding", [b"utf-8"])[0])
    author, message = (one.decode(encoding, "replace") for one in (fields["author"][0], text))
    parents = tuple(one.decode() for one in fields.get("parent", []))
    return Commit(name, fields["tree"][0].decode(), parents, WHO.sub("", author), message)


def _encoding(named: bytes) -> str:
    """The encoding that a commit names, if it is one of letters; some of those that Python knows take for ever."""
    try:
        known = codecs.lookup(named.decode("ascii")).name
    except (LookupError, ValueError):
        return "utf-8"
    return known if known.startswith(ENCODINGS) else "utf-8"


def subject_and_body(text: str) -> tuple[str, str]:
    """The first paragraph in one line, and the rest; all of the text is the rest where that line is cut."""
    head, _, rest = text.lstrip("\n").partition("\n\n")
    subject = " ".join(line.strip() for line in head.split("\n")).strip()
    if len(subject) > SUBJECT_CHARS:
        return subject[: SUBJECT_CHARS - 1] + "…", text.strip("\n")
    return subject, rest.strip("\n")


def new_ones(commits: Mapping[str, Commit], heads: Iterable[str], known: set[str]) -> list[Commit]:
    """Commits that the heads lead to and the hub has not, parents first.

    Raises:
        HubError: 400 for a head that is no commit, or a parent that is neither sent nor known.
    """
    wanted = list(heads)
    graph: dict[str, list[str]] = {}
    while wanted:
        name = wanted.pop()
        if name in known or name in graph:
            continue
        if name not in commits:
            raise invalid(f"{name} is neither a commit of the bundle nor known; push its whole history")
        graph[name] = [parent for parent in commits[name].parents if parent not in known]
        wanted.extend(graph[name])
    return [commits[name] for name in graphlib.TopologicalSorter(graph).static_order()]


def prepare(room: Quarantine, bundle: Bundle, commits: Mapping[str, Commit], known: set[str]) -> list[Arrival]:
    """Check what new commits hold and make their pack; nothing new gives an empty list, and no pack.

    Raises:
        HubError: 400.
        GitFailed: something is missing.
    """
    new = new_ones(commits, bundle.heads, known)
    if not new:
        return []
    blobs = trees.Forest(room).look_through(sorted({one.tree for one in new}))
    names = {one.hash for one in new}
    room.pack(names.intersection(bundle.heads), {parent for one in new for parent in one.parents} - names)
    patches = _patch_ids(room, new)
    return [_arrival(one, blobs[one.tree], patches.get(one.hash)) for one in new]


def _patch_ids(room: Quarantine, new: Iterable[Commit]) -> dict[str, str]:
    """Patch ids by commit; none where the patches are too large to tell."""
    try:
        return room.patch_ids([(one.hash, one.parents[0]) for one in new if one.parents])
    except GitFailed:
        return {}


def _arrival(one: Commit, blob: str | None, patch: str | None) -> Arrival:
    subject, body = subject_and_body(one.text)
    return Arrival(one.hash, one.parents, one.tree, one.author, subject, body, blob, patch)


def names_of(commits: Mapping[str, Commit]) -> Iterator[str]:
    """All commits that are sent or named as parents."""
    for one in commits.values():
        yield one.hash
        yield from one.parents
