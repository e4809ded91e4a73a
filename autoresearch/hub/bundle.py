"""A bundle that a stranger sent: its header, read by ourselves, and its pack, measured before git opens it.

Nothing is inflated that was not measured first: an object's header says how large it will be, and what inflates to more
is refused at the first byte too many. Whether the objects are sound is for git to say.
"""

import mmap
import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits

SIGNATURE = re.compile(rb"# v([23]) git bundle\n")
LINE = re.compile(r"(-?)([0-9a-f]{40})(?: (.*))?")
NAME = re.compile(r"HEAD|refs(?:/(?![-.])[^\x00-\x20\x7f~^:?*\[\\/]+(?<!\.lock)(?<!\.))+")
NUM_LINES = 10_000
LINE_BYTES = 64 << 10  # a prerequisite carries the subject of its commit
WHOLE, OFFSET_DELTA, NAME_DELTA = (1, 2, 3, 4), 6, 7
OFFSET_BYTES = 9
CHECKSUM_BYTES = 20
STEP_BYTES = 64 << 10
SIZES_BYTES = 20  # at the start of a delta: the sizes of what it is made from and of what it makes


@dataclass(frozen=True)
class Bundle:
    """What the header says."""

    heads: tuple[str, ...]
    """Commits that are offered, once each, in their order."""
    prerequisites: tuple[str, ...]
    """Commits that must be there already."""
    pack_start: int
    """Where the pack begins."""


def invalid(why: str) -> HubError:
    """The refusal of a bundle."""
    return HubError(400, f"invalid bundle: {why}")


def read(file: BinaryIO, limits: Limits) -> Bundle:
    """The header of a bundle whose pack stays within the limits.

    Raises:
        HubError: 400.
    """
    file.seek(0)
    bundle = _read_header(file)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            _Pack(data, bundle.pack_start, limits).measure()
        except IndexError as error:
            raise invalid("the pack is cut off") from error
        except zlib.error as error:
            raise invalid("the pack holds an object that is not compressed as it must be") from error
    return bundle


def _read_header(file: BinaryIO) -> Bundle:
    signature = SIGNATURE.fullmatch(file.readline(LINE_BYTES))
    if not signature:
        raise invalid("it must begin with '# v2 git bundle'; send what `git bundle create FILE HEAD` wrote")
    heads: dict[str, None] = {}
    prerequisites: dict[str, None] = {}
    for _ in range(NUM_LINES):
        raw = file.readline(LINE_BYTES)
        if raw == b"\n":
            break
        line = _text(raw)
        if signature[1] == b"3" and line.startswith("@") and not heads and not prerequisites:
            if line != "@object-format=sha1":
                raise invalid(f"the capability {line[:60]!r} is not taken; make the bundle of all objects, with SHA-1")
            continue
        parts = LINE.fullmatch(line)
        if not parts:
            raise invalid(f"a header line must hold a hash and a name but is {line[:60]!r}")
        if parts[1]:
            prerequisites[parts[2]] = None
        elif NAME.fullmatch(parts[3] or "") and ".." not in parts[3] and "@{" not in parts[3]:
            heads[parts[2]] = None
        else:
            raise invalid(f"{(parts[3] or '')[:60]!r} is no name of a reference")
    else:
        raise invalid(f"the header must have at most {NUM_LINES} lines")
    if not heads:
        raise invalid("it must offer at least one commit; `git bundle create FILE HEAD`")
    return Bundle((*heads,), (*prerequisites,), file.tell())


def _text(raw: bytes) -> str:
    if not raw.endswith(b"\n"):
        raise invalid("the header is cut off, or has a line that is too long")
    return raw[:-1].decode(errors="replace")


class _Pack:
    """A pack that is gone through once, from its start to its end."""

    def __init__(self, data: mmap.mmap, start: int, limits: Limits):
        self.data, self.place, self.limits = data, start, limits
        self.num_bytes = 0

    def measure(self) -> None:
        """Go through it; what it holds stays within the limits."""
        head = self.data[self.place : self.place + 12]
        if len(head) < 12 or head[:4] != b"PACK" or head[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            raise invalid("a pack must follow the header")
        num_objects = int.from_bytes(head[8:])
        if num_objects > self.limits.objects:
            raise invalid(
                f"it must have at most {self.limits.objects} objects but has {num_objects}; "
                "leave out what the hub has: `git bundle create FILE HEAD ^HASH`"
            )
        self.place += 12
        for _ in range(num_objects):
            self._measure_object()
        if len(self.data) - self.place != CHECKSUM_BYTES:
            raise invalid("the pack must end where its objects do")

    def _measure_object(self) -> None:
        byte = self._byte()
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self._byte()
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 64:
                raise invalid("an object of the pack has no size")
        self._count(size)
        if kind == OFFSET_DELTA:
            if not any(self._byte() < 0x80 for _ in range(OFFSET_BYTES)):
                raise invalid("a delta of the pack rests on an object that is too far away")
        elif kind == NAME_DELTA:
            self.place += 20
        elif kind not in WHOLE:
            raise invalid(f"an object of the pack has the unknown kind {kind}")
        start = self._inflate(size)
        if kind not in WHOLE:
            _, place = _number(start, 0)
            self._count(_number(start, place)[0])

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _count(self, size: int) -> None:
        """Take a size that was announced, before anything of that size is made."""
        if size > self.limits.blob_bytes:
            raise invalid(f"an object must have at most {self.limits.blob_bytes} bytes but one has {size}")
        self.num_bytes += size
        if self.num_bytes > self.limits.unpacked_bytes:
            raise invalid(
                f"its objects must have at most {self.limits.unpacked_bytes} bytes together; "
                "leave out what the hub has: `git bundle create FILE HEAD ^HASH`"
            )

    def _inflate(self, size: int) -> bytes:
        """Go past compressed data that must come to this size; returns its first bytes."""
        stream, num_bytes, start = zlib.decompressobj(), 0, b""
        step = size + 64  # what is beyond the end of the object is copied in vain
        while not stream.eof:
            chunk = stream.unconsumed_tail
            if not chunk:
                step = min(STEP_BYTES, step)
                chunk = self.data[self.place : self.place + step]
                self.place, step = self.place + len(chunk), 2 * step
                if not chunk:
                    raise IndexError
            made = stream.decompress(chunk, min(STEP_BYTES, size - num_bytes + 1))
            num_bytes += len(made)
            if len(start) < SIZES_BYTES:
                start += made[:SIZES_BYTES]
            if num_bytes > size:
                break
        if num_bytes != size:
            raise invalid("an object of the pack has another size than it says")
        self.place -= len(stream.unused_data)
        return start


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number at a place in a delta, and the place after it."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place
