"""autoresearch/hub/bundle.py, on bundles of real git and on those that nobody should take."""

import tempfile
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import hostile
import pytest
from clones import Clone

from autoresearch.errors import HubError
from autoresearch.hub import bundle
from autoresearch.hub.limits import Limits

USUAL = Limits()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Three commits whose files are near enough to each other for deltas."""
    one = Clone(tmp_path_factory.mktemp("work") / "clone")
    text = "".join(f"LINE_{number} = {number * number}\n" for number in range(2000))
    for number in range(3):
        one.commit(f"{text}# {number}\n", f"step {number}")
    return one


@contextmanager
def stored(data: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file


def read(data: bytes, limits: Limits = USUAL) -> bundle.Bundle:
    with stored(data) as file:
        return bundle.read(file, limits)


def refusal(data: bytes, limits: Limits = USUAL) -> str:
    with pytest.raises(HubError) as caught:
        read(data, limits)
    assert caught.value.status == 400
    return str(caught.value)


def test_bundle_of_git_is_read(clone: Clone) -> None:
    head, older = clone.git("rev-parse", "HEAD", "HEAD~1").split()
    full = clone.bundle()
    found = read(full)
    assert (found.heads, found.prerequisites) == ((head,), ())
    assert full[found.pack_start :].startswith(b"PACK")
    thin = read(clone.bundle("HEAD", "^HEAD~1"))
    assert (thin.heads, thin.prerequisites) == ((head,), (older,))


def test_bundle_of_the_third_version_is_read(clone: Clone) -> None:
    found = read(clone.raw("bundle", "create", "--quiet", "--version=3", "-", "HEAD"))
    assert found.heads == (clone.git("rev-parse", "HEAD"),)


def test_bundle_names_every_head_once_in_its_order(clone: Clone) -> None:
    clone.git("branch", "--force", "older", "HEAD~2")
    clone.git("branch", "--force", "same", "HEAD")
    heads = read(clone.bundle("refs/heads/older", "HEAD", "refs/heads/same")).heads
    assert heads == tuple(clone.git("rev-parse", "older", "HEAD").split())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(objects=8), "at most 8 objects but has 9"),
        (Limits(blob_bytes=30_000), "at most 30000 bytes"),
        (Limits(unpacked_bytes=40_000), "at most 40000 bytes together"),
    ],
)
def test_bundle_beyond_a_limit_is_refused(clone: Clone, limits: Limits, words: str) -> None:
    data = clone.bundle()
    read(data, Limits(objects=9, blob_bytes=100_000, unpacked_bytes=200_000))
    assert words in refusal(data, limits)


def test_bundle_counts_what_its_deltas_make(clone: Clone) -> None:
    """The three versions of train.py come to 100 kB, though two of them are a few bytes in the pack."""
    data = clone.bundle()
    assert len(data) < 30_000
    size = len((clone.root / "train.py").read_bytes())
    assert "together" in refusal(data, Limits(unpacked_bytes=3 * size))
    read(data, Limits(unpacked_bytes=3 * size + 2000))


def test_bundle_of_strangers_is_refused_at_its_header() -> None:
    for what, data, word in hostile.headers():
        if word == "was not pushed":
            assert read(data).prerequisites  # for the database to refuse
        else:
            assert word in refusal(data), what


def test_bundle_is_refused_without_being_inflated() -> None:
    for what, data, word in hostile.bombs():
        if word == "delta":
            read(data)  # for git to refuse: it stops at the size that was promised
            continue
        with stored(data) as file:
            tracemalloc.start()
            with pytest.raises(HubError, match=word):
                bundle.read(file, Limits())
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak_bytes < 4 << 20, what


def test_bundle_refuses_wherever_it_is_cut(clone: Clone) -> None:
    data = clone.bundle("HEAD", "^HEAD~1")
    for length in [*range(0, 200), *range(200, len(data), 7), len(data) - 1]:
        refusal(data[:length])


def test_bundle_goes_past_compressed_data_of_any_form() -> None:
    """Stored, in small blocks, and so well compressed that more comes out than one step takes."""
    contents = (b"", b"x", bytes(range(256)) * 300, bytes(1_000_000))
    for level in (0, 1, 9):
        entries = [hostile.header(hostile.BLOB, len(one)) + zlib.compress(one, level) for one in contents]
        pack = hostile.Pack(entries)
        head = pack.sound()
        assert read(hostile.bundle([head], pack.done())).heads == (head,)
    stream, flushed = zlib.compressobj(), b""
    for letter in b"many small blocks":
        flushed += stream.compress(bytes([letter])) + stream.flush(zlib.Z_FULL_FLUSH)
    pack = hostile.Pack([hostile.header(hostile.BLOB, 17) + flushed + stream.flush()])
    read(hostile.bundle([pack.sound()], pack.done()))


def test_bundle_takes_the_names_that_git_gives(clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    for ref in ("HEAD", "refs/heads/a", "refs/heads/a/b-c_d.e", "refs/remotes/origin/x", "refs/heads/größe"):
        data = hostile.bundle([head], clone.bundle()[read(clone.bundle()).pack_start :], ref=ref)
        assert read(data).heads == (head,)
