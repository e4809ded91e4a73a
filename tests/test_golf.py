"""examples/parameter_golf: packing, counting and scoring, training on two processes, and a walk through its playbook.

Not covered: Modal itself, for which tests/cloud.py stands in; GPUs.
"""

import math
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
import playbook
import pytest
import torch
from playbook import ROOT, Desk, Page

GOLF = ROOT / "examples" / "parameter_golf"
sys.path[:0] = [str(GOLF), str(ROOT)]

import artifact  # noqa: E402
import make_data  # noqa: E402
import score  # noqa: E402
import shards  # noqa: E402

import prepare  # noqa: E402
from autoresearch import sandbox  # noqa: E402

COLUMNS = ("commit", "val_bpb", "artifact_mb", "status", "reasoning", "description")
MARKS = {
    "check": "make_data.py",
    "begin": "autoresearch setup",
    "wait": "autoresearch wait",
    "review": "autoresearch status",
    "try": "autoresearch try",
    "read": "final_int8_zlib_roundtrip",
    "analyze": "autoresearch analyze",
    "mend": "git restore",
    "backtrack": "autoresearch backtrack",
    "report": "autoresearch report",
}
PAGE = Page("examples/parameter_golf/program.md", MARKS)
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


# --- the artifact


def test_artifact_gives_back_what_8_and_16_bits_can_hold() -> None:
    chance = np.random.default_rng(0)
    large = (chance.normal(size=(80, 60)) * chance.uniform(0.01, 100, size=(80, 1))).astype(np.float32)
    large[3] = 0
    weights = {"large": large, "vector": large.flatten(), "small": large[:5, :5], "one": np.array(0.5, np.float32)}
    packed = artifact.pack(weights)
    found = artifact.unpack(packed)
    assert {name: array.shape for name, array in found.items()} == {name: one.shape for name, one in weights.items()}
    units = np.abs(large).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(found["large"] - large) <= 0.51 * units + 1e-3 * np.abs(large))
    assert not np.array_equal(found["large"], large) and not found["large"][3].any()
    for name in ("vector", "small", "one"):
        assert np.array_equal(found[name], weights[name].astype(np.float16).astype(np.float32))
    assert len(packed) < 1.02 * (large.size * 3 + 2 * 80 + 50) + 300
    assert len(artifact.pack({"large": 0 * large})) < 200


def saved(folder: Path, **arrays: object) -> Path:
    path = folder / "weights.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_weights_are_read_without_running_code(tmp_path: Path) -> None:
    good = np.ones(3, np.float32)
    assert np.array_equal(artifact.read_weights(saved(tmp_path, a=good))["a"], good)
    for arrays, words in (
        ({"a": np.array([print], dtype=object)}, "must hold plain arrays"),
        ({"a": np.array([1.0, math.nan], np.float32)}, "finite numbers of 32 bits"),
        ({"a": np.ones(3)}, "finite numbers of 32 bits but is float64"),
    ):
        with pytest.raises(artifact.Invalid, match=words):
            artifact.read_weights(saved(tmp_path, **arrays))
    with pytest.raises(artifact.Invalid, match="fit into 16 bits"):
        artifact.pack({"a": np.full(3, 1e6, np.float32)})
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "link").symlink_to(saved(tmp_path, a=good))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").mkdir()
    saved(tmp_path / "real", a=good)
    (tmp_path / "submission").symlink_to("real")
    for name in ("text", "link", "pipe", "missing", "submission/weights.npz"):
        with pytest.raises(artifact.Invalid):
            artifact.read_weights(tmp_path / name)


# --- the text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data, as the example makes them."""
    folder = tmp_path_factory.mktemp("golf")
    done = subprocess.run(
        [sys.executable, GOLF / "make_data.py", "--chars", "400000"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_bytes_are_those_of_the_text(data: Path) -> None:
    pieces = shards.read_pieces(data / score.TOKENIZER)
    assert len(pieces) == make_data.VOCAB_SIZE and pieces[:3] == [*make_data.RESERVED]
    (path,) = data.glob(score.SHARDS)
    tokens = shards.read_shards(str(path.relative_to(data)), data).astype(np.int64)
    held = [*make_data.read_texts(make_data.held_sources(), 20_000)]
    assert shards.count_bytes(pieces, tokens) == sum(len(text.encode()) for text in held)
    assert path.read_bytes()[:12] == np.array([20240520, 1, len(tokens)], "<i4").tobytes()


def test_leading_spaces_count_only_behind_text() -> None:
    pieces = [("<unk>", 2), ("<s>", 3), ("<0x41>", 6), ("▁the", 1), ("é", 1), ("▁▁", 1), ("▁", 1), ("left out", 5)]
    for tokens, expected in (
        ([1, 3, 3], 3 + 4),
        ([2, 2, 4], 1 + 2),
        ([3, 5, 6], 2 + 1),
        ([3, 0, 3], 0 + 3),
        ([3, 7, 1], 0),
    ):
        assert shards.count_bytes(pieces, np.array(tokens)) == expected


def test_shard_that_is_not_whole_is_refused(data: Path, tmp_path: Path) -> None:
    (path,) = data.glob(score.SHARDS)
    text = path.read_bytes()
    for damaged in (text[:-2], b"\0" + text[1:], text[:100]):
        (tmp_path / "a.bin").write_bytes(damaged)
        with pytest.raises(SystemExit, match="whole shard"):
            shards.read_shards("*.bin", tmp_path)


# --- the score


class Seat:
    """A player in this process."""

    def __init__(self, logits: Callable[[torch.Tensor], torch.Tensor]):
        self.logits = logits

    def ask(self, rows: np.ndarray) -> None:
        self.rows = torch.from_numpy(np.ascontiguousarray(rows))

    def answer(self, targets: torch.Tensor, num_pieces: int) -> torch.Tensor:
        said = torch.log_softmax(self.logits(self.rows).double(), dim=-1)
        return said.gather(-1, targets[..., None])[..., 0]


def loss_of(player: Callable[[], Callable[[torch.Tensor], torch.Tensor]], num_tokens: int = 3000) -> float:
    """Loss per target of a model over 16 pieces, on text without any pattern."""
    tokens = np.random.default_rng(0).integers(16, size=num_tokens)
    seats = [Seat(player()) for _ in range(2)]
    return score.total_loss(seats[0], seats[1], tokens, 16) / (num_tokens - 1)  # type: ignore[arg-type]


def peek(by: int, sharp: float = 9.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """A model that expects the token so many places further on."""
    return lambda rows: sharp * torch.nn.functional.one_hot(rows.roll(-by, dims=1), 16)


def remembering() -> Callable[[torch.Tensor], torch.Tensor]:
    """A model that counts what it has been shown, and expects more of it."""
    counts = torch.zeros(16)

    def logits(rows: torch.Tensor) -> torch.Tensor:
        counts.add_(torch.bincount(rows.flatten(), minlength=16))
        return (counts / counts.sum()).log().expand(*rows.shape, 16)

    return logits


def test_loss_of_honest_models_counts_each_target_once() -> None:
    assert loss_of(lambda: peek(0)) == pytest.approx(math.log(math.exp(9) + 15) - 9 / 16, rel=0.02)
    assert loss_of(lambda: lambda rows: torch.zeros(*rows.shape, 16)) == pytest.approx(math.log(16))
    tokens = np.arange(2 * score.BATCH_ROWS * score.ROW_TOKENS + 50)
    targets = np.concatenate([rows[:, 1:].flatten() for rows in score.batches_of(tokens)])
    assert np.array_equal(targets, tokens[1:])


@pytest.mark.parametrize("cheat", [lambda: peek(1), lambda: peek(5), lambda: peek(1, 0.01), remembering])
def test_models_that_see_more_than_what_came_before_are_refused(cheat: Callable) -> None:
    with pytest.raises(artifact.Invalid, match="from the tokens before them alone"):
        loss_of(cheat)


# --- real players

PLAYED = """from pathlib import Path
import sysconfig
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, rows):
        return torch.zeros(*rows.shape, 512) {trick}

def build_model():
    {look}
    return Model()
"""
HELD_TEXT = """roots = [Path(sysconfig.get_path(name)) for name in ("purelib", "stdlib")]
    roots.append(Path("/usr/lib/python3/dist-packages"))
    places = ["ensurepip/_bundled/*.whl"]
    for name in ("rich", "pygments", "fontTools", "matplotlib", "pydantic", "typer", "markdown_it", "PIL"):
        places += [name + "/*.py", "pip/_vendor/" + name + "/*.py", "site-packages/" + name + "/*.py"]
    found = [path for root in roots for place in places for path in root.glob(place)]
    assert not found, f"SEEN {found[:3]}"
"""
BESIDE = """for folder in ("..", "../seeing", "../blind", "{data}", "{root}"):
        try:
            found = [one.name for one in Path(folder).resolve().iterdir()]
        except OSError:
            continue
        known = {{"seeing", "blind", "artifact.bin", "compiled", "tmp"}}
        assert not any(one.endswith((".bin", ".md", ".log")) and one not in known for one in found), f"SEEN {{found}}"
"""


def scored(data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> dict[str, object]:
    """What is said of a submission whose code is this, in the folder of its data."""
    (folder / "code").mkdir()
    (folder / "submission").mkdir()
    saved(folder / "submission", w=np.ones(1, np.float32))
    (folder / "code" / "data").symlink_to(data / "data")
    (folder / "code" / "train_gpt.py").write_text(source)
    monkeypatch.chdir(folder / "code")
    return score.score(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trick", "look", "words"),
    [
        ("", HELD_TEXT, ""),
        ("", BESIDE, ""),
        ("* float('nan')", "pass", "logits must be finite"),
        ("", "print('val_bpb: 0.1')", ""),
    ],
    ids=["held-out packages", "folders beside", "no numbers", "prints"],
)
def test_hostile_player_gains_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str, look: str, words: str
) -> None:
    if sandbox.find().kind == "open":
        pytest.skip("nothing confines a player on this machine")
    look = look.format(data=data / "data" / "datasets" / "stdlib_sp512", root=ROOT) if look is BESIDE else look
    source = PLAYED.format(trick=trick, look=look)
    if words:
        with pytest.raises(artifact.Invalid, match=words):
            scored(data, tmp_path, monkeypatch, source)
        return
    told = scored(data, tmp_path, monkeypatch, source)
    assert float(str(told["val_bpb"])) > 2 and told["players"] != "open"


def test_rules_hide_the_validation_text_and_freeze_all_text() -> None:
    rules = tomllib.loads((GOLF / "autoresearch.toml").read_text())
    assert tuple(rules["sandbox"]["packages"]) == score.HELD_PACKAGES == prepare.HELD_PACKAGES
    assert rules["sandbox"]["hidden"] == [score.SHARDS.replace("stdlib_sp512", "*")]
    assert "data/datasets/*/*.bin" in rules["frozen"] and rules["limits"]["run_seconds"] < rules["timeout_s"]


def test_player_that_nothing_confines_is_not_started(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['autoresearch'] = None; sys.path[0] = sys.argv[1]\n"
        "from pathlib import Path; import score; score.Player(Path(sys.argv[2]), b'', 'seeing')"
    )
    (tmp_path / "train_gpt.py").write_text("")
    done = subprocess.run([sys.executable, "-c", script, GOLF, tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert "Invalid: players must be confined" in done.stderr and not (tmp_path / "seeing.log").exists()


# --- training


def changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(f"\n{old}") == 1, old
        text = text.replace(f"\n{old}", f"\n{new}")
    return text


def trained(data: Path, folder: Path, *launcher: str) -> list[float]:
    """Losses of six steps of a very small model."""
    (folder / "data").symlink_to(data / "data")
    (folder / "train_gpt.py").write_text(changed((GOLF / "train_gpt.py").read_text(), SMALL))
    env = {**os.environ, "AUTORESEARCH_MAX_STEPS": "6", "AUTORESEARCH_TIME_BUDGET": "1000"}
    env |= {"AUTORESEARCH_TRIAL_DIR": str(folder / "trial"), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, "train_gpt.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "\nnum_steps: 6\n" in done.stdout, done.stdout + done.stderr
    return [float(loss) for loss in re.findall(r"^step \d+ .*loss (\S+)$", done.stdout, flags=re.MULTILINE)]


@pytest.mark.slow
def test_two_processes_train_as_one_does(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = trained(data, tmp_path / "one")
    two = trained(data, tmp_path / "two", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    assert len(one) == len(two) == 6 and one[5] < one[0]
    assert two == pytest.approx(one, rel=2e-4)
    found = [artifact.read_weights(tmp_path / name / "trial/submission/weights.npz") for name in ("one", "two")]
    for name, array in found[0].items():
        assert np.allclose(array, found[1][name], atol=2e-3), name


# --- the playbook


class Course(Desk):
    """A desk at which the arena is parameter golf."""

    def train(self) -> str:
        return (self.root / "train_gpt.py").read_text()

    def edit(self, change: Callable[[str], str]) -> None:
        before = self.train()
        (self.root / "train_gpt.py").write_text(change(before))
        assert before != self.train()

    def rows(self) -> list[dict[str, str]]:
        header, *lines = (self.root / "results.tsv").read_text().splitlines()
        assert tuple(header.split("\t")) == COLUMNS
        return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]


def course(tmp_path: Path, data: Path, variables: dict[str, str], **files: str) -> Course:
    """A clone whose top has the files of the example, with data beside them."""
    names = (*playbook.HUB_FILES, "notes.md.template", ".gitignore", "autoresearch")
    desk = playbook.open_desk(tmp_path / "work", variables, names)
    playbook.stand_ins(desk, tmp_path / "tools", **files)
    for path in GOLF.iterdir():
        if path.is_file() and path.name not in files:
            shutil.copy(path, desk.root)
    desk.git("rm", "--quiet", "--cached", "train.py", "prepare.py")
    desk.git("add", *(path.name for path in GOLF.iterdir() if path.is_file()))
    desk.git("commit", "--quiet", "-m", "parameter golf")
    shutil.copytree(data / "data", desk.root / "data")
    return Course(desk.root, desk.environment, PAGE)


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
def test_playbook_walks_a_night(data: Path, tmp_path: Path) -> None:
    desk = course(tmp_path, data, {}, **{"train_gpt.py": TRAINER, "score.py": SCORER})
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


@pytest.mark.slow
def test_golf_trains_packs_and_scores_under_the_tool(data: Path, tmp_path: Path) -> None:
    look = """
for held in Path("data/datasets").rglob("*_val_*.bin"):
    with contextlib.suppress(OSError):
        print("bytes of validation text:", len(held.read_bytes()))
"""
    places = {"import json": "import contextlib\nimport json", "if __name__": f"{look}if __name__"}
    source = changed((GOLF / "train_gpt.py").read_text(), places)
    desk = course(tmp_path, data, {"AUTORESEARCH_MAX_STEPS": "3"}, **{"train_gpt.py": source})
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1")
    assert done.returncode == 0, done.stdout + done.stderr
    log = (desk.root / "results/t1/0001/1/run.log").read_text()
    told = dict(re.findall(r"^(\w+): (.*)$", log, flags=re.MULTILINE))
    assert 1 < float(told["val_bpb"]) < 8 and told["within_16mb"] == "yes"
    weights = artifact.read_weights(desk.root / "results/t1/0001/1/submission/weights.npz")
    num_bytes = len(source.encode()) + len(artifact.pack(weights))
    assert int(told["artifact_bytes"]) == num_bytes == round(1e6 * float(told["artifact_mb"]))
    assert [row["artifact_mb"] for row in desk.rows()] == [f"{num_bytes / 1e6:.6g}"]
    seen = sum(map(int, re.findall(r"bytes of validation text: (\d+)", log)))
    assert (seen > 0) == (told["players"] == "open")


@pytest.mark.slow
def test_modal_trains_and_scores_apart(data: Path, tmp_path: Path) -> None:
    files = {"train_gpt.py": TRAINER, "score.py": SCORER, "autoresearch.toml": (GOLF / "modal.toml").read_text()}
    desk = course(tmp_path, data, {}, **files)
    cloud.install(tmp_path / "tools")
    by_hand = desk.sh("AUTORESEARCH_SEED=1 modal run modal_train.py > run.log 2>&1; grep '^val_bpb' run.log")
    assert by_hand.stdout == "val_bpb: 1.500001\n", (desk.root / "run.log").read_text()
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1 && uv run -m autoresearch show 1")
    assert "\nkeep  1.5000" in done.stdout and "unrefereed" not in done.stdout and done.returncode == 0, done.stderr
    assert desk.rows()[0]["artifact_mb"] == "0.2"
