"""What the trees of commits hold: only plain files in plain folders, as many as one can check out.

That no name is `.git`, `..`, or one that some file system takes for them, git has checked before.
"""

import re
from collections.abc import Sequence

from autoresearch.hub.bundle import invalid
from autoresearch.repo.bare import Bare

ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)  # of a tree whose form git has checked
FOLDER, SUBMODULE = b"40000", b"160000"
MODES = {FOLDER, b"100644", b"100755", b"100664"}
LINKS = {b"120000": "a symbolic link", SUBMODULE: "for submodules"}
PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]{0,254}")  # names that need no second look
ODD = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")
NAME_BYTES = 255
MOST_DEPTH = 32
MOST_FILES = 10_000  # of one commit; folders count too, and one that stands in several places counts as often
TREES_BYTES = 8 << 20
TRAIN = b"train.py"


class Forest:
    """Trees, each read once, however many commits hold it."""

    def __init__(self, bare: Bare):
        self.bare = bare
        self.num_bytes = 0
        self.folders: dict[str, list[str]] = {}
        self.num_entries: dict[str, int] = {}
        self.train_blobs: dict[str, str | None] = {}
        self.measured: dict[str, tuple[int, int]] = {}

    def look_through(self, roots: Sequence[str]) -> dict[str, str | None]:
        """Read the trees of commits and what is below them; returns the object names of train.py by root.

        Raises:
            HubError: 400 for what must not be there.
        """
        wanted = {*roots}
        for _ in range(MOST_DEPTH):
            for found, content in self.bare.contents(wanted):
                if not found or found.kind != "tree":
                    raise invalid("a commit or a folder holds something that is no tree")
                self.num_bytes = count(self.num_bytes, found.size)
                self._read(found.name, content)
            wanted = {one for tree in wanted for one in self.folders[tree]} - self.folders.keys()
            if not wanted:
                break
        for root in roots:
            self._measure(root, 1)
        return {root: self.train_blobs[root] for root in roots}

    def _read(self, tree: str, content: bytes) -> None:
        folders, train, found = [], None, ENTRY.findall(content)
        for mode, name, number in found:
            if mode not in MODES or not PLAIN.fullmatch(name):
                check(mode, name)
            if mode == FOLDER:
                folders.append(number.hex())
            elif name == TRAIN:
                train = number.hex()
        self.folders[tree], self.num_entries[tree], self.train_blobs[tree] = folders, len(found), train

    def _measure(self, tree: str, depth: int) -> tuple[int, int]:
        """Number of entries and of levels of a tree that is so deep in another."""
        too_deep = invalid(f"folders must not be nested more than {MOST_DEPTH} deep")
        if tree not in self.measured:
            if depth > MOST_DEPTH or tree not in self.folders:
                raise too_deep
            below = [self._measure(folder, depth + 1) for folder in self.folders[tree]]
            num = self.num_entries[tree] + sum(one[0] for one in below)
            if num > MOST_FILES:
                raise invalid(f"a commit must hold at most {MOST_FILES} files and folders")
            self.measured[tree] = num, 1 + max((one[1] for one in below), default=0)
        if depth + self.measured[tree][1] - 1 > MOST_DEPTH:
            raise too_deep
        return self.measured[tree]


def count(num_bytes: int, size: int) -> int:
    """The bytes of trees so far, and those of another one.

    Raises:
        HubError: 400 where that is too much.
    """
    if num_bytes + size > TREES_BYTES:
        raise invalid(f"its folders must take at most {TREES_BYTES} bytes together; leave out what the hub has")
    return num_bytes + size


def check(mode: bytes, name: bytes) -> None:
    """Refuse what is no file or folder, or has an odd name.

    Raises:
        HubError: 400.
    """
    shown = repr(name[:60].decode(errors="replace"))
    if mode in LINKS or name.lower() == b".gitmodules":
        raise invalid(f"{shown} is {LINKS.get(mode, LINKS[SUBMODULE])}; only files and folders are taken")
    if mode not in MODES:
        raise invalid(f"{shown} has the unknown mode {mode.decode()[:10]}")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"the name of a file must be UTF-8 but is {shown}") from error
    if ODD.search(text) or len(name) > NAME_BYTES:
        raise invalid(f"{shown} is no name for a file here")
