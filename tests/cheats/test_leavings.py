"""What a trial leaves where the supervisor reads and writes: links out of its folder, pipes without an end, folders."""

import json
from pathlib import Path

import night
import pytest
from solo import Solo, with_passage

SECRET = "a-secret-of-this-test"
OUTSIDE = f"---\nval_bpb: 0.1\nnum_steps: 1\nwhose: {SECRET}\n"
END = '    if MODE == "exit":\n'
LEAVE = """    import shutil
    for name in {names}:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            path.exists() and path.rename(folder / "aside")
        else:
            path.unlink(missing_ok=True)
        {make}
"""
MAKE = {
    "link to a file": "path.symlink_to({outside!r} + '/file')",
    "link to a folder": "path.symlink_to({outside!r} + '/folder')",
    "pipe": "os.mkfifo(path)",
    "folder": "path.mkdir(); (path / 'below').touch()",
}
OF_SCORING = ("play", "play.log", "score.log", "score.json", "progress.jsonl", "acks.jsonl", "referee")
WRITES = """    for place in {os.environ.get("TMPDIR", ""), os.environ.get("HOME", "")} - {""}:
        Path(place, "written").write_text("by the player")
"""
BUILD = '    """Stands in for the referee\'s way to the model."""\n'


class Outside:
    """A file and a folder that are none of a trial's business."""

    def __init__(self, root: Path):
        self.root = root
        (root / "folder").mkdir(parents=True)
        for path in (root / "file", root / "folder" / "weights.pt", root / "folder" / "config.json"):
            path.write_text(OUTSIDE)
        self.before = self.state()

    def state(self) -> list[tuple]:
        """All that can be seen of it."""
        paths = [self.root, *sorted(self.root.rglob("*"))]
        return [(str(path), path.stat().st_mtime_ns, path.is_file() and path.read_text()) for path in paths]


@pytest.fixture
def outside(tmp_path) -> Outside:
    return Outside(tmp_path / "outside")


def leaving(kind: str, names: tuple[str, ...], outside: Outside) -> str:
    """A trainer that measures honestly and leaves `names` as `kind`, whose player writes where it may."""
    make = MAKE[kind].format(outside=str(outside.root))
    source = with_passage(END, LEAVE.format(names=names, make=make) + END)
    return with_passage(BUILD, WRITES, source)


def check(text: str, outside: Outside) -> None:
    """Nothing outside was changed or told."""
    assert outside.state() == outside.before
    assert SECRET not in text


@pytest.mark.parametrize("kind", MAKE)
def test_files_of_scoring_are_the_supervisors_own(tmp_path, outside, kind):
    solo = Solo(tmp_path / "repo")
    one = solo.run(leaving(kind, OF_SCORING, outside))
    check(one.model_dump_json(), outside)
    assert one.score and one.score > 1.0 and one.crash is None, one.crash
    for name in ("play.log", "score.log", "score.json"):
        path = solo.path(one) / name
        assert path.is_file() and not path.is_symlink() and SECRET not in path.read_text()
    assert json.loads((solo.path(one) / "score.json").read_text()) == {"val_bpb": one.score}


@pytest.mark.parametrize("kind", MAKE)
def test_log_that_was_replaced_tells_nothing_of_others(tmp_path, outside, kind):
    solo = Solo(tmp_path / "repo")
    one = solo.run(leaving(kind, ("run.log",), outside))
    check(one.model_dump_json(), outside)
    assert one.score is None or one.score > 1.0
    assert one.metrics.num_steps != 1


@pytest.mark.parametrize("kind", MAKE)
def test_submission_that_is_no_folder_of_plain_files_is_named(tmp_path, outside, kind):
    solo = Solo(tmp_path / "repo")
    one = solo.run(leaving(kind, ("submission",), outside))
    check(one.model_dump_json(), outside)
    assert one.score is None and one.crash and one.crash.kind == "refused"
    assert one.crash.why.startswith("submission/weights.pt must be a plain file but "), one.crash


@pytest.mark.parametrize("kind", ["link to a folder", "pipe", "link to a file"])
def test_code_that_was_replaced_is_laid_out_anew(tmp_path, outside, kind):
    """Under Landlock, which leaves `code` to the trial."""
    solo = Solo(tmp_path / "repo", "landlock")
    one = solo.run(leaving(kind, ("code",), outside))
    check(one.model_dump_json(), outside)
    assert one.score and one.score > 1.0 and one.crash is None, one.crash
    code = solo.path(one) / "code"
    assert not code.is_symlink() and sorted(path.name for path in code.iterdir()) == ["prepare.py", "train.py"]


def run(one: night.Night, *words: str) -> str:
    """Run a verb that must not hang; returns what it printed."""
    process = one.start(*words)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    return out


@pytest.mark.parametrize(
    ("kind", "names", "status"),
    [
        ("link to a folder", (*OF_SCORING, "run.log", "checkpoints"), "discard"),
        ("pipe", (*OF_SCORING, "run.log"), "discard"),
        ("pipe", ("checkpoints",), "discard"),
        ("pipe", ("submission",), "crash  refused: submission/weights.pt must be a plain file"),
    ],
    ids=["links", "pipes", "checkpoints", "submission"],
)
def test_next_command_works_whatever_a_trial_left(tmp_path, outside, kind, names, status):
    one = night.begun(tmp_path / "repo", own=True)
    (one.root / "train.py").write_text(leaving(kind, names, outside).replace("DEPTH = 4", "DEPTH = 3"))
    assert status in run(one, "try", "-m", "leaves things")
    check(json.dumps(one.record(2)) + one.text("notes.md") + run(one, "show", "2"), outside)
    (one.root / "train.py").write_text(night.TRAIN.read_text().replace("LR = 1.0", "LR = 0.5"))
    assert "keep" in run(one, "try", "-m", "honest")


def test_progress_through_a_pipe_does_not_hold_up_who_waits(tmp_path):
    one = night.begun(tmp_path, own=True)
    pipe = '    (folder / "progress.jsonl").unlink()\n    os.mkfifo(folder / "progress.jsonl")\n'
    text = with_passage("    time.sleep(SLEEP_S)\n", pipe + '    (folder / "made").touch()\n    time.sleep(SLEEP_S)\n')
    (one.root / "train.py").write_text(text)
    one.edit(MODE="wait", DEPTH=3)
    first = one.start("try", "-m", "slow")
    night.until((one.root / "results/t1/0002/1/made").exists)
    assert "no verdict yet" in one.run("wait", "--timeout", "0").stdout
    (one.root / "results/t1/0002/1/go").touch()
    assert "discard" in first.communicate(timeout=60)[0]
