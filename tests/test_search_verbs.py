"""The verbs of the search as commands: what they print, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from searching import FIND_PARAMS, ROOT, VARIABLES, Target

from autoresearch.search.proposal import Proposal

LOSS_IS_X = FIND_PARAMS + "print(f\"loss: {params.get('x', 9)}\")\n"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path).write(LOSS_IS_X)


def test_run_one_records_a_trial_like_the_others(target: Target) -> None:
    ended = target.run("--params", '{"x": 2}', verb="run-one")
    assert ended.code == 0, ended.err
    assert (ended.facts()["stop_reason"], ended.facts()["best"]["source"]) == ("one_trial", "by_hand")
    assert target.run().facts()["stop_reason"] == "exhausted"
    assert target.params() == [{"x": 2}, {"x": 1}, {"x": 2}, {"x": 3}], "the grid is its own"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--params JSON, --diff FILE"),
        (("--params", "{"), "must be JSON"),
        (("--params", "[1]"), "JSON object"),
        (("--params", '{"x": [1]}'), "JSON object"),
        (("--params", '{"x": NaN}'), "finite numbers"),
        (("--params", '{"x": 1e999}'), "finite numbers"),
        (("--params", "[" * 9000), "must be JSON"),
        (("--params", '{"x": 7}'), "x must be one of 1, 2, 3"),
        (("--diff", "none.patch"), "none.patch"),
        (("--diff", "latin.patch"), "must be in UTF-8"),
        (("--params", '{"X": 1}'), "X is no parameter; known: x"),
    ],
)
def test_run_one_refuses_in_words(target: Target, words: tuple[str, ...], said: str) -> None:
    (target.folder / "latin.patch").write_bytes(b"+caf\xe9")
    ended = target.run(*words, verb="run-one")
    assert ended.code == 2 and said in ended.err
    assert not target.trial(1).exists()


def test_validate_refuses_what_was_begun_otherwise_as_run_does(target: Target) -> None:
    assert target.run(verb="validate").code == 0 and not target.load().store_path.exists()
    target.run()
    assert target.run(verb="validate").code == 0
    target.configure(policy={"seed": 9})
    for verb in ("validate", "run"):
        ended = target.run(verb=verb)
        assert ended.code == 2 and "policy.seed must stay" in ended.err


def test_run_one_measures_the_untouched_target_first_where_the_policy_does(target: Target) -> None:
    target.configure(policy={"type": "random"})
    with target.opened() as campaign:
        campaign.try_one(Proposal(params={"x": 2}, source="by_hand"))
    assert target.params() == [{}, {"x": 2}]


def test_export_config_prints_what_reads_back(target: Target) -> None:
    ended = target.run(verb="export-config")
    assert ended.code == 0, ended.err
    found = yaml.safe_load(ended.out)
    assert found["policy"]["params"] == {"x": [1, 2, 3]} and found["target"]["workdir"] == str(target.folder)
    whole = Target(target.folder / "other")
    whole.folder.mkdir()
    whole.file.write_text(ended.out)
    assert whole.load() == target.load()


def test_export_config_without_a_file_names_every_key() -> None:
    command = [sys.executable, "-m", "autoresearch", "export-config"]
    done = subprocess.run(command, cwd=ROOT, env=VARIABLES, capture_output=True, text=True, check=True)
    found = yaml.safe_load(done.stdout)
    assert found["controller"]["intra_iteration_cancel"]["rule"] == "forecast"
    assert set(found) == {
        *("name", "program_path", "objective", "target", "policy", "controller", "telemetry", "comparability")
    }  # fmt: skip


def test_status_of_a_search_that_never_began_is_refused(target: Target) -> None:
    ended = target.run(verb="status")
    assert ended.code == 1 and "begin with `uv run" in ended.err


def test_status_lists_the_last_trials(target: Target) -> None:
    target.run()
    facts = target.run("--last", "2", verb="status").facts()
    assert [one["trial"] for one in facts["last"]] == [2, 3]
    assert (facts["trials"], facts["best"]["metric"], facts["in_flight"]) == (3, 1.0, [])
    assert json.loads((target.folder / "artifacts" / "checkpoint.json").read_text())["best"] == facts["best"]


def test_search_needs_none_of_the_training_packages_and_optuna_only_where_it_samples(target: Target) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom searching import Target\n"
        f"with Target(Path({str(target.folder)!r})).opened() as campaign: campaign.search()\n"
        "print(sorted({'torch', 'numpy', 'optuna', 'scipy', 'openai', 'ray'} & set(sys.modules)))"
    )
    env = VARIABLES | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_models_of_kept_trials_are_named_by_version_and_others_removed(target: Target) -> None:
    script = LOSS_IS_X + 'open(os.environ["AR_MODEL_DIR"] + "/weights", "w").write(str(params["x"]))\n'
    policy = {"params": {"x": [2, 3, 1]}}
    target.write(script, policy=policy)
    target.configure(policy=policy, telemetry={"model_output_dir": "models"})
    with target.opened() as campaign:
        campaign.search()
    assert {path.name: (path / "weights").read_text() for path in (target.folder / "models").iterdir()} == {
        "v0001": "2",
        "v0002": "1",
    }
    version = json.loads((target.folder / "artifacts" / "versions" / "v0002" / "version.json").read_text())
    assert version["model_dir"] == str(target.folder / "models" / "v0002") and version["params"] == {"x": 1}


def test_results_table_has_the_columns_of_the_field(target: Target) -> None:
    target.configure(
        policy={"params": {"x": [1, 'a\tb "c"\n']}}, target={"train_cmd": ["sh", "-c", 'echo "loss: $AR_PARAM_X"']}
    )
    with target.opened() as campaign:
        campaign.search()
    lines = (target.folder / "artifacts" / "results.tsv").read_text().splitlines()
    names = "commit metric_name metric_value status decision description params budget_s comparable reason"
    assert lines[0].split("\t") == names.split()
    assert [len(line.split("\t")) for line in lines] == [10, 10, 10]
    assert lines[2].split("\t")[2:5] == ["", "invalid_metric", "discard"]


def test_scores_of_another_machine_are_marked_and_not_kept_when_strict(target: Target) -> None:
    target.configure(comparability={"expected_hardware_fingerprint": "abc"})
    with target.opened() as campaign:
        campaign.search()
    assert {(row["comparable"], row["decision"]) for row in target.rows()} == {("false", "keep"), ("false", "discard")}
    strict = Target(target.folder / "strict").write(
        LOSS_IS_X, comparability={"expected_hardware_fingerprint": "abc", "strict": True}
    )
    with strict.opened() as campaign:
        campaign.search()
    assert {row["decision"] for row in strict.rows()} == {"discard"} and "not abc" in strict.rows()[0]["reason"]
