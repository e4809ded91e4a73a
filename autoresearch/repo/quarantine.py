"""What a stranger sent, until it is believed: a folder of objects of its own, from which the store can be read.

git checks here that every object is sound and that nothing is missing; what is allowed beyond that, ingest.py says.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from autoresearch.repo.bare import Bare, Object, parse_object
from autoresearch.repo.bounded import Bounds, reading

INDEXING = Bounds(seconds=20, cpu_s=15, memory_bytes=256 << 20, file_bytes=256 << 20)
QUICK = ("-c", "core.fsync=none")  # nothing of a quarantine outlives a loss of power, but for the pack that is moved


class Quarantine(Bare):
    """A folder in quarantine; `close` removes it."""

    def __init__(self, store: Bare, above: Path):
        """Make the folder; who clears up is waited for.

        Args:
            above: where quarantines are, on the file system of the store.
        """
        super().__init__(store.root, store.env["PATH"])
        self.store, self.lock = store, ExitStack()
        self.lock.enter_context(store.locked())
        try:
            self.folder = Path(tempfile.mkdtemp(dir=above)).absolute()
            self.packs.mkdir(parents=True)
        except BaseException:
            self.lock.close()
            raise
        self.alone = {**self.env, "GIT_OBJECT_DIRECTORY": str(self.objects)}
        beside = str(store.objects).replace("\\", r"\\").replace('"', r"\"")
        self.env = {**self.alone, "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{beside}"'}
        self.name, self.is_published = "", False

    @property
    def objects(self) -> Path:
        """Folder of what was sent."""
        return self.folder / "objects"

    def close(self) -> None:
        """Remove what is still here."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()

    def take(self, file: BinaryIO, start: int) -> list[Object]:
        """Index the pack that begins at a place in a file; returns its objects, and those that its deltas rest on.

        Raises:
            GitFailed: an object is broken, odd in a way that git warns of, or refers to one that is nowhere.
        """
        os.lseek(file.fileno(), start, os.SEEK_SET)
        with self.reading(*QUICK, "index-pack", "--stdin", "--fix-thin", "--strict", stdin=file, bounds=INDEXING):
            pass
        command = self.command("cat-file", "--batch-check", "--batch-all-objects")
        with reading(command, self.root, self.alone) as output:
            return [found for line in output if (found := parse_object(line))]

    def pack(self, heads: Iterable[str], known: Iterable[str]) -> None:
        """Write a pack of all that the heads are made of beyond commits that the store has; it rests on nothing else.

        Raises:
            GitFailed: something is missing.
        """
        lines = [*heads, *(f"^{one}" for one in known)]
        args = ("pack-objects", "--revs", "--window=0", "--delta-base-offset", "--quiet", str(self.folder / "pack"))
        with self._asking((*QUICK, *args), lines, INDEXING) as output:
            self.name = f"pack-{output.read().decode().strip()}"
        for path in self._parts(self.folder):
            flush(path)

    def publish(self, reached: Callable[[str], None]) -> None:
        """Move the pack into the store; its index comes last, and makes it count.

        Args:
            reached: told of each of the two steps.
        """
        if self._parts(self.store.packs)[1].exists():
            return
        self.is_published = True
        for source, target in zip(self._parts(self.folder), self._parts(self.store.packs), strict=True):
            os.replace(source, target)
            reached(f"{target.suffix[1:]} moved")
        flush(self.store.packs)

    def withdraw(self) -> None:
        """Take back what `publish` did, if it did."""
        if self.is_published:
            for path in reversed(self._parts(self.store.packs)):
                path.unlink(missing_ok=True)

    def _parts(self, folder: Path) -> list[Path]:
        return [folder / f"{self.name}{ending}" for ending in (".pack", ".idx")]


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
