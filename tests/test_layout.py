"""What of the untracked files lies in a trial's code, confined or not, and what in the code of its scorer."""

from pathlib import Path

import night
import pytest
from boxes import found

from autoresearch.attempt import layout
from autoresearch.attempt.campaign import Campaign

ARENA = """command = ["{python}", "train.py"]
frozen = ["score.py", "other.bin", "data/*.bin"]
score_command = ["{python}", "score.py", "{folder}"]
sandbox = { hidden = ["data/answers.bin", "data/deep/*.bin"] }
"""
LOOK = """import sys
from pathlib import Path

Path("other.bin").read_text()
print("seen:", *sorted(str(path) for path in Path("data").rglob("*.*") if path.is_file() and path.read_text()))
print(f"---\\nval_bpb: {Path('data/train.bin').read_text()}")
"""
IGNORED = ["data/train.bin", "data/answers.bin", "data/deep/er.bin"]


def beside_tracked(folder: Path) -> night.Night:
    """A repository before `setup` whose folder of data holds tracked files as well."""
    one = night.fresh(folder)
    for path in ("data/README.md", *IGNORED, "data/deep/README.md", "data/notes.tmp"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("1.5")
    (folder / ".gitignore").write_text(f"{night.IGNORED}*.bin\n*.tmp\n")
    for name in ("train.py", "score.py"):
        (folder / name).write_text(LOOK)
    (folder.parent / "disk").mkdir()
    for path in ("data/train.bin", "other.bin"):  # as people do whose disk is another one
        (folder.parent / "disk" / Path(path).name).write_text("1.5")
        (folder / path).unlink(missing_ok=True)
        (folder / path).symlink_to(folder.parent / "disk" / Path(path).name)
    one.git("add", "-A")
    one.arena(ARENA)
    return one


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_pinned_data_beside_tracked_files_are_there_for_a_trial_and_hidden_ones_are_not(
    tmp_path: Path, kind: str
) -> None:
    if found(kind).kind != kind:
        pytest.skip(f"no {kind} here: {found(kind).reason}")
    one = beside_tracked(tmp_path / "night")
    if kind == "landlock":
        (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
        one.env["PATH"] = f"{tmp_path}:{one.env['PATH']}"
    one.run("setup", "t1", "--baseline-runs", "1")
    (trial,) = one.record(1)["trials"]
    assert (trial["score"], trial["sealed"]) == (1.5, kind)
    tracked = ["data/README.md", "data/deep/README.md"]
    seen = [line for line in one.text("results/t1/0001/1/run.log").splitlines() if line.startswith("seen: ")]
    assert seen[0].split()[1:] == sorted([*tracked, "data/train.bin"])
    assert seen[1].split()[1:] == sorted([*tracked, *IGNORED]), "the scorer sees what is pinned, hidden or not"


def test_pinned_file_that_is_gone_is_not_linked_to_itself_through_the_link_to_its_folder(tmp_path: Path) -> None:
    one = night.fresh(tmp_path / "night")
    data = one.root / "data" / "train.bin"
    data.parent.mkdir()
    data.write_text("1.5")
    one.arena(f"{night.ARENA.replace('rules.txt', 'data/train.bin')}")
    one.run("setup", "t1", "--baseline-runs", "1")
    campaign = Campaign.open(one.root, one.env, print)
    code = layout.lay_out(campaign, one.tip(), tmp_path / "trial")
    assert (code / "data" / "train.bin").read_text() == "1.5"
    data.unlink()
    layout.lay_out(campaign, one.tip(), tmp_path / "trial")
    assert not data.is_symlink()
