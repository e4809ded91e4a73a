"""Settings: bad AUTORESEARCH_ values are refused by name, and unknown names list the known ones."""

from collections.abc import Callable
from pathlib import Path

import launcher
import pytest
from conftest import ROOT

Run = Callable[..., launcher.Ended]
SHOW = """
import prepare
names = "SCALE VOCAB_SIZE MAX_SEQ_LEN EVAL_TOKENS TIME_BUDGET MAX_STEPS SEED CHECKPOINT_STEPS RESUME SUPERVISED".split()
print({name: getattr(prepare, name) for name in names})
"""


@pytest.fixture
def show(run_script: Run, tmp_path: Path) -> Run:
    """Call with settings: a process imports prepare and prints its constants."""
    (tmp_path / "show.py").write_text(SHOW)
    return lambda **settings: run_script(tmp_path / "show.py", **settings)


BAD = {
    "TIME_BUDGET": ["abc", "0", "-5", "nan", "inf", "None"],
    "MAX_STEPS": ["0", "-1", "2.5", "many"],
    "SEED": ["-1", "2.5", "x"],
    "CHECKPOINT_STEPS": ["0", "2.5", "often"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_setting_that_is_no_sensible_number_is_refused_by_name(show: Run, name: str, value: str) -> None:
    ended = show(**{name: value})
    assert ended.code == 1, ended.text
    last = ended.text.splitlines()[-1]
    assert f"AUTORESEARCH_{name} must be" in last and f"but got {value!r}" in last


def test_setting_of_each_kind_is_taken(show: Run) -> None:
    ended = show(TIME_BUDGET="2.5", MAX_STEPS=7, SEED=0, CHECKPOINT_STEPS=3, SCALE="cpu", RESUME="/some/file.pt")
    for words in ("'TIME_BUDGET': 2.5", "'MAX_STEPS': 7", "'SEED': 0", "'CHECKPOINT_STEPS': 3", "'VOCAB_SIZE': 2048"):
        assert words in ended.text
    assert "PosixPath('/some/file.pt')" in ended.text


def test_empty_settings_count_as_unset(show: Run) -> None:
    ended = show(TIME_BUDGET="", MAX_STEPS="", SEED="", CHECKPOINT_STEPS="", RESUME="", SUPERVISED="")
    for words in ("'TIME_BUDGET': 300", "'MAX_STEPS': None", "'SEED': 42", "'CHECKPOINT_STEPS': None"):
        assert words in ended.text
    assert "'RESUME': None" in ended.text and "'SUPERVISED': False" in ended.text


def test_whole_budget_reads_the_same_however_it_is_written(show: Run) -> None:
    assert "'TIME_BUDGET': 300," in show(TIME_BUDGET="300.0").text


@pytest.mark.parametrize(
    ("scale", "size"), [("gpu", (8192, 2048, 20971520)), ("cpu", (2048, 512, 245760)), ("tiny", (512, 64, 32768))]
)
def test_scale_sets_vocabulary_length_and_evaluation(show: Run, scale: str, size: tuple[int, int, int]) -> None:
    text = show(SCALE=scale).text
    for name, value in zip(("VOCAB_SIZE", "MAX_SEQ_LEN", "EVAL_TOKENS"), size, strict=True):
        assert f"'{name}': {value}" in text


def test_unknown_scale_lists_the_known_ones(show: Run) -> None:
    ended = show(SCALE="huge")
    assert ended.code == 1
    assert "AUTORESEARCH_SCALE must be one of gpu, cpu, tiny but got 'huge'" in ended.text


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_unknown_dataset_lists_the_known_ones(run_script: Run, how: str) -> None:
    prepare_py = ROOT / "prepare.py"
    wrong = run_script(prepare_py, "--dataset", "c4") if how == "argument" else run_script(prepare_py, DATASET="c4")
    assert wrong.code == 1 and "Traceback" not in wrong.text
    assert "climbmix, tinystories, pysource or a folder of .parquet files but got 'c4'" in wrong.text


def test_folder_without_parquet_files_is_no_dataset(run_script: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run_script(ROOT / "prepare.py", "--dataset", tmp_path / "empty")
    assert ended.code == 1 and "a folder of .parquet files" in ended.text


@pytest.mark.parametrize("shards", ["0", "-3", "6542"])
def test_number_of_shards_is_limited_to_those_for_training(run_script: Run, tmp_path: Path, shards: str) -> None:
    ended = run_script(ROOT / "prepare.py", "--dataset", "climbmix", "--num-shards", shards, CACHE=tmp_path / "cache")
    assert ended.code == 1
    assert f"--num-shards must lie in 1..6541 but got {shards}" in ended.text


def test_supervised_process_without_data_names_the_mending_command(
    run_script: Run, tmp_path: Path, texts: Path
) -> None:
    (tmp_path / "load.py").write_text("import prepare\nprepare.Tokenizer.from_directory()\n")
    ended = run_script(tmp_path / "load.py", SUPERVISED=1, CACHE=tmp_path / "cache", DATASET=texts)
    assert ended.code == 1
    assert f"run `AUTORESEARCH_SCALE=tiny uv run prepare.py --dataset {texts}`" in ended.text
    assert not (tmp_path / "cache").exists(), "a trial never touches the data"
    by_hand = run_script(tmp_path / "load.py", CACHE=tmp_path / "cache", DATASET=texts)
    assert by_hand.code == 0, by_hand.text
    assert run_script(tmp_path / "load.py", SUPERVISED=1, CACHE=tmp_path / "cache", DATASET=texts).code == 0


def test_import_has_no_effect_on_files(show: Run, tmp_path: Path) -> None:
    show(CACHE=tmp_path / "cache", TRIAL_DIR=tmp_path / "trial")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "trial").exists()
