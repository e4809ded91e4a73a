"""Somebody else's commit: taken in as data and never checked out; of its files only train.py is used.

What a hub sends is looked through in quarantine first, as the hub does with a push: sizes before anything is unpacked,
then every object, then every tree. Not covered: what train.py does when it runs; that is for the sandbox.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from autoresearch.arena import SHARED
from autoresearch.attempt.campaign import FOREIGN, PREFIX
from autoresearch.attempt.static import MOST_BYTES
from autoresearch.errors import GitFailed, Refused
from autoresearch.hub import arrivals, bundle, trees
from autoresearch.hub.client.api import Api, Request
from autoresearch.hub.limits import Limits
from autoresearch.repo import Repo
from autoresearch.repo.bare import Bare
from autoresearch.repo.quarantine import Quarantine

FETCHED = "refs/agenthub/"
TRAIN = SHARED[0]
LIMITS = Limits(unpacked_bytes=256 << 20, objects=50_000)  # a bundle holds the whole history of a commit


def fetch(api: Api, repo: Repo, name: str) -> tuple[str, str]:
    """Take a commit and its history into the repository; no file is touched.

    Args:
        name: its hash, or the first digits of it.

    Returns:
        Its full hash, and the text of its train.py.

    Raises:
        HubError: the hub said no, or sent what nobody should take.
        Refused: its frozen files differ from ours, or its train.py is no text of a usual size.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bundle"
        path.write_bytes(api.call(Request("GET", f"/api/git/fetch/{name}", most_bytes=LIMITS.bundle_bytes)))
        with open(path, "rb") as file, _room(repo, Path(place)) as room:
            commit = look_through(room, file, name)
            text = train_of(room, repo, commit)
        repo.run("bundle", "unbundle", str(path))
    repo.keep_reachable(FETCHED + commit, commit)
    return commit, text


@contextmanager
def _room(repo: Repo, place: Path) -> Iterator[Quarantine]:
    """A quarantine beside which there is nothing."""
    nothing = Bare(place / "nothing", repo.env["PATH"])
    nothing.create()
    room = Quarantine(nothing, place)
    try:
        yield room
    finally:
        room.close()


def look_through(room: Quarantine, file: BinaryIO, name: str) -> str:
    """The full hash of the commit that a bundle must offer, once all of it was looked at.

    Raises:
        HubError: it offers another, is not whole, or holds what nobody should take.
    """
    sent = bundle.read(file, LIMITS)
    offered = [one for one in sent.heads if one.startswith(name)]
    if len(offered) != 1 or sent.prerequisites:
        raise bundle.invalid(f"it must hold {name} with its whole history")
    try:
        commits = arrivals.read_commits(room, room.take(file, sent.pack_start), LIMITS)
    except GitFailed as error:
        raise bundle.invalid(str(error)) from error
    new = arrivals.new_ones(commits, sent.heads, set())
    trees.Forest(room).look_through(sorted({one.tree for one in new}))
    return offered[0]


def train_of(room: Quarantine, repo: Repo, commit: str) -> str:
    """The text of a commit's train.py, if its other shared files equal ours byte for byte.

    Raises:
        Refused: names the file that differs.
    """
    for path in SHARED:
        found = room.file(commit, path, LIMITS.blob_bytes)
        if not found:
            raise Refused(f"{commit[:7]} must hold {path} but does not")
        content = found[1]
        if path == TRAIN:
            train = content
        elif not (repo.root / path).is_file() or (repo.root / path).read_bytes() != content:
            raise Refused(
                f"{path} of {commit[:7]} must equal yours byte for byte but differs: its scores do not compare with "
                "yours, and it is nobody's to change"
            )
    if len(train) > MOST_BYTES:
        raise Refused(f"{TRAIN} of {commit[:7]} must have at most {MOST_BYTES:,} bytes but has {len(train):,}")
    try:
        return train.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{TRAIN} of {commit[:7]} must be UTF-8 but {error}") from error


def origins(repo: Repo, commit: str) -> list[str]:
    """Commits of strangers on whose train.py that of a commit may stand.

    It does if it, or the same file in its history, equals theirs, or what was tried in a tag into which theirs came.
    """
    held = repo.versions(TRAIN, [commit])
    found = {one for one in repo.refs(FETCHED).values() if repo.entry(one, TRAIN)[1] in held}
    for name, one in repo.refs(FOREIGN).items():
        tag = name.removeprefix(FOREIGN).partition("/")[0]
        if one not in found and held & tried(repo, tag):
            found.add(one)
    return sorted(found)


def tried(repo: Repo, tag: str) -> set[str]:
    """Object names of all train.py that were tried in a tag or committed to it, the baseline not counted."""
    attempts = repo.refs(f"refs/{PREFIX}{tag}/")
    baseline = attempts.get(f"refs/{PREFIX}{tag}/0001")
    tips = {*attempts.values(), *repo.refs(f"refs/heads/{PREFIX}{tag}").values()}
    return repo.versions(TRAIN, sorted(tips), [baseline] if baseline else []) if tips else set()
