"""arena.py: the defaults, and what a wrong autoresearch.toml is told."""

from pathlib import Path

import pytest

from autoresearch import arena
from autoresearch.arena import Arena, Metric
from autoresearch.errors import BadConfig
from autoresearch.records import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
FROZEN = ["prepare.py", "pyproject.toml", "uv.lock", "autoresearch/**/*.py"]


def load(folder: Path, text: str) -> Arena:
    (folder / arena.NAME).write_text(text)
    return arena.load(folder)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        load(folder, text)
    return str(caught.value)


def test_defaults_are_this_repository(tmp_path):
    found = arena.load(tmp_path)
    assert found.own
    assert found.command == ["{python}", "train.py"]
    assert (found.mutable, found.frozen) == (["train.py"], FROZEN)
    assert all(any(ROOT.glob(path)) for path in (*found.mutable, *found.frozen))
    assert (found.metric.name, found.metric.direction) == ("val_bpb", "min")
    assert (found.timeout_s, found.score_command, found.guards, found.limits) == (None, None, [], {})
    assert (found.sandbox.network, found.sandbox.env) == (False, [])
    assert not (ROOT / arena.NAME).exists()


def test_an_empty_file_is_another_arena_with_the_same_rules(tmp_path):
    found = load(tmp_path, "")
    assert not found.own
    assert found.model_dump() == Arena().model_dump()


def test_every_key_is_read(tmp_path):
    found = load(
        tmp_path,
        """
        command = ["bash", "run.sh", "--python", "{python}", "{{braces}}"]
        mutable = ["solver.py", "sub/heuristic.py"]
        frozen = ["tests/**", "data/*.csv"]
        timeout_s = 60
        columns = ["commit", "eval/acc", "artifact_mb", "status", "reasoning", "description"]
        limits = { peak_vram_mb = 8000 }
        score_command = ["{python}", "score.py", "{folder}"]
        guards = [["pytest"]]
        metric = { name = "eval/acc", direction = "max", pattern = 'accuracy=(\\S+)' }
        sandbox = { network = true, env = ["WANDB_MODE"] }
        """,
    )
    assert (found.timeout_s, found.limits, found.metric.direction) == (60.0, {"peak_vram_mb": 8000.0}, "max")
    assert found.table == ("commit", "eval/acc", "artifact_mb", "status", "reasoning", "description")
    assert (found.guards, found.sandbox.env) == ([["pytest"]], ["WANDB_MODE"])
    assert found.command[-1].format(python="p") == "{braces}"


def test_columns_are_the_usual_ones_with_the_name_of_the_metric(tmp_path):
    assert arena.load(tmp_path).table == COLUMNS
    found = load(tmp_path, "metric = { name = 'accuracy' }").table
    assert found == ("commit", "accuracy", "memory_gb", "status", "description", "reasoning")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns = ['commit', 'status', 'description']", "columns must name commit, val_bpb, status, description"),
        ("columns = ['commit', 'val_bpb', 'status', 'description', 'status']", "each once but has status again"),
        ("columns = ['commit', 'val_bpb', 'status', 'description', 'a b']", "columns.4"),
    ],
)
def test_columns_that_readers_need_must_be_there(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_scores_are_unrefereed_where_the_command_itself_prints_them(tmp_path):
    assert not arena.load(tmp_path).unrefereed
    assert load(tmp_path, "").unrefereed
    assert not load(tmp_path, "score_command = ['score']").unrefereed


def test_unknown_keys_are_named_with_the_known_ones(tmp_path):
    words = refusal(tmp_path, "mutabel = ['a']\nseed = 3\n[metric]\ndirektion = 'max'\n[sandbox]\nenviron = []")
    assert "mutabel is unknown; did you mean mutable?; known keys: command, mutable, frozen, metric" in words
    assert "seed is unknown; known keys: command" in words
    assert "metric.direktion is unknown; did you mean direction?; known keys: name, direction, pattern" in words
    assert "sandbox.environ is unknown" in words


def test_own_is_no_key(tmp_path):
    assert "own is unknown" in refusal(tmp_path, "own = true")


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("command = 'python train.py'", "command:", "'python train.py'"),
        ("command = []", "command:", "[]"),
        ("mutable = []", "mutable:", "[]"),
        ("mutable = [3]", "mutable.0:", "3"),
        ("timeout_s = '60'", "timeout_s:", "'60'"),
        ("timeout_s = true", "timeout_s:", "True"),
        ("timeout_s = 0", "timeout_s:", "0"),
        ("timeout_s = inf", "timeout_s:", "inf"),
        ("limits = { depth = nan }", "limits.depth:", "nan"),
        ("metric = 'val_bpb'", "metric:", "'val_bpb'"),
        ("metric = { direction = 'up' }", "metric.direction:", "'up'"),
        ("metric = { name = '' }", "metric.name:", "''"),
        ('metric = { name = "a\\tb" }', "metric.name:", "'a\\tb'"),
        ("metric = { name = 'status' }", "metric.name:", "'status'"),
        ("sandbox = { network = 1 }", "sandbox.network:", "1"),
        ("guards = ['pytest']", "guards.0:", "'pytest'"),
    ],
)
def test_wrong_values_are_named_with_what_was_found(tmp_path, text, place, value):
    words = refusal(tmp_path, text)
    assert f": {place}" in words
    assert words.endswith(f"but got {value}")


@pytest.mark.parametrize("path", ["../train.py", "/etc/passwd", "a/../../b", "", "~/x"])
def test_files_lie_below_the_root(tmp_path, path):
    assert "must be a path from the repository's root" in refusal(tmp_path, f"mutable = ['{path}']")
    assert "must be a path from the repository's root" in refusal(tmp_path, f"frozen = ['{path}']")


@pytest.mark.parametrize("path", ["src/*.py", "src/model?.py", "**", "src", "src/", "."])
def test_mutable_files_are_named_one_each(tmp_path: Path, path: str) -> None:
    (tmp_path / "src").mkdir()
    words = refusal(tmp_path, f"mutable = ['train.py', '{path}']")
    assert "mutable" in words and f"must name files, one each: no pattern, no folder, but got {path!r}" in words
    assert load(tmp_path, "mutable = ['src/[slug].py']").mutable == ["src/[slug].py"]


def test_a_file_is_mutable_or_frozen(tmp_path):
    assert "not both: prepare.py" in refusal(tmp_path, "mutable = ['train.py', 'prepare.py']")


@pytest.mark.parametrize("part", ["awk '{print}'", "{}", "{0}", "{"])
def test_unknown_placeholders_are_refused_before_anything_runs(tmp_path, part):
    assert "command" in refusal(tmp_path, f'command = ["{part}"]')
    assert "score_command" in refusal(tmp_path, f'score_command = ["{part}"]')


def test_training_command_has_no_folder(tmp_path):
    assert "{folder} is for score_command" in refusal(tmp_path, 'command = ["x", "{folder}"]')


@pytest.mark.parametrize("pattern", ["no group", "(two) (groups)", "(broken", "(?:none)"])
def test_a_pattern_has_exactly_one_group(tmp_path, pattern):
    assert "metric.pattern: must" in refusal(tmp_path, f"metric = {{ pattern = '{pattern}' }}")


@pytest.mark.parametrize("content", [b"command = [", b"a = 1\na = 2", b"name = '\xff'"])
def test_what_is_no_toml_is_said_to_be_none(tmp_path, content):
    (tmp_path / arena.NAME).write_bytes(content)
    with pytest.raises(BadConfig, match="must be TOML"):
        arena.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("val_bpb: 1.5\n", 1.5),
        ("val_bpb: 1.5\nval_bpb:   1.25  \r\n", 1.25),
        ("val_bpb: 1.5\nval_bpb: broken\n", None),
        ("my val_bpb: 1.5\n", None),
        ("val_bpb:\n1.5\n", None),
        ("val_bpb: 1e-3", 0.001),
        ("", None),
    ],
)
def test_metric_is_the_last_line_of_its_name(text, value):
    assert Metric().find(text) == value


def test_metric_pattern_counts_by_its_last_match():
    metric = Metric(pattern=r"acc=(\S+)")
    assert metric.find("acc=1 acc=2\nacc=3, acc=0.5 x") == 0.5
    assert Metric(pattern=r"a|acc=(\d)").find("acc=1 a") is None
    assert Metric(name="a.b").find("axb: 1") is None
