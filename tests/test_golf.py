"""examples/parameter_golf: training on two processes, and a walk through its playbook.

Not covered: Modal itself, for which tests/cloud.py stands in; GPUs.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cloud
import numpy as np
import pytest
from golf import GOLF, MARKS, PAGE, Course, artifact, changed, course, score, shards
from playbook import ROOT, Desk

import prepare

TRAINER = """import os
from pathlib import Path
BPB, SIZE = 1.5, 0.2
folder = Path(os.environ["AUTORESEARCH_TRIAL_DIR"], "submission")
folder.mkdir(parents=True)
(folder / "weights.npz").write_text(f"{BPB + int(os.environ['AUTORESEARCH_SEED']) % 100 / 1e6} {SIZE}")
"""
SCORER = """import sys
from pathlib import Path
bpb, size = Path(sys.argv[1], "submission/weights.npz").read_text().split()
print(f"---\\nval_bpb: {bpb}\\nfinal_int8_zlib_roundtrip: {bpb}\\nmodel_params: 9\\nartifact_mb: {size}")
"""
SMALL = {"WIDTH = 96": "WIDTH = 24", "DEPTH = 3": "DEPTH = 1", "BATCH_ROWS = 16": "BATCH_ROWS = 4"}


def output_of(golf_data: Path, folder: Path, source: str, launcher: list[str], **settings: str) -> str:
    """What a training run prints."""
    folder.mkdir(exist_ok=True)
    (folder / "data").symlink_to(golf_data / "data")
    (folder / "train_gpt.py").write_text(source)
    env = os.environ | {f"AUTORESEARCH_{name}": value for name, value in settings.items()}
    env |= {"AUTORESEARCH_TRIAL_DIR": str(folder / "trial"), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, "train_gpt.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained(golf_data: Path, folder: Path, *launcher: str) -> list[float]:
    """Losses of six steps of a very small model."""
    source = changed((GOLF / "train_gpt.py").read_text(), SMALL)
    told = output_of(golf_data, folder, source, [*launcher], MAX_STEPS="6", TIME_BUDGET="1000")
    assert "\nnum_steps: 6\n" in told
    return [float(loss) for loss in re.findall(r"^step \d+ .*loss (\S+)$", told, flags=re.MULTILINE)]


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.mark.slow
def test_two_processes_train_as_one_does(golf_data: Path, tmp_path: Path) -> None:
    one = trained(golf_data, tmp_path / "one")
    two = trained(golf_data, tmp_path / "two", *TWO)
    assert len(one) == len(two) == 6 and one[5] < one[0]
    assert two == pytest.approx(one, rel=2e-4)
    found = [artifact.read_weights(tmp_path / name / "trial/submission/weights.npz") for name in ("one", "two")]
    for name, array in found[0].items():
        assert np.allclose(array, found[1][name], atol=2e-3), name


@pytest.mark.slow
def test_two_processes_whose_clocks_differ_end_at_the_same_step(golf_data: Path, tmp_path: Path) -> None:
    late = "return time.monotonic() - self.begun"
    source = changed((GOLF / "train_gpt.py").read_text(), SMALL)
    assert source.count(late) == 1
    end = '    print(f"rank {ranks.rank} ended after {step} steps", flush=True)\n    seconds = clock.seconds()'
    source = source.replace(late, f"{late} - self.ranks.rank").replace("    seconds = clock.seconds()", end)
    told = output_of(golf_data, tmp_path / "two", source, [*TWO], TIME_BUDGET="2")
    ends = dict(re.findall(r"rank (\d) ended after (\d+) steps", told))
    assert ends.keys() == {"0", "1"} and ends["0"] == ends["1"] and int(ends["0"]) > 1, told


def test_rules_hide_the_validation_text_and_freeze_all_text() -> None:
    rules = tomllib.loads((GOLF / "autoresearch.toml").read_text())
    assert tuple(rules["sandbox"]["packages"]) == score.HELD_PACKAGES == prepare.HELD_PACKAGES
    assert rules["sandbox"]["hidden"] == [score.SHARDS.replace("stdlib_sp512", "*")]
    assert "data/datasets/*/*.bin" in rules["frozen"] and rules["limits"]["run_seconds"] < rules["timeout_s"]


def verdict(desk: Desk) -> str:
    for _ in range(20):
        if "no verdict yet" not in (told := desk.walk("wait")):
            return told
    raise AssertionError("no verdict after 20 calls")


def attempt(desk: Course, change: Callable[[str], str], **texts: str) -> str:
    """One round of the loop; returns the verdict."""
    desk.walk("review")
    desk.edit(change)
    desk.walk("try", 0, m="an idea", **texts)
    told = verdict(desk)
    desk.walk("analyze", result="seen", expected="better", why="it is so", lesson="go on")
    return told


@pytest.mark.parametrize("text", PAGE.blocks, ids=lambda text: text.split("\n")[0][:40])
def test_playbook_block_is_known_here(text: str) -> None:
    assert sum(mark in text for mark in MARKS.values()) == 1


def test_playbook_never_pushes_and_resets_nothing_wholesale() -> None:
    assert not re.search(r"git (push|clean|stash|checkout)|--hard|add (-A|\.)|pkill|killall", "\n".join(PAGE.blocks))


@pytest.mark.slow
def test_playbook_walks_a_night(golf_data: Path, tmp_path: Path) -> None:
    desk = course(tmp_path, golf_data, {}, **{"train_gpt.py": TRAINER, "score.py": SCORER})
    told = desk.walk("check")
    assert "stdlib_512_bpe.model" in told and "ok    records" not in told
    assert "runs in the background" in desk.walk("begin")
    assert "attempt 0001" in verdict(desk)
    tag = desk.git("branch", "--show-current")
    assert re.fullmatch(r"autoresearch/[a-z]{3}\d\d", tag)
    assert re.search(r"^keep +−0\.10", attempt(desk, lambda text: text.replace("1.5", "1.4"), hypothesis="h"), re.M)
    read = desk.walk("read")
    assert [line.split(":")[0] for line in read.splitlines()].count("val_bpb") == 2 and "model_params: 9" in read
    kept = desk.git("rev-parse", "HEAD")
    told = attempt(desk, lambda text: text.replace("1.4, 0.2", "1.1, 0.5"))
    assert "discard  oversize  −0.3" in told and desk.git("rev-parse", "HEAD") == kept
    assert "crash" in attempt(desk, lambda text: text + "raise SystemExit('oops')\n")
    assert "oops" in desk.walk("read")
    desk.walk("mend", ATTEMPT="0004")
    assert "oops" in desk.train()
    assert "keep" in attempt(desk, lambda text: text.replace("raise", "# raise").replace("1.4", "1.3"))
    desk.walk("backtrack", backtrack="0002", why="too good to be true")
    found = [(row["val_bpb"][:3], row["artifact_mb"], row["status"], row["reasoning"]) for row in desk.rows()]
    why = "what should happen to val_bpb and to the size, by how much, and why"
    assert found == [
        ("1.5", "0.2", "keep", ""),
        ("1.4", "0.2", "keep", "h"),
        ("1.1", "0.5", "discard", why),
        ("0.0", "0.0", "crash", why),
        ("1.3", "0.2", "keep", why),
        ("1.4", "0.2", "backtrack", "too good to be true"),
    ]
    html = Path(desk.walk("report").splitlines()[0]).read_text()
    assert ">artifact_mb</th>" in html and "0.5" in html and "oversize" in html
    assert "### 0003: an idea" in (desk.root / "notes.md").read_text()
    assert desk.git("status", "--short", "--untracked-files=no") == ""


def counted(data: Path) -> float:
    """Bits per byte of the validation text by how often each token occurs in the training text."""
    train, held = (shards.read_shards(f"datasets/*/*_{split}_*.bin", data) for split in ("train", "val"))
    shares = np.bincount(train, minlength=512) + 1.0
    nats = -np.log(shares / shares.sum())[held[1:]].sum()
    return nats / np.log(2) / shards.count_bytes(shards.read_pieces(data / "tokenizers/stdlib_512_bpe.model"), held)


@pytest.mark.slow
def test_golf_trains_packs_and_scores_under_the_tool(golf_data: Path, tmp_path: Path) -> None:
    look = """
for held in Path("data/datasets").rglob("*_val_*.bin"):
    with contextlib.suppress(OSError):
        print("bytes of validation text:", len(held.read_bytes()))
"""
    places = {"import json": "import contextlib\nimport json", "if __name__": f"{look}if __name__"}
    source = changed((GOLF / "train_gpt.py").read_text(), places)
    desk = course(tmp_path, golf_data, {"AUTORESEARCH_MAX_STEPS": "100"}, **{"train_gpt.py": source})
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1")
    assert done.returncode == 0, done.stdout + done.stderr
    log = (desk.root / "results/t1/0001/1/run.log").read_text()
    told = dict(re.findall(r"^(\w+): (.*)$", log, flags=re.MULTILINE))
    assert 1 < float(told["val_bpb"]) < counted(desk.root / "data") and told["within_16mb"] == "yes"
    weights = artifact.read_weights(desk.root / "results/t1/0001/1/submission/weights.npz")
    num_bytes = len(source.encode()) + len(artifact.pack(weights))
    assert int(told["artifact_bytes"]) == num_bytes == round(1e6 * float(told["artifact_mb"]))
    assert [row["artifact_mb"] for row in desk.rows()] == [f"{num_bytes / 1e6:.6g}"]
    seen = sum(map(int, re.findall(r"bytes of validation text: (\d+)", log)))
    assert (seen > 0) == (told["players"] == "open")


def at_modal(tmp_path: Path, golf_data: Path, trainer: str, scorer: str) -> Course:
    """A clone whose data lie in volumes of a stand-in for Modal, filled and pinned as docs/arenas.md says."""
    rules = (GOLF / "modal.toml").read_text()
    desk = course(tmp_path, golf_data, {}, **{"train_gpt.py": trainer, "score.py": scorer, "autoresearch.toml": rules})
    volumes = cloud.install(tmp_path / "tools") / "volumes"
    for name, left_out in (("train", "*_val_*"), ("val", "*_train_*")):
        shutil.copytree(golf_data / "data", volumes / f"parameter-golf-{name}", ignore=shutil.ignore_patterns(left_out))
    assert PINNING in (ROOT / "docs" / "arenas.md").read_text()
    assert desk.sh(PINNING.replace("fineweb10B_sp1024", "stdlib_sp512")).returncode == 0
    desk.git("add", "data.sha256")
    desk.git("commit", "--quiet", "-m", "pin the data")
    shutil.rmtree(desk.root / "data")
    return desk


PINNING = "sha256sum data/tokenizers/* data/datasets/fineweb10B_sp1024/*.bin > data.sha256"


@pytest.mark.slow
def test_modal_trains_and_scores_apart(golf_data: Path, tmp_path: Path) -> None:
    desk = at_modal(tmp_path, golf_data, TRAINER, SCORER)
    by_hand = desk.sh("AUTORESEARCH_SEED=1 modal run modal_train.py > run.log 2>&1; grep '^val_bpb' run.log")
    assert by_hand.stdout == "val_bpb: 1.500001\n", (desk.root / "run.log").read_text()
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1 && uv run -m autoresearch show 1")
    assert "\nkeep  1.5000" in done.stdout and "unrefereed" not in done.stdout and done.returncode == 0, done.stderr
    assert desk.rows()[0]["artifact_mb"] == "0.2"


@pytest.mark.slow
def test_modal_passes_on_why_training_failed(golf_data: Path, tmp_path: Path) -> None:
    desk = at_modal(tmp_path, golf_data, f"raise SystemExit('FAIL: loss is nan at step 3')\n{TRAINER}", SCORER)
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1")
    assert done.returncode == 3 and "diverged, FAIL: loss is nan at step 3" in done.stderr, done.stderr
    log = (desk.root / "results/t1/0001/1/run.log").read_text()
    assert "ChildFailedError" in log and "CalledProcessError" not in log


@pytest.mark.slow
def test_modal_refuses_data_that_are_not_as_pinned(golf_data: Path, tmp_path: Path) -> None:
    desk = at_modal(tmp_path, golf_data, TRAINER, SCORER.replace("import sys", "import sys\nsys.exit('Invalid: so')"))
    done = desk.sh("AUTORESEARCH_SEED=1 modal run modal_train.py --only train")
    assert done.returncode == 0, done.stderr
    refused = desk.sh("modal run modal_train.py --only score")
    assert (refused.returncode, refused.stderr) == (1, "Invalid: so\n"), "what the scorer there says is said here"
    volumes, name = tmp_path / "tools" / "volumes", "datasets/stdlib_sp512/stdlib_{}_000000.bin"
    held = volumes / "parameter-golf-val" / name.format("val")
    held.write_bytes(held.read_bytes()[:-2] + b"\0\0")
    words = desk.sh("modal run modal_train.py --only score").stderr
    assert f"Invalid: the volume must hold what data.sha256 names but data/{name.format('val')} has sha256" in words
    shutil.copy(held, volumes / "parameter-golf-train" / name.format("val"))
    words = desk.sh("modal run modal_train.py --only train").stderr
    assert f"data/{name.format('val')} is not pinned; fill the volume again" in words
    (volumes / "parameter-golf-train" / name.format("val")).unlink()
    (volumes / "parameter-golf-train" / name.format("train")).unlink()
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1")
    missing = (
        f"refused, Invalid: the volume must hold what data.sha256 names but data/{name.format('train')} is missing"
    )
    assert done.returncode == 3 and missing in done.stderr, done.stderr
