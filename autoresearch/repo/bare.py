"""The bare repository of a hub: objects that strangers sent, and one reference for each tip.

It takes nothing in; that is quarantine.py's task. Names of objects that come here are full and of hex digits.
"""

import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from autoresearch.errors import GitFailed
from autoresearch.repo.bounded import USUAL, Bounds, reading
from autoresearch.repo.git import SETTINGS, Git

HASH = re.compile(r"[0-9a-f]{40}")
TIPS = "refs/hub/tips/"
DIFF = ("--no-color", "--no-ext-diff", "--no-textconv")
SMALL = (  # packs of any size are read through windows of a bounded size, by one thread
    *("core.packedGitWindowSize=16m", "core.packedGitLimit=64m", "core.deltaBaseCacheLimit=16m", "pack.threads=1"),
    *("pack.windowMemory=64m", "pack.writeReverseIndex=false"),
)
TIDYING = Bounds(seconds=550, cpu_s=500, memory_bytes=4 << 30, file_bytes=1 << 40)
DIFFING = Bounds(seconds=5, cpu_s=5, file_bytes=128 << 20)
MOST_PACKS = 50
MANY_TIPS = 50


class Object(NamedTuple):
    """An object by its name."""

    name: str
    kind: str
    size: int


class Bare(Git):
    """A repository without a working tree, in which nobody's configuration, hooks or attributes count."""

    settings = (*SETTINGS, *SMALL)

    def __init__(self, root: Path, path: str = os.defpath):
        """Nothing is touched; see `create`.

        Args:
            path: where programs are looked for.
        """
        super().__init__(root.absolute(), {"PATH": path})
        self.tidying = threading.Lock()
        self.env |= {
            **{"GIT_DIR": str(self.root), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull},
            **{"GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1"},
        }

    @property
    def objects(self) -> Path:
        """Folder of the objects."""
        return self.root / "objects"

    @property
    def packs(self) -> Path:
        """Folder of the packs."""
        return self.objects / "pack"

    def create(self) -> None:
        """Make the repository, or what was left unmade; one that is whole is not written to."""
        self.root.mkdir(parents=True, exist_ok=True)
        if not self._is_whole():
            self.run("init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch=none")

    def _is_whole(self) -> bool:
        """Whether `git init` came to its end, which on a full disk it would not do again."""
        try:
            return self.packs.is_dir() and self.run("rev-parse", "--is-bare-repository") == "true"
        except GitFailed:
            return False

    def _run(self, args: tuple[str, ...], stdin: str, ok: tuple[int, ...], env: Mapping[str, str] | None) -> str:
        assert ok == (0,) and not env
        with self._asking(args, stdin.splitlines()) as output:
            return output.read().decode(errors="surrogateescape")

    @contextmanager
    def _asking(
        self, args: Iterable[str], lines: Iterable[str], bounds: Bounds = USUAL, stdout: BinaryIO | None = None
    ) -> Iterator[BinaryIO]:
        """Run a command that is given lines; yields what it writes."""
        with tempfile.TemporaryFile() as file:
            file.writelines(f"{line}\n".encode(errors="surrogateescape") for line in lines)
            file.seek(0)
            with self.reading(*args, stdin=file, stdout=stdout, bounds=bounds) as output:
                yield output

    def reading(
        self, *args: str, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None, bounds: Bounds = USUAL
    ) -> AbstractContextManager[BinaryIO]:
        """Run a command within bounds; see `bounded.reading`."""
        return reading(self.command(*args), self.root, self.env, stdin, stdout, bounds)

    def infos(self, names: Iterable[str]) -> list[Object | None]:
        """Kinds and sizes of objects, in the order asked for; None for one that is not there."""
        with self._asking(("cat-file", "--batch-check"), names) as output:
            return [parse_object(line) for line in output]

    def contents(self, names: Iterable[str]) -> Iterator[tuple[Object | None, bytes]]:
        """Objects with what they hold, in the order asked for, one in memory at a time."""
        with self._asking(("cat-file", "--batch"), names) as output:
            for line in output:
                found = parse_object(line)
                yield found, output.read(found.size + 1)[:-1] if found else b""

    def commits(self) -> set[str]:
        """All commits that are there, whether anything leads to them or not."""
        with self._asking(("cat-file", "--batch-check", "--batch-all-objects", "--unordered"), ()) as output:
            return {found.name for line in output if (found := parse_object(line)) and found.kind == "commit"}

    def file(self, commit: str, path: str, most_bytes: int) -> tuple[int, bytes] | None:
        """Size of a file of a commit, and its bytes if there are at most so many; None where there is no such file.

        Args:
            path: without line breaks.
        """
        with self._asking(("cat-file", "--batch"), [f"{commit}:{path}"]) as output:
            found = parse_object(output.readline())
            if not found or found.kind != "blob":
                return None
            return found.size, output.read(found.size) if found.size <= most_bytes else b""

    def diff(self, old: str, new: str, most_bytes: int) -> tuple[bytes, bool]:
        """The head of what `git diff old new` writes, and whether that is all of it."""
        assert HASH.fullmatch(old) and HASH.fullmatch(new)
        with self.reading("diff", *DIFF, old, new, "--", bounds=DIFFING) as output:
            return output.read(most_bytes), not output.read(1)

    def patch_ids(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Stable patch ids by commit, of pairs of a commit and its parent; none for a commit that changes nothing.

        Raises:
            GitFailed: the differences are too large or take too long.
        """
        with tempfile.TemporaryFile(dir=self.objects) as patches:
            lines = (f"{commit} {parent}" for commit, parent in pairs)
            with self._asking(("diff-tree", "--stdin", "-r", "-p", "--no-renames", *DIFF), lines, DIFFING, patches):
                pass
            patches.seek(0)
            with self.reading("patch-id", "--stable", stdin=patches, bounds=DIFFING) as output:
                rows = [line.decode().split() for line in output]
        return {commit: patch for patch, commit in rows}

    def bundle(self, commit: str, file: BinaryIO) -> None:
        """Write a bundle of a commit and all that it is built on, for a repository that has nothing."""
        self._bundle({"HEAD": commit}, file, USUAL)

    def export(self, tips: Iterable[str], file: BinaryIO) -> None:
        """Write a bundle of all that the tips lead to, with their references; git can clone it."""
        self._bundle({f"{TIPS}{one}": one for one in sorted(tips)}, file, TIDYING)

    def _bundle(self, refs: Mapping[str, str], file: BinaryIO, bounds: Bounds) -> None:
        lines = [f"{commit} {name}\n" for name, commit in refs.items()]
        file.write("".join(["# v2 git bundle\n", *lines, "\n"]).encode())
        file.flush()
        pack = ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "--window=0", "--quiet")
        with self._asking(pack, refs.values(), bounds, file):
            pass

    def unbundle(self, bundle: Path) -> None:
        """Take in what `export` wrote, references and all.

        Raises:
            GitFailed: it is damaged, or something is missing.
        """
        refs = f"{TIPS}*:{TIPS}*"
        with self.reading("fetch", "--quiet", "--no-write-fetch-head", str(bundle.absolute()), refs, bounds=TIDYING):
            pass
        self.tidy()

    def tips(self) -> set[str]:
        """Commits that have a reference."""
        return set(self.run("for-each-ref", "--format=%(objectname)", TIPS).split())

    def keep(self, tips: Iterable[str]) -> None:
        """Give commits a reference each, if they have none."""
        names = [f"{TIPS}{one}" for one in tips]
        for path in (self.root / name for name in names):
            if path.exists() and not path.stat().st_size:
                path.unlink()  # a loss of power emptied it, and git does not write over it
        lines = [f"update {name} {name.removeprefix(TIPS)}" for name in names]
        is_many = len(names) > MANY_TIPS  # then flushed as one file, not one by one
        flushed = () if is_many else ("-c", "core.fsync=reference")
        with self._asking((*flushed, "update-ref", "--stdin"), lines, TIDYING):
            pass
        if is_many:
            with self.reading("-c", "core.fsync=reference", "pack-refs", "--all", bounds=TIDYING):
                pass

    def tidy_if_due(self, most_packs: int = MOST_PACKS) -> None:
        """Tidy once there are many packs, unless somebody is at it."""
        num_packs = sum(name.endswith(".idx") for name in os.listdir(self.packs))
        if num_packs > most_packs and self.tidying.acquire(blocking=False):
            try:
                self.tidy()
            finally:
                self.tidying.release()

    def tidy(self) -> None:
        """Join small packs and references; nothing is lost, and whoever reads meanwhile is not disturbed."""
        with self.locked():
            for args in (("pack-refs", "--all"), ("repack", "--geometric=2", "-d", "--quiet")):
                with self.reading(*args, bounds=TIDYING):
                    pass

    def collect_garbage(self, tips: Iterable[str], prune: str = "2.weeks.ago") -> None:
        """Pack everything that the tips lead to; what nothing leads to is dropped at that age.

        Pushes may go on meanwhile, unless `prune` is shorter than one takes.
        """
        with self.locked():
            self.keep(set(tips) - self.tips())
            with self.reading("gc", "--quiet", f"--prune={prune}", bounds=TIDYING):
                pass

    @contextmanager
    def locked(self, kind: int = fcntl.LOCK_SH) -> Iterator[None]:
        """A lock of `fcntl.flock`: shared among those who write, exclusive for who clears up after those that died.

        Raises:
            BlockingIOError: it is taken, and `kind` has LOCK_NB.
        """
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    def contained(self, index: Path) -> set[str]:
        """Names of all objects of a pack, by the index beside it."""
        with index.open("rb") as file, self.reading("show-index", stdin=file) as output:
            return {line.split()[1].decode() for line in output}

    def check(self) -> None:
        """Go through all that the tips lead to.

        Raises:
            GitFailed: something is missing or broken.
        """
        with self.reading("rev-list", "--objects", "--all", "--quiet", bounds=TIDYING):
            pass


def parse_object(line: bytes) -> Object | None:
    """A line of `cat-file`; a name that is not there, or stands for several, has no size."""
    name, _, rest = line.decode(errors="replace").rstrip("\n").rpartition(" ")[0].partition(" ")
    size = line.rstrip(b"\n").rpartition(b" ")[2]
    return Object(name, rest, int(size)) if rest and size.isdigit() and HASH.fullmatch(name) else None
