"""What must hold before a trial starts: each problem is found, all are listed at once, `run` and `validate` agree."""

from pathlib import Path
from typing import Any

import pytest
from searching import VARIABLES, Target

from autoresearch.search import checks
from autoresearch.search.checks import Problem, Surroundings
from autoresearch.search.machine import Machine

LLM = {"type": "llm", "llm_api_url": "http://x", "llm_model": "m", "llm_api_key_env": "THE_KEY"}
PARALLEL = {"parallel": {"enabled": True}}
CANCEL = {"intra_iteration_cancel": {"enabled": True}}
DIFF = LLM | {"type": "llm_diff", "mutable_file": "train.py"}


def problems(target: Target, devices: tuple[str, ...] = (), **variables: str) -> list[Problem]:
    return checks.run(target.load(), Surroundings(Machine(devices, "f" * 12), VARIABLES | variables))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path).write("print('loss: 1')\n")


def test_checks_find_nothing_in_a_good_configuration(target: Target) -> None:
    assert problems(target) == []


@pytest.mark.parametrize(
    ("sections", "place", "words"),
    [
        ({"policy": {"params": {"lr": [1], "LR": [2]}}}, "policy.params", "AR_PARAM_LR"),
        ({"policy": {"params": {"AR_X": [1]}}}, "policy.params.AR_X", "must not begin"),
        ({"target": {"env_passthrough": ["AR_SEED"]}}, "target.env_passthrough", "AR_SEED"),
        ({"target": {"train_cmd": ["nosuchprogram"]}}, "target.train_cmd", "nosuchprogram"),
        ({"target": {"train_cmd": ["python3", "gone.py"]}}, "target.train_cmd", "gone.py"),
        ({"target": {"prepare_cmd": ["python3", "gone.py"]}}, "target.prepare_cmd", "gone.py"),
        ({"target": {"workdir": "nowhere"}}, "target.workdir", "nowhere"),
        ({"program_path": "gone.md"}, "program_path", "gone.md"),
        ({"policy": LLM}, "policy.llm_api_key_env", "THE_KEY"),
        ({"policy": LLM | {"mutable_file": "gone.py"}}, "policy.mutable_file", "gone.py"),
        ({"policy": DIFF | {"frozen_file": "train.py"}}, "policy.frozen_file", "mutable"),
        ({"policy": DIFF}, "target.workdir", "git init"),
        ({"telemetry": {"ledger_path": "."}}, "telemetry.ledger_path", "folder"),
        ({"telemetry": {"artifacts_dir": "train.py/runs"}}, "telemetry.artifacts_dir", "is a file"),
        (
            {"target": {"resources": {"tpu": 1}}, "controller": PARALLEL},
            "target.resources",
            "tpu",
        ),
        ({"target": {"resources": {"gpu": 9}}, "controller": PARALLEL}, "target.resources", "9"),
        (
            {"controller": CANCEL},
            "controller.intra_iteration_cancel",
            "must call",
        ),
        ({"target": {"type": "basilica"}}, "target.type", "BASILICA_API_TOKEN"),
        ({"target": {"type": "basilica"}}, "target.type", "basilica-sdk"),
        ({"target": {"type": "http", "url": "http://h", "headers": {"X": "$A_KEY"}}}, "target.headers", "A_KEY"),
        ({"target": {"type": "http", "url": "http://h"}, "policy": DIFF}, "policy.type", "cannot be sent"),
        ({"target": {"type": "basilica", "basilica": {"gpu_models": []}}}, "target.basilica.gpu_models", "at least"),
        (
            {"comparability": {"expected_hardware_fingerprint": "abc", "strict": True}},
            "comparability.expected_hardware_fingerprint",
            "f" * 12,
        ),
        (
            {"comparability": {"expected_budget_s": 99, "strict": True}, "controller": {"max_wall_time_s": 9}},
            "comparability.expected_budget_s",
            "99 s",
        ),
    ],
)
def test_checks_find_and_block(target: Target, sections: dict[str, Any], place: str, words: str) -> None:
    found = problems(target.configure(**sections))
    matching = [one for one in found if one.place == place and words in one.text]
    assert matching and matching[0].is_blocking, found


def test_checks_want_no_key_where_none_is_named(target: Target) -> None:
    assert problems(target.configure(policy=LLM | {"llm_api_key_env": ""})) == []


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"comparability": {"expected_budget_s": 9999}}, "comparability.expected_budget_s"),
        ({"comparability": {"expected_hardware_fingerprint": "a"}}, "comparability.expected_hardware_fingerprint"),
        ({"controller": PARALLEL}, "controller.parallel.resources"),
    ],
)
def test_checks_note_what_does_not_block(target: Target, sections: dict[str, Any], place: str) -> None:
    assert [(one.place, one.is_blocking) for one in problems(target.configure(**sections))] == [(place, False)]


def test_checks_block_more_gpus_than_there_are(target: Target) -> None:
    target.configure(controller={"parallel": {"enabled": True, "resources": {"gpu": 4}}})
    assert [one.is_blocking for one in problems(target, devices=("0", "1"))] == [True]
    assert problems(target, devices=("0", "1", "2", "3")) == []
    target.configure(controller=PARALLEL, target={"resources": {"gpu": 2}})
    assert "the pool has 1" in problems(target, devices=("0",))[0].text
    target.configure(controller=PARALLEL)
    assert [one.is_blocking for one in problems(target, devices=("0", "1"))] == [False], "nobody asked for four"


def test_checks_take_emit_progress_by_any_name_of_its_module(target: Target) -> None:
    target.write("import prepare\nprepare.emit_progress(step=1)\n")
    target.configure(controller=CANCEL)
    assert problems(target) == []


def test_checks_find_files_that_git_tracks(target: Target) -> None:
    (target.folder / "artifacts").mkdir()
    (target.folder / "artifacts" / "results.tsv").write_text("of a paper\n")
    target.commit()
    target.git("add", "-f", "artifacts/results.tsv")
    target.git("commit", "-qm", "results")
    assert [one.place for one in problems(target)] == ["telemetry.ledger_path"]


def test_checks_find_a_mutable_file_with_edits(target: Target) -> None:
    target.configure(policy=DIFF).commit()
    assert problems(target, THE_KEY="k") == []
    (target.folder / "train.py").write_text("print(2)\n")
    assert [one.place for one in problems(target, THE_KEY="k")] == ["policy.mutable_file"]


def test_checks_find_a_folder_that_cannot_be_written(target: Target) -> None:
    target.configure(telemetry={"artifacts_dir": "/proc/runs"})  # there not even root can
    assert [(one.place, "must be writable but /proc" in one.text) for one in problems(target)] == [
        ("telemetry.artifacts_dir", True)
    ]


def test_run_and_validate_list_the_same_and_start_nothing(target: Target) -> None:
    target.configure(policy=LLM, target={"train_cmd": ["python3", "gone.py"]}, program_path="gone.md")
    ended = [target.run(verb=verb) for verb in ("run", "validate")]
    assert [one.code for one in ended] == [2, 2]
    lists = [[line for line in one.err.splitlines() if line.startswith("error: ")] for one in ended]
    assert lists[0] == lists[1] and len(lists[0]) == 3
    assert not (target.folder / "artifacts").exists()


def test_validate_prints_what_was_understood(target: Target) -> None:
    ended = target.run(verb="validate")
    assert ended.code == 0, ended.err
    facts = ended.facts()
    assert (facts["cells"], facts["max_concurrency"], len(facts["hardware_fingerprint"])) == (3, 1, 12)
