"""Bundles that nobody should take: each with what is wrong about it, made byte by byte."""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

COMMIT, TREE, BLOB, TAG, OFFSET_DELTA, NAME_DELTA = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
WHO = b"A U Thor <a@example.org> 1700000000 +0000"
NOBODY = "1" * 40
MEGABYTE = 1 << 20


def name_of(kind: int, content: bytes) -> str:
    """Object name, as git computes it."""
    return hashlib.sha1(b"%b %d\0" % (NAMES[kind], len(content)) + content).hexdigest()


def header(kind: int, size: int) -> bytes:
    """How an entry of a pack begins."""
    first, size = kind << 4 | size & 15, size >> 4
    found = bytearray()
    while size:
        found.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    return bytes([*found, first])


def number(value: int) -> bytes:
    """A size in a delta."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def zeros(num_megabytes: int) -> bytes:
    """So many zeros, compressed a thousandfold, without ever making them all."""
    stream = zlib.compressobj(9)
    piece = stream.compress(bytes(MEGABYTE)) + stream.flush(zlib.Z_FULL_FLUSH)
    checksum = num_megabytes * MEGABYTE % 65_521 << 16 | 1
    return piece[:2] + piece[2:] * num_megabytes + b"\3\0" + checksum.to_bytes(4)


@dataclass
class Pack:
    """A pack, entry by entry."""

    entries: list[bytes] = field(default_factory=list)

    def add(self, kind: int, content: bytes, size: int | None = None) -> str:
        """Add an object that says it has `size` bytes; returns its name."""
        self.entries.append(header(kind, len(content) if size is None else size) + zlib.compress(content, 9))
        return name_of(kind, content)

    def add_delta(self, base: str, delta: bytes) -> None:
        """Add a delta to an object that is named."""
        self.entries.append(header(NAME_DELTA, len(delta)) + bytes.fromhex(base) + zlib.compress(delta, 9))

    def blob(self, content: bytes) -> str:
        return self.add(BLOB, content)

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Add a tree of entries of mode, name and object, in the order given."""
        return self.add(TREE, b"".join(b"%b %b\0%b" % (m.encode(), n, bytes.fromhex(o)) for m, n, o in entries))

    def commit(self, tree: str, *parents: str, message: bytes = b"idea\n", who: bytes = WHO) -> str:
        lines = [b"tree " + tree.encode(), *(b"parent " + one.encode() for one in parents)]
        return self.add(COMMIT, b"\n".join([*lines, b"author " + who, b"committer " + who, b"", message]))

    def tag(self, object_name: str, kind: bytes) -> str:
        return self.add(TAG, b"object %b\ntype %b\ntag v1\ntagger %b\n\nv\n" % (object_name.encode(), kind, WHO))

    def sound(self, *more: tuple[str, bytes, str]) -> str:
        """Add a commit of one file, with more entries in its tree."""
        blob = self.blob(b"DEPTH = 9\n")
        return self.commit(self.tree(*sorted([("100644", b"train.py", blob), *more], key=lambda entry: entry[1])))

    def done(self, num: int | None = None) -> bytes:
        """The pack, which says that it has `num` objects."""
        body = b"PACK" + struct.pack(">II", 2, len(self.entries) if num is None else num) + b"".join(self.entries)
        return body + hashlib.sha1(body).digest()


def bundle(heads: Iterable[str], pack: bytes, needs: Iterable[str] = (), ref: str = "HEAD", top: str = "") -> bytes:
    """A bundle around a pack."""
    lines = [*(f"-{one} base" for one in needs), *(f"{one} {ref}" for one in heads)]
    return ((top or "# v2 git bundle\n") + "".join(f"{line}\n" for line in lines) + "\n").encode() + pack


def sound() -> bytes:
    """A bundle that must be taken."""
    pack = Pack()
    return bundle([pack.sound()], pack.done())


Case = tuple[str, bytes, str]
"""What it is, the bytes, and a word of the refusal."""


def corpus() -> Iterator[Case]:
    """All of them."""
    for part in (headers, packs, bombs, missing, heads, entries, trees, commits):
        yield from part()


def headers() -> Iterator[Case]:
    pack = Pack()
    head, body = pack.sound(), pack.done()
    yield "nothing", b"", "must begin with"
    yield "a web page", b"<!doctype html>\n<p>hello\n", "must begin with"
    yield "another version", bundle([head], body, top="# v4 git bundle\n"), "must begin with"
    yield "SHA-256", bundle([head], body, top="# v3 git bundle\n@object-format=sha256\n"), "capability"
    yield "a filter", bundle([head], body, top="# v3 git bundle\n@filter=blob:none\n"), "capability"
    yield "no head", bundle([], body), "at least one commit"
    yield "no end of the header", f"# v2 git bundle\n{head} HEAD\n".encode(), "cut off"
    yield "a line without end", b"# v2 git bundle\n" + b"a" * MEGABYTE, "too long"
    yield "a header without end", b"# v2 git bundle\n" + f"{head} HEAD\n".encode() * 100_000, "lines"
    yield "a needed commit that is not here", bundle([head], body, needs=[NOBODY]), "was not pushed"
    refs = ("--upload-pack=touch /tmp/x", "-x", "refs/heads/-x", "refs/heads/--exec=x", "refs/../../etc/passwd", "x")
    for ref in (*refs, "refs/heads/a\0b", "refs/heads/a b", "refs/heads/x.lock", "refs//x", "refs/heads/", "", "@{1}"):
        yield f"a reference named {ref!r}", bundle([head], body, ref=ref), "no name of a reference"


def packs() -> Iterator[Case]:
    pack = Pack()
    head, body = pack.sound(), pack.done()
    for cut in (1, 12, 19, 21, 60, len(body) - 8, len(body)):
        yield f"a pack cut off by {cut}", bundle([head], body[:-cut]), "pack"
    yield "text behind the pack", bundle([head], body + b"x"), "must end where"
    yield "a wrong checksum", bundle([head], body[:-20] + bytes(20)), "corrupt"
    yield "a pack of another version", bundle([head], body[:7] + b"\7" + body[8:]), "a pack must follow"
    yield "more objects promised", bundle([head], pack.done(num=4)), "pack"
    yield "fewer objects promised", bundle([head], pack.done(num=2)), "must end where"
    yield "an object that is not compressed", bundle([head], Pack([header(BLOB, 4) + b"text"]).done()), "compressed"
    yield "an object of unknown kind", bundle([head], Pack([header(5, 0) + zlib.compress(b"")]).done()), "kind 5"
    yield "an object with a size without end", bundle([head], Pack([b"\xbf" + b"\xff" * 40]).done()), "no size"
    far = Pack([header(OFFSET_DELTA, 4) + b"\x80" * (4 * MEGABYTE)])
    yield "a delta to what is too far away", bundle([head], far.done()), "too far away"
    for size in (3, 30):
        lying = Pack()
        lying.add(BLOB, b"DEPTH = 9\n", size=size)
        yield f"ten bytes that say they are {size}", bundle([head], lying.done()), "another size"
    slow = Pack([header(BLOB, 0) + b"\x78\x9c" + b"\0\0\0\xff\xff" * (2 * MEGABYTE)])
    yield "ten megabytes that hold nothing", bundle([head], slow.done()), "compressed"


def bombs() -> Iterator[Case]:
    big = zeros(300)
    for size in (300 * MEGABYTE, 1000):
        yield (
            f"300 MB that say they are {size} bytes",
            bundle([NOBODY], Pack([header(BLOB, size) + big]).done()),
            "size" if size == 1000 else "at most",
        )
    part = zeros(8)
    yield "40 times 8 MB", bundle([NOBODY], Pack([header(BLOB, 8 * MEGABYTE) + part] * 40).done()), "together"
    deltas = Pack([header(NAME_DELTA, 8 * MEGABYTE) + bytes(20) + part] * 40)
    yield "40 times 8 MB of deltas", bundle([NOBODY], deltas.done()), "together"
    copies = b"\xb0\xff\xff" * 4800  # each copies 65,535 bytes from the start
    for says in (65_535 * 4800, 1000):
        pack = Pack()
        base = pack.blob(bytes(65_535))
        pack.add_delta(base, number(65_535) + number(says) + copies)
        yield (
            f"a delta that makes 300 MB and says {says}",
            bundle([NOBODY], pack.done()),
            "at most" if says > 1000 else "delta",
        )
    tiny = [header(BLOB, 7) + zlib.compress(b"%07d" % one) for one in range(100_000)]
    yield "100,000 tiny objects", bundle([NOBODY], Pack(tiny).done()), "at most 20000 objects"
    yield "100,000 tiny objects that say they are 3", bundle([NOBODY], Pack(tiny).done(num=3)), "must end where"


def missing() -> Iterator[Case]:
    pack = Pack()
    yield "a commit without its tree", bundle([pack.commit(NOBODY)], pack.done()), "object"
    pack = Pack()
    yield "a tree without its file", bundle([pack.sound(("100644", b"zzz", NOBODY))], pack.done()), "object"
    pack = Pack()
    yield "a tree without its folder", bundle([pack.sound(("40000", b"zzz", NOBODY))], pack.done()), "object"
    pack = Pack()
    tree = pack.tree(("100644", b"train.py", pack.blob(b"x")))
    yield "a commit without its parent", bundle([pack.commit(tree, NOBODY)], pack.done()), "object"
    pack = Pack()
    tree = pack.tree(("100644", b"train.py", pack.blob(b"x")))
    yield "a parent that is a tree", bundle([pack.commit(tree, tree)], pack.done()), "commit"
    pack = Pack()
    blob = pack.blob(b"x")
    yield "a tree that is a file", bundle([pack.commit(blob)], pack.done()), "tree"
    pack = Pack()
    head = pack.sound()
    pack.add_delta(NOBODY, number(4) + number(4) + b"\4text")
    yield "a delta to nothing", bundle([head], pack.done()), "delta"


def heads() -> Iterator[Case]:
    pack = Pack()
    pack.sound()
    yield "a head that was not sent", bundle([NOBODY], pack.done()), "neither a commit"
    pack = Pack()
    yield "a head that is a file", bundle([pack.blob(b"x")], pack.done()), "neither a commit"
    pack = Pack()
    tree = pack.tree(("100644", b"train.py", pack.blob(b"x")))
    yield "a head that is a tree", bundle([tree], pack.done()), "neither a commit"
    pack = Pack()
    yield "a tag", bundle([pack.tag(pack.sound(), b"commit")], pack.done(), ref="refs/tags/v1"), "no tags"
    pack = Pack()
    tag = pack.tag(pack.sound(), b"commit")
    for _ in range(2000):
        tag = pack.tag(tag, b"tag")
    yield "a chain of tags", bundle([tag], pack.done(), ref="refs/tags/v1"), "no tags"


def entries() -> Iterator[Case]:
    names = (
        *(".git", ".GIT", ".Git", "git~1", ".git ", ".git.", ".git::$INDEX_ALLOCATION", ".g\u200cit", ".gi\u200dt"),
        *(".", "..", "", "/etc/passwd", "../x", "a/b", "a\\b", "..\\x", "C:x", "a\nb", "\x1b[2J", "x" * 300),
    )
    for name in names:
        pack = Pack()
        blob, mode = pack.blob(b"x"), "40000" if name.lower().startswith((".g", "git")) else "100644"
        entry = pack.tree(("100644", b"config", blob)) if mode == "40000" else blob
        yield f"an entry named {name[:30]!r}", bundle([pack.sound((mode, name.encode(), entry))], pack.done()), ""
    pack = Pack()
    yield (
        "a name that is no UTF-8",
        bundle([pack.sound(("100644", b"\xff\xfe", pack.blob(b"x")))], pack.done()),
        "UTF-8",
    )
    for target in (b"train.py", b"/etc/passwd", b"../../x", b".git/hooks"):
        pack = Pack()
        link = pack.blob(target)
        yield f"a link to {target!r}", bundle([pack.sound(("120000", b"link", link))], pack.done()), "symbolic link"
    pack = Pack()
    yield "a submodule", bundle([pack.sound(("160000", b"sub", NOBODY))], pack.done()), "for submodules"
    for mode in ("100777", "060000", "0100644", "777777"):
        pack = Pack()
        yield f"a file of mode {mode}", bundle([pack.sound((mode, b"zzz", pack.blob(b"x")))], pack.done()), ""
    for text in ("url = --upload-pack=x", "path = -x", "update = !touch x", "url = ../../x\n\tpath = a/../../.git"):
        pack = Pack()
        modules = pack.blob(f'[submodule "x"]\n\t{text}\n'.encode())
        more = [("100644", b".gitmodules", modules)]
        yield f".gitmodules with {text!r}", bundle([pack.sound(*more)], pack.done()), "for submodules"
    pack = Pack()
    modules = pack.blob(b'[submodule "../../x"]\n\turl = x\n')
    yield (
        ".gitmodules that climb",
        bundle([pack.sound(("100644", b".gitmodules", modules))], pack.done()),
        "for submodules",
    )
    pack = Pack()
    yield (
        ".gitmodules that are a link",
        bundle([pack.sound(("120000", b".gitmodules", pack.blob(b"x")))], pack.done()),
        "",
    )


def trees() -> Iterator[Case]:
    pack = Pack()
    blob = pack.blob(b"x")
    twice = pack.commit(pack.tree(("100644", b"a", blob), ("100644", b"a", blob)))
    yield "a file that is there twice", bundle([twice], pack.done()), "duplicate"
    pack = Pack()
    blob = pack.blob(b"x")
    yield (
        "files out of order",
        bundle([pack.commit(pack.tree(("100644", b"b", blob), ("100644", b"a", blob)))], pack.done()),
        "treeNotSorted",
    )
    pack = Pack()
    tree = pack.tree(("100644", b"a", pack.blob(b"x")))
    for _ in range(30):
        tree = pack.tree(*(("40000", b"%02d" % place, tree) for place in range(10)))
    yield "a tree of 10^30 files", bundle([pack.commit(tree)], pack.done()), "files and folders"
    for depth in (40, 5000):
        pack = Pack()
        tree = pack.tree(("100644", b"a", pack.blob(b"x")))
        for _ in range(depth):
            tree = pack.tree(("40000", b"a", tree))
        yield f"folders {depth} deep", bundle([pack.commit(tree)], pack.done()), "deep"
    pack = Pack()
    blob = pack.blob(b"x")
    many = pack.tree(*(("100644", b"%06d" % place, blob) for place in range(20_000)))
    yield "20,000 files", bundle([pack.commit(many)], pack.done()), "files and folders"
    pack = Pack()
    blob = pack.blob(b"x")
    folders = [pack.tree(*(("100644", b"%03d-%05d" % (one, n), blob) for n in range(9_000))) for one in range(60)]
    tree = pack.tree(*(("40000", b"%03d" % place, folder) for place, folder in enumerate(folders)))
    yield "folders of 18 MB", bundle([pack.commit(tree)], pack.done()), "together"


def commits() -> Iterator[Case]:
    def one(message: bytes = b"idea\n", who: bytes = WHO) -> bytes:
        pack = Pack()
        tree = pack.tree(("100644", b"train.py", pack.blob(b"x")))
        return bundle([pack.commit(tree, message=message, who=who)], pack.done())

    yield "a message of 100 kB", one(message=b"x" * 100_000), "at most"
    yield "a message with a zero byte", one(message=b"a\0b\n"), "nulInCommit"
    yield "an author without an address", one(who=b"me 1700000000 +0000"), "Email"
    yield "an author without a time", one(who=b"A U Thor <a@example.org>"), "author"
