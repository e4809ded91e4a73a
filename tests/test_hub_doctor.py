"""autoresearch/hub/doctor.py: what it finds in a hub, and what it mends."""

import os
import shutil
from pathlib import Path

import hostile
import pytest
from clones import Clone
from hubs import serving

from autoresearch.errors import Busy, Refused
from autoresearch.hub import doctor
from autoresearch.hub.folder import DATABASE, INCOMING, REPOSITORY
from autoresearch.hub.store import Database
from autoresearch.repo.bare import TIPS, Bare


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A hub with three commits in a row, each pushed by itself, and their hashes."""
    folder = tmp_path_factory.mktemp("doctor")
    clone, hashes = Clone(folder / "clone"), []
    with serving(folder / "hub") as live:
        agent = live.join("ada")
        for number in range(3):
            hashes.append(clone.commit(f"DEPTH = {number}\n"))
            clone.push(agent)
    return folder / "hub", hashes


@pytest.fixture
def folder(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "hub"))


@pytest.fixture
def hashes(made: tuple[Path, list[str]]) -> list[str]:
    return made[1]


def examine(folder: Path, repair: bool = False) -> list[tuple[str, bool]]:
    return [(found.kind, found.mended) for found in doctor.examine(folder, repair)]


def run(folder: Path, sql: str, *values: object) -> None:
    db = Database(folder / DATABASE)
    db.run("PRAGMA foreign_keys=OFF")
    db.run(sql, *values)
    db.close()


def test_doctor_finds_nothing_in_a_sound_hub(folder: Path) -> None:
    assert examine(folder) == examine(folder, repair=True) == []


def test_doctor_refuses_what_is_no_hub(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"has no hub\.sqlite"):
        doctor.examine(tmp_path, False)
    assert not [*tmp_path.iterdir()]


def test_doctor_clears_up_what_pushes_left_over(folder: Path) -> None:
    (folder / INCOMING / "quarantine" / "objects").mkdir(parents=True)
    (folder / INCOMING / "upload").write_text("x")
    assert examine(folder) == [("leftover", False)] * 2
    assert examine(folder, repair=True) == [("leftover", True)] * 2
    assert examine(folder) == []


def test_doctor_clears_up_what_is_half_done_once_nobody_can_be_writing_them(folder: Path) -> None:
    packs = folder / REPOSITORY / "objects" / "pack"
    lock = folder / REPOSITORY / TIPS / f"{hostile.NOBODY}.lock"
    halves = (
        packs / f"pack-{hostile.NOBODY}.pack",
        packs / "tmp_pack_x",
        lock,
        folder / REPOSITORY / "packed-refs.lock",
    )
    for path in halves:
        path.write_text("x")
    assert examine(folder, repair=True) == []
    for path in halves:
        os.utime(path, (1, 1))
    assert examine(folder) == [("half done", False)] * 4
    assert examine(folder, repair=True) == [("half done", True)] * 4
    assert examine(folder) == [] and not [path for path in halves if path.exists()]


def test_hub_opens_though_a_reference_cannot_be_made(folder: Path, hashes: list[str]) -> None:
    Bare(folder / REPOSITORY).run("update-ref", "-d", f"{TIPS}{hashes[-1]}")
    (folder / REPOSITORY / TIPS / f"{hashes[-1]}.lock").write_text("")
    assert examine(folder, repair=True) == [("references", False)]
    with serving(folder) as live:
        assert live.anybody().get("/api/health").status_code == 200


def test_doctor_gives_tips_their_references(folder: Path, hashes: list[str]) -> None:
    bare = Bare(folder / REPOSITORY)
    bare.run("update-ref", "-d", f"{TIPS}{hashes[-1]}")
    assert examine(folder) == [("references", False)]
    assert examine(folder, repair=True) == [("references", True)]
    assert hashes[-1] in bare.tips() and examine(folder) == []
    (folder / REPOSITORY / TIPS / hashes[-1]).write_text("")  # as a loss of power may leave it
    assert examine(folder, repair=True) == [("references", True)]
    assert examine(folder) == []


def test_doctor_counts_children_again(folder: Path, hashes: list[str]) -> None:
    run(folder, "UPDATE commits SET num_children = 7 WHERE hash = ?", hashes[0])
    assert examine(folder) == [("children", False)]
    assert examine(folder, repair=True) == [("children", True)]
    assert examine(folder) == []


def test_doctor_drops_packs_whose_push_was_never_answered(folder: Path, tmp_path: Path) -> None:
    other = Clone(tmp_path / "other")
    stray = other.commit("WIDTH = 1\n")
    other.raw("pack-objects", "--quiet", "--revs", f"{folder / REPOSITORY}/objects/pack/pack", stdin=b"HEAD\n")
    assert examine(folder) == [("strays", False)]
    assert examine(folder, repair=True) == [("strays", True)]
    assert stray not in Bare(folder / REPOSITORY).commits() and examine(folder) == []


def test_doctor_drops_no_pack_that_holds_anything_recorded(folder: Path, hashes: list[str], tmp_path: Path) -> None:
    other = Clone(tmp_path / "other")
    other.commit("WIDTH = 1\n")
    other.raw("pack-objects", "--quiet", "--revs", f"{folder / REPOSITORY}/objects/pack/pack", stdin=b"HEAD\n")
    Bare(folder / REPOSITORY).run("repack", "-a", "-d", "--keep-unreachable", "--quiet")
    assert examine(folder, repair=True) == [("strays", False)]
    assert Bare(folder / REPOSITORY).commits().issuperset(hashes)
    Bare(folder / REPOSITORY).collect_garbage(hashes, prune="now")
    assert examine(folder) == []


def test_doctor_reports_what_is_lost(folder: Path, hashes: list[str]) -> None:
    bare = Bare(folder / REPOSITORY)
    newest = max(bare.packs.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)
    assert hashes[-1] in bare.contained(newest.with_suffix(".idx"))
    for path in (newest, newest.with_suffix(".idx")):
        path.unlink()
    kinds = [kind for kind, _ in examine(folder)]
    assert kinds[0] == "lost" and "objects" in kinds
    assert ("lost", False) in examine(folder, repair=True)


def test_doctor_reports_a_broken_database(folder: Path, hashes: list[str]) -> None:
    run(folder, "UPDATE commits SET agent_id = 'nobody' WHERE hash = ?", hashes[0])
    assert examine(folder, repair=True) == [("database", False)]


def test_doctor_waits_for_pushes_and_gives_up(folder: Path) -> None:
    with Bare(folder / REPOSITORY).locked(), pytest.raises(Busy, match="stop the hub"):
        doctor.examine(folder, False, wait_s=0.2)
    assert examine(folder) == []


def test_hub_clears_up_when_it_opens(folder: Path, hashes: list[str]) -> None:
    (folder / INCOMING / "quarantine").mkdir()
    Bare(folder / REPOSITORY).run("update-ref", "-d", f"{TIPS}{hashes[-1]}")
    with Bare(folder / REPOSITORY).locked(), serving(folder):
        assert [*(folder / INCOMING).iterdir()]  # somebody else is at it
    with serving(folder):
        assert examine(folder) == []
