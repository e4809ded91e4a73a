"""autoresearch/repo/bare.py, quarantine.py and bounded.py, with real git and real processes."""

import os
import sys
import threading
import time
from pathlib import Path

import hostile
import pytest
from clones import Clone

from autoresearch.errors import GitFailed
from autoresearch.repo.bare import TIPS, Bare
from autoresearch.repo.bounded import Bounds, reading
from autoresearch.repo.quarantine import Quarantine

PATH = os.environ["PATH"]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    one = Clone(tmp_path / "clone")
    one.commit("DEPTH = 8\n", "baseline")
    one.commit("DEPTH = 9\n", "deeper")
    return one


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    one = Bare(tmp_path / "hub" / "git", PATH)
    one.create()
    (tmp_path / "hub" / "incoming").mkdir()
    return one


def take(bare: Bare, clone: Clone, *revisions: str) -> str:
    """Bring a bundle in, as a push does; returns its head."""
    data = clone.bundle(*revisions)
    head, known = clone.git("rev-parse", "HEAD"), [one[1:] for one in revisions if one.startswith("^")]
    room = Quarantine(bare, bare.root.parent / "incoming")
    try:
        with (room.folder / "bundle").open("w+b") as file:
            file.write(data)
            file.flush()
            room.take(file, data.index(b"PACK"))
        room.pack([head], [clone.git("rev-parse", one) for one in known])
        room.publish(lambda step: None)
    finally:
        room.close()
    bare.keep([head])
    return head


def test_bare_that_is_whole_is_left_alone_and_what_was_left_unmade_is_made(bare: Bare) -> None:
    config = bare.root / "config"
    made, text = config.stat().st_ino, config.read_text()
    bare.create()
    assert config.stat().st_ino == made
    bare.packs.rmdir()  # what `git init` makes last
    bare.create()
    assert bare.packs.is_dir() and config.read_text() == text
    config.write_text("")  # a loss of power emptied it
    bare.create()
    assert config.read_text() == text
    (bare.root / "HEAD").unlink()
    bare.create()
    assert bare.commits() == set()


def test_bare_stores_what_was_sent_and_gives_it_back(bare: Bare, clone: Clone, tmp_path: Path) -> None:
    head = take(bare, clone)
    assert bare.tips() == {head} and len(bare.commits()) == 2
    assert bare.file(head, "train.py", 100) == (10, b"DEPTH = 9\n")
    assert bare.file(head, "train.py", 9) == (10, b"")
    assert bare.file(head, "none.py", 100) is None
    assert bare.infos([head, hostile.NOBODY])[1] is None
    assert [one and (one.name, one.kind) for one in bare.infos([head])] == [(head, "commit")]
    with (tmp_path / "bundle").open("w+b") as file:
        bare.bundle(head, file)
    other = Clone(tmp_path / "other")
    other.git("bundle", "unbundle", str(tmp_path / "bundle"))
    other.git("checkout", "--quiet", head)
    assert (other.root / "train.py").read_text() == "DEPTH = 9\n"
    other.git("fsck", "--full", "--strict")


def test_bare_diff_is_that_of_git_up_to_a_size(bare: Bare, clone: Clone) -> None:
    head, parent = take(bare, clone), clone.git("rev-parse", "HEAD~1")
    whole = clone.raw("diff", parent, head)
    assert bare.diff(parent, head, len(whole)) == (whole, True)
    assert bare.diff(parent, head, len(whole) - 1) == (whole[:-1], False)


def test_bare_patch_ids_are_those_of_git(bare: Bare, clone: Clone) -> None:
    older = clone.git("rev-parse", "HEAD~1")
    clone.commit("DEPTH = 9\nWIDTH = 1\n", "wider")
    clone.commit(message="nothing changed", **{"train.py": "DEPTH = 9\nWIDTH = 1\n"})
    take(bare, clone)
    hashes = clone.git("rev-list", f"{older}..HEAD").split()
    pairs = [(one, clone.git("rev-parse", f"{one}~1")) for one in hashes]
    expected = clone.git("patch-id", "--stable", stdin=clone.raw("log", "-p", f"{older}..HEAD"))
    assert bare.patch_ids(pairs) == {commit: patch for patch, commit in map(str.split, expected.splitlines())}
    assert len(bare.patch_ids(pairs)) == 2
    assert bare.patch_ids([]) == {}


def test_bare_packs_rest_on_nothing_but_themselves(bare: Bare, clone: Clone) -> None:
    """A thin bundle makes a pack that git can read without any other."""
    take(bare, clone)
    first = {*bare.packs.glob("*.pack")}
    clone.commit("DEPTH = 10\n")
    take(bare, clone, "HEAD", "^HEAD~1")
    (second,) = {*bare.packs.glob("*.pack")} - first
    assert len(bare.contained(second.with_suffix(".idx"))) == 3
    clone.git("verify-pack", str(second))


def test_bare_obeys_nobodys_configuration(bare: Bare, clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    evil = tmp_path / "evil"
    config = f"[diff]\n\texternal = touch {evil}\n[core]\n\tpager = touch {evil}\n\tfsmonitor = touch {evil}\n"
    for place in (tmp_path / "home" / ".gitconfig", tmp_path / "hub" / ".gitconfig"):
        place.write_text(config)
    hook = bare.root / "hooks" / "reference-transaction"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {evil}\n")
    hook.chmod(0o755)
    head = take(bare, clone)
    bare.diff(clone.git("rev-parse", "HEAD~1"), head, 1000)
    bare.tidy()
    bare.collect_garbage([head])
    assert not evil.exists()
    assert "HOME" not in bare.env and not {name for name in bare.env if name.startswith("AUTORESEARCH")}


def test_bare_keeps_what_tips_lead_to_through_any_clearing_up(bare: Bare, clone: Clone) -> None:
    hashes = [take(bare, clone)]
    for number in range(5):
        clone.commit(f"DEPTH = {number}\n")
        hashes.append(take(bare, clone, "HEAD", "^HEAD~1"))
    bare.run("update-ref", "-d", f"{TIPS}{hashes[-1]}")
    bare.tidy()
    assert len([*bare.packs.glob("*.pack")]) < 6
    bare.collect_garbage([hashes[-1]], prune="now")
    assert hashes[-1] in bare.tips()
    assert bare.commits().issuperset(hashes)
    bare.check()


def test_bare_tidies_once_there_are_many_packs(bare: Bare, clone: Clone) -> None:
    for number in range(4):
        clone.commit(f"DEPTH = {number}\n")
        take(bare, clone, *(("HEAD", "^HEAD~1") if number else ()))
    bare.tidy_if_due(4)
    assert len([*bare.packs.glob("*.pack")]) == 4
    bare.tidying.acquire()
    bare.tidy_if_due(3)
    assert len([*bare.packs.glob("*.pack")]) == 4
    bare.tidying.release()
    bare.tidy_if_due(3)
    assert len([*bare.packs.glob("*.pack")]) < 4


def test_bare_check_finds_what_is_missing(bare: Bare, clone: Clone) -> None:
    take(bare, clone)
    bare.check()
    for path in bare.packs.glob("*"):
        path.unlink()
    with pytest.raises(GitFailed):
        bare.check()


def test_quarantine_leaves_nothing_when_it_is_closed(bare: Bare, tmp_path: Path) -> None:
    room, pack = Quarantine(bare, tmp_path / "hub" / "incoming"), hostile.Pack()
    pack.commit(hostile.NOBODY)
    (tmp_path / "pack").write_bytes(pack.done())
    with (tmp_path / "pack").open("rb") as file, pytest.raises(GitFailed, match="did not receive"):
        room.take(file, 0)
    room.close()
    assert not [*(tmp_path / "hub" / "incoming").iterdir()]
    assert not [*bare.packs.iterdir()]


def test_quarantine_takes_back_its_own_pack_only(bare: Bare, clone: Clone, tmp_path: Path) -> None:
    rooms = [Quarantine(bare, tmp_path / "hub" / "incoming") for _ in range(2)]
    data = clone.bundle()
    for room in rooms:
        with (room.folder / "bundle").open("w+b") as file:
            file.write(data)
            file.flush()
            room.take(file, data.index(b"PACK"))
        room.pack([clone.git("rev-parse", "HEAD")], [])
    steps: list[str] = []
    for room in rooms:
        room.publish(steps.append)
    assert steps == ["pack moved", "idx moved"]
    rooms[1].withdraw()
    assert len([*bare.packs.iterdir()]) == 2
    rooms[0].withdraw()
    assert not [*bare.packs.iterdir()]
    for room in rooms:
        room.close()


def run(script: str, bounds: Bounds) -> bytes:
    with reading([sys.executable, "-c", script], Path("/"), {"PATH": PATH}, bounds=bounds) as output:
        return output.read()


def test_bounded_kills_the_whole_group_at_its_deadline(tmp_path: Path) -> None:
    child = f"    time.sleep(2)\n    open({str(tmp_path / 'alive')!r}, 'w')\n"
    script = f"import os, time\nif not os.fork():\n{child}time.sleep(60)"
    begun = time.monotonic()
    with pytest.raises(GitFailed, match=r"longer than 0\.5 s"):
        run(script, Bounds(seconds=0.5))
    assert time.monotonic() - begun < 10
    time.sleep(2)
    assert not (tmp_path / "alive").exists()


def test_bounded_kills_who_closes_its_output_and_goes_on() -> None:
    with pytest.raises(GitFailed, match="longer"):
        run("import os, time\nos.close(1)\ntime.sleep(60)", Bounds(seconds=0.5))


@pytest.mark.skipif(sys.platform != "linux", reason="memory and files are bounded on Linux alone")
def test_bounded_bounds_memory_files_and_processor(tmp_path: Path) -> None:
    wait = "import time\ntime.sleep(0.1)\n"
    with pytest.raises(GitFailed, match="MemoryError"):
        run(f"{wait}bytearray(300 << 20)", Bounds(memory_bytes=200 << 20))
    with pytest.raises(GitFailed, match=r"too much of the processor|it was killed"):
        run(f"{wait}while True: pass", Bounds(seconds=20, cpu_s=1))
    script = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen({!r}, 'wb').write(bytes(1 << 20))"
    with pytest.raises(GitFailed, match="wrote too much"):
        run(wait + script.format(str(tmp_path / "big")), Bounds(file_bytes=1 << 10))


def test_bounded_process_ends_when_enough_was_read() -> None:
    threads = threading.active_count()
    command = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.write('x' * 1000)"]
    with reading(command, Path("/"), {"PATH": PATH}) as output:
        assert output.read(5) == b"xxxxx"
    assert threading.active_count() == threads


def test_bounded_says_why_a_process_failed() -> None:
    with pytest.raises(GitFailed, match="the reason"):
        run("import sys\nsys.exit('the reason')", Bounds())
    with pytest.raises(GitFailed, match="must be installed"), reading(["no-such-program"], Path("/"), {}):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is simulated by /dev/full")
def test_bounded_tells_of_a_full_disk() -> None:
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match="No space left"):  # noqa: SIM117
        with reading(["git", "--version"], Path("/"), {"PATH": PATH}, stdout=full):
            pass
