"""The submission: what a run leaves for scoring, and that scoring it in another process gives the same number."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import launcher
import pytest
import torch
from conftest import ROOT, TEXTS

import prepare

Run = Callable[..., launcher.Ended]
PREPARE = ROOT / "prepare.py"


def bpb_of(ended: launcher.Ended) -> float:
    """The last val_bpb printed."""
    assert ended.code == 0, ended.text
    return float(re.findall(r"^val_bpb: (\S+)", ended.text, flags=re.MULTILINE)[-1])


@pytest.fixture(scope="module")
def finished(
    environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, launcher.Ended]:
    """The folder of a finished trial by hand, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    named = {"DATASET": str(TEXTS), "TRIAL_DIR": str(folder / "trial"), "TIME_BUDGET": "1000", "MAX_STEPS": "12"}
    variables = environment | {f"AUTORESEARCH_{name}": value for name, value in named.items()}
    return folder / "trial", launcher.run([ROOT / "tests/trials/small.py"], variables, folder / "run.log")


@pytest.fixture
def trial(finished: tuple[Path, launcher.Ended], tmp_path: Path) -> Path:
    """A copy of the finished trial's folder."""
    return shutil.copytree(finished[0], tmp_path / "trial")


def test_score_in_a_fresh_process_equals_the_score_in_process(
    finished: tuple[Path, launcher.Ended], trial: Path, run_script: Run
) -> None:
    ended = run_script(PREPARE, "--score", trial, DATASET=TEXTS)
    assert bpb_of(ended) == pytest.approx(bpb_of(finished[1]), abs=1e-6)
    assert "unsandboxed" in ended.text and "refereed" in finished[1].text
    assert json.loads((trial / "score.json").read_text())["val_bpb"] == pytest.approx(bpb_of(ended), abs=1e-6)


def test_submission_is_weights_and_config_with_the_code_beside_it(trial: Path) -> None:
    files = {str(path.relative_to(trial)) for path in trial.rglob("*") if path.is_file()}
    assert files == {"submission/weights.pt", "submission/config.json", "code/train.py", "code/prepare.py"}
    assert json.loads((trial / "submission" / "config.json").read_text()) == {"vocab_size": 512, "width": 16}
    weights = torch.load(trial / "submission" / "weights.pt", weights_only=True)
    assert len(weights) == 5 and all(value.device.type == "cpu" for value in weights.values())
    assert (trial / "code" / "prepare.py").read_bytes() == PREPARE.read_bytes()


def test_supervised_run_leaves_its_submission_and_no_score(run_trial: Run, tmp_path: Path) -> None:
    ended = run_trial(SUPERVISED=1)
    assert math.isnan(bpb_of(ended)) and "refereed" not in ended.text
    left = {str(path.relative_to(tmp_path / "trial")) for path in (tmp_path / "trial").rglob("*") if path.is_file()}
    assert left == {"submission/weights.pt", "submission/config.json", "progress.jsonl"}


def test_supervised_submission_scores_like_the_run_by_hand(
    finished: tuple[Path, launcher.Ended], trial: Path, run_trial: Run, run_script: Run, tmp_path: Path
) -> None:
    shutil.rmtree(trial / "submission")
    assert run_trial(SUPERVISED=1).code == 0
    assert bpb_of(run_script(PREPARE, "--score", trial, DATASET=TEXTS)) == pytest.approx(bpb_of(finished[1]), abs=1e-6)


@pytest.mark.parametrize("name", ["submission/weights.pt", "submission/config.json", "code/train.py"])
@pytest.mark.parametrize("content", [None, b"broken("])
def test_trial_that_cannot_be_rebuilt_is_named(trial: Path, name: str, content: bytes | None) -> None:
    (trial / name).unlink()
    if content:
        (trial / name).write_bytes(content)
    with pytest.raises(prepare.PrepareError, match=re.escape(f"{trial} holds nothing that can be rebuilt")):
        prepare.load_submission(trial)


def test_score_names_weights_of_another_model(trial: Path, run_script: Run) -> None:
    (trial / "submission" / "config.json").write_text('{"vocab_size": 512, "width": 8}')
    ended = run_script(PREPARE, "--score", trial, DATASET=TEXTS)
    assert ended.code == 1 and "size mismatch" in ended.text and "Traceback" not in ended.text
    *log, last = ended.text.splitlines()
    assert last.startswith("PlayerFailed: ")
    assert any(line.startswith("PrepareError: ") and str(trial) in line for line in log), "the player says why"


def test_score_takes_a_train_file_with_dataclasses(trial: Path, run_script: Run) -> None:
    code = (trial / "code" / "train.py").read_text()
    config = "from dataclasses import dataclass\n\n@dataclass\nclass Extra:\n    width: int = 1\n\n"
    docstring, rest = code.split('"""\n', 1)
    (trial / "code" / "train.py").write_text(f'{docstring}"""\nfrom __future__ import annotations\n{config}{rest}')
    assert run_script(PREPARE, "--score", trial, DATASET=TEXTS).code == 0


WRAPPED = """
import json, sys, torch, prepare
sys.path.insert(0, "{trials}")
from small import build_model
config = {{"vocab_size": 512, "width": 4}}
model = build_model(config)
if "{wrapper}" == "compile":
    model.hidden = torch.compile(model.hidden)
    wrapped = torch.compile(model)
elif "{wrapper}" == "parallel":
    wrapped = torch.nn.DataParallel(model)
elif "{wrapper}" == "no config":
    del model.config
    wrapped = model
elif "{wrapper}" == "no json":
    model.config = {{"width": torch.ones(1)}}
    wrapped = model
print(type(wrapped).__name__)
prepare.save_submission(wrapped)
folder = prepare.trial_dir() / "submission"
rebuilt = build_model(json.loads((folder / "config.json").read_text()))
rebuilt.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
print("rebuilt")
"""


@pytest.mark.parametrize("wrapper", ["compile", "parallel"])
def test_submission_of_a_wrapped_model_is_the_model(
    run_trial: Run, run_script: Run, tmp_path: Path, wrapper: str
) -> None:
    (tmp_path / "wrapped.py").write_text(WRAPPED.format(trials=ROOT / "tests" / "trials", wrapper=wrapper))
    ended = run_script(tmp_path / "wrapped.py", TRIAL_DIR=tmp_path / "trial")
    assert ended.code == 0 and ended.text.endswith("rebuilt\n"), ended.text


@pytest.mark.parametrize("wrapper", ["no config", "no json"])
def test_submission_without_a_config_is_refused_under_a_supervisor(
    run_script: Run, tmp_path: Path, wrapper: str
) -> None:
    (tmp_path / "wrapped.py").write_text(WRAPPED.format(trials=ROOT / "tests" / "trials", wrapper=wrapper))
    ended = run_script(tmp_path / "wrapped.py", TRIAL_DIR=tmp_path / "trial", SUPERVISED=1)
    assert ended.code == 1 and re.search(r"PrepareError: model\.config must be the JSON dict", ended.text)
