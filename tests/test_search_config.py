"""Configurations: those of others run as they are, mistakes are all named at once and near names suggested."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import Target

from autoresearch.errors import BadConfig
from autoresearch.search import configfile
from autoresearch.search.config import Config

DOCUMENT = """
target:
  prepare_cmd: ["python3", "prepare.py"]   # frozen: runs once, produces data
  train_cmd: ["python3", "train.py"]       # mutable: runs each iteration
  type: basilica                           # or: command, http
policy:
  type: hybrid
  params:
    learning_rate: [3e-6, 5e-6, 1e-5]
  mutable_file: train.py
  frozen_file: prepare.py
  program_file: program.md
  llm_api_url: "https://llm.chutes.ai/v1"
  llm_model: "deepseek-ai/DeepSeek-V3-0324"
  llm_api_key_env: "CHUTES_API_KEY"
  stall_threshold: 4
objective:
  metric: eval_score
  direction: max
controller:
  checkpoint_path: artifacts/checkpoint.json
  no_improve_limit: 10
  intra_iteration_cancel:
    enabled: false
    min_steps: 5
    poll_interval_s: 5.0
    min_reports_before_decide: 5
  parallel:
    enabled: false
    max_concurrency: 4
    resources: {gpu: 4}
    submit_poll_interval_s: 0.5
scoring: {val_bpb: 1.0}
telemetry:
  trace_path: traces/events.jsonl
  ledger_path: artifacts/results.tsv
  artifacts_dir: artifacts/runs
  versions_dir: artifacts/versions
  timeline_path: traces/timeline.json
  max_rotated_files: 5
"""


def load(folder: Path, text: str, cwd: Path | None = None) -> tuple[Config, list[str]]:
    said: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text)
    return configfile.load(folder / "config.yaml", cwd or folder, said.append), said


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(BadConfig) as raised:
        load(folder, text)
    return str(raised.value)


def test_config_of_the_document_is_read_key_by_key(tmp_path: Path) -> None:
    config, said = load(tmp_path, DOCUMENT)
    assert dict(config.policy.params.items()) == {"learning_rate": (3e-6, 5e-6, 1e-5)}
    assert config.policy.hybrid_stall_threshold == 4
    assert config.policy.mutable_file == tmp_path / "train.py"
    assert config.objective.direction == "max"
    assert config.controller.max_concurrency == 1, "parallel is off"
    assert config.telemetry.timeline_path == tmp_path / "traces" / "timeline.json"
    assert len(said) == 1 and "submit_poll_interval_s" in said[0] and "scoring" in said[0]


def test_config_of_an_old_file_may_leave_null_what_it_does_not_set(tmp_path: Path) -> None:
    text = DOCUMENT.replace("  checkpoint_path: artifacts/checkpoint.json\n", "  checkpoint_path: null\n  seed: null\n")
    config, _ = load(tmp_path, text.replace("  type: basilica ", "  headers: null\n  url: null\n  type: basilica "))
    assert config.controller.checkpoint_path == tmp_path / "artifacts" / "checkpoint.json"
    assert config.target.headers == {}


def test_config_export_reads_back_the_same(tmp_path: Path) -> None:
    config, _ = load(tmp_path, DOCUMENT)
    again, said = load(tmp_path, yaml.safe_dump(config.model_dump(mode="json")))
    assert again == config
    assert "submit_poll_interval_s" in said[0]


SMALL = "target: {train_cmd: [python3, train.py]}\npolicy: {type: grid, params: {x: [1]}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objctive: {metric: x}\n" + SMALL, ["objctive is unknown", "did you mean objective?"]),
        (SMALL + "controller: {max_iteration: 3}\n", ["controller.max_iteration", "did you mean max_iterations?"]),
        (SMALL + "controller: {timeout_s: 3}\n", ["controller.timeout_s", "target.timeout_s"]),
        (SMALL + "objective: {direction: up}\n", ["objective.direction", "'min' or 'max'", "'up'"]),
        (SMALL + "objective: {metric: ''}\n", ["objective.metric"]),
        (SMALL + "controller: {max_iterations: 0}\n", ["controller.max_iterations", "0"]),
        (SMALL + "controller: {max_wall_time_s: -1}\n", ["controller.max_wall_time_s", "-1"]),
        (SMALL + "controller: {max_wall_time_s: .nan}\n", ["controller.max_wall_time_s", "finite"]),
        (SMALL + "controller: {failure_rate_limit: 1.5}\n", ["controller.failure_rate_limit"]),
        (SMALL + "name: ../x\n", ["name", "../x"]),
        ("target: {}\npolicy: {type: grid, params: {x: [1]}}\n", ["target.train_cmd"]),
        ("target: {train_cmd: []}\npolicy: {type: grid, params: {x: [1]}}\n", ["target.train_cmd"]),
        ("target: {type: http}\npolicy: {type: grid, params: {x: [1]}}\n", ["target.url"]),
        ("target: {train_cmd: x}\npolicy: {type: gird}\n", ["policy.type", "'gird'"]),
        ("target: {train_cmd: x}\npolicy: {type: grid}\n", ["params"]),
        ("target: {train_cmd: x}\npolicy: {type: llm, params: {x: [1]}}\n", ["llm_api_url", "llm_model"]),
        (
            "target: {train_cmd: x}\npolicy: {type: llm_diff, llm_api_url: u, llm_model: m}\n",
            ["mutable_file"],
        ),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {x: []}}\n", ["at least one choice"]),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {x: [[1]]}}\n", ["finite numbers"]),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {x: [.nan]}}\n", ["finite numbers"]),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {x: {low: 0, high: 1.0}}}\n", ["grid", "x has no end"]),
        ("target: {train_cmd: x}\npolicy: {type: tpe, params: {x: {low: 2, high: 1}}}\n", ["below high"]),
        ("target: {train_cmd: x}\npolicy: {type: tpe, params: {x: {low: 0, high: 1, log: true}}}\n", ["above 0"]),
        (
            "target: {train_cmd: x}\npolicy: {type: tpe, params: {x: {lo: 0, high: 1}}}\n",
            ["x must be", "lo Extra"],
        ),
        ("target: {train_cmd: x}\npolicy: {type: tpe, params: {x: {low: 1, high: 9, step: 0}}}\n", ["step"]),
        ("target: {train_cmd: x}\npolicy: {type: tpe, params: [1]}\n", ["must map names"]),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {a=b: [1]}}\n", ["policy.params", "'a=b'"]),
        ("target: {train_cmd: x}\npolicy: {type: grid, params: {'': [1]}}\n", ["policy.params", "empty"]),
        (SMALL + "telemetry: 3\n", ["telemetry"]),
        ("- a\n- b\n", ["must hold keys and values"]),
        ("", ["must hold keys and values"]),
        ("a: [\n", ["must be YAML"]),
        ("a: 1\na: 2\n", ["stands twice"]),
        ("? [a, b]\n: 1\n", ["must be YAML"]),
        ("1: 2\n" + SMALL, ["1"]),
        ("a: !!python/object/apply:os.system ['true']\n", ["must be YAML"]),
        ("\x00", ["must be YAML"]),
    ],
)
def test_config_mistake_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    found = refusal(tmp_path, text)
    for word in words:
        assert word in found, found


def test_config_mistakes_are_all_named_at_once(tmp_path: Path) -> None:
    found = refusal(tmp_path, SMALL + "objective: {metrc: a, direction: up}\ncontroller: {max_iterations: x}\n")
    assert "objective.metrc" in found and "objective.direction" in found and "controller.max_iterations" in found


def test_config_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="readable"):
        configfile.load(tmp_path / "none.yaml", tmp_path, print)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("3e-6", 3e-6), ("1E5", 1e5), ("-2.5e+3", -2500.0), (".5", 0.5), ("1.", 1.0), ("7", 7), ("1e5x", "1e5x")),
        *(("0x10", 16), ("1_000", 1000), ("yes", True), ("1.0.0", "1.0.0"), ("'3e-6'", "3e-6"), ("-", "-")),
    ],
)
def test_config_reads_numbers_as_people_write_them(word: str, value: Any) -> None:
    found = yaml.load(f"a: [{word}]" if word != "-" else "a: ['-']", configfile.Loader)  # a SafeLoader
    assert found == {"a": [value]} and type(found["a"][0]) is type(value)


def test_config_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "train.py").touch()
    config, said = load(tmp_path / "here", SMALL, cwd=tmp_path)
    assert config.target.workdir == tmp_path / "here"
    assert config.telemetry.artifacts_dir == tmp_path / "here" / "artifacts" / "runs"
    assert not said


def test_config_paths_of_the_current_folder_are_used_and_said(tmp_path: Path) -> None:
    example = tmp_path / "examples" / "small"
    example.mkdir(parents=True)
    (example / "train.py").touch()
    text = SMALL.replace("target: {", "target: {workdir: examples/small, ")
    text += "telemetry: {ledger_path: examples/small/artifacts/results.tsv}\n"
    config, said = load(example, text, cwd=tmp_path)
    assert config.target.workdir == example
    assert config.telemetry.ledger_path == example / "artifacts" / "results.tsv"
    assert len(said) == 1 and "examples/small" in said[0]


def test_config_workdir_is_where_the_script_is(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    config, said = load(tmp_path / "configs", SMALL, cwd=tmp_path)
    assert config.target.workdir == tmp_path
    assert said


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=12,
    )
)
def test_config_of_anything_is_refused_in_words(value: Any) -> None:
    for key in ("policy", "target", "controller", "telemetry", "objective", "name"):
        raw = {**yaml.safe_load(SMALL), key: value}
        try:
            configfile.parse(raw, Path("/a"), Path("/a"), lambda text: None, "x")
        except BadConfig:
            continue


def test_outputs_that_are_not_named_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "runs").mkdir(parents=True)
    found = []
    for name in ("a", "b"):
        target = Target(tmp_path / name).write("")
        found.append(configfile.load(target.file, tmp_path, lambda text: None))
    assert [one.telemetry.artifacts_dir for one in found] == [tmp_path / name / "artifacts/runs" for name in "ab"]


@pytest.mark.parametrize("amount", [-1, float("inf"), float("nan")])
def test_amounts_of_resources_are_numbers_from_0(tmp_path: Path, amount: float) -> None:
    for sections in (
        {"target": {"resources": {"gpu": amount}}},
        {"controller": {"parallel": {"resources": {"gpu": amount}}}},
    ):
        with pytest.raises(BadConfig, match="resources"):
            Target(tmp_path).write("", **sections).load()
