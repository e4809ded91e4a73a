"""The code of a campaign: a record names what ran, and says where that changed."""

import json
import sys
from pathlib import Path

import pytest
from searching import FIND_PARAMS, Target

from autoresearch.errors import BadConfig
from autoresearch.search.proposal import Proposal

DIFF = {"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"}
SCRIPT = FIND_PARAMS + 'print("loss:", params.get("x", 9))\n'


def search(target: Target) -> None:
    with target.opened() as campaign:
        campaign.search()


def patch(path: str, old: str, new: str) -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def test_commit_of_a_trial_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    edit = 'open("helper.py", "a").write("# more\\n")\n'
    (tmp_path / "helper.py").write_text("")
    target = Target(tmp_path).write(
        SCRIPT + f"if params.get('x') == 2:\n    {edit}", policy={"params": {"x": [1, 2, 3]}}
    )
    first = target.commit()
    search(target)
    assert [row["commit"] for row in target.rows()] == [first[:7], first[:7], f"{first[:7]}-dirty"]
    version = json.loads((tmp_path / "artifacts" / "versions" / "v0001" / "version.json").read_text())
    assert version["commit"] == first


def test_code_that_changed_between_two_runs_is_said(tmp_path: Path) -> None:
    limits = [{"max_iterations": number} for number in (1, 2, 3)]
    target = Target(tmp_path).write(SCRIPT, controller=limits[0])
    first = target.commit()
    search(target)
    assert not target.events("notice")
    target.configure(controller=limits[1])
    target.git("commit", "-qam", "more trials")
    (tmp_path / "train.py").write_text(SCRIPT + "# edited\n")
    search(target)
    assert ["not what they were" in one["text"] for one in target.events("notice")] == [True]
    assert target.rows()[1]["commit"].endswith("-dirty") and target.rows()[0]["commit"] == first[:7]
    search(target)
    assert len(target.events("notice")) == 1, "said once"


def test_seed_of_the_trials_must_stay(tmp_path: Path) -> None:
    target = Target(tmp_path).write(SCRIPT)
    search(target)
    target.configure(controller={"seed": 1})
    with pytest.raises(BadConfig, match=r"controller\.seed must stay 7 but is 1"), target.opened():
        pass
    target.configure(controller={"seed": 7})
    with target.opened() as campaign, campaign.store.transaction():
        noted = campaign.store.fact("identity")
        del noted["controller.seed"]
        campaign.store.set_fact("identity", noted)
    with target.opened():
        pass  # begun before that was noted


def test_checks_want_the_frozen_file_committed_and_name_other_edits(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    target = Target(tmp_path).write(SCRIPT, policy=DIFF | {"frozen_file": "prepare.py"})
    target.commit()
    (tmp_path / "prepare.py").write_text("")
    (tmp_path / "helper.py").write_text("x = 1\n")
    ended = target.run(verb="validate", OPENAI_API_KEY="k")
    assert ended.code == 2 and "error: policy.frozen_file: prepare.py must be committed" in ended.err
    assert "note: target.workdir: helper.py differ from the commit" in ended.err
    target.git("add", "prepare.py")
    target.git("commit", "-qm", "frozen")
    (tmp_path / "prepare.py").write_text("x = 1\n")
    assert "prepare.py must be as it was committed" in target.run(verb="validate", OPENAI_API_KEY="k").err


def test_diff_by_hand_must_leave_the_evaluation_alone_unless_it_is_the_mutable_file(tmp_path: Path) -> None:
    (tmp_path / "ev.py").write_text('print("loss: 5")\n')
    evaluation = {"eval_cmd": [sys.executable, "-S", "ev.py"]}
    proposal = Proposal(diff=patch("ev.py", 'print("loss: 5")', 'print("loss: 0")'), source="by_hand")
    for mutable, status in ((None, "rejected"), ("ev.py", "ok")):
        target = Target(tmp_path).write(SCRIPT, target=evaluation, policy={"mutable_file": mutable})
        if mutable:
            paths = {"artifacts_dir": "other/runs"}
            target.configure(name="other", target=evaluation, policy={"mutable_file": mutable}, telemetry=paths)
        else:
            target.commit()
        with target.opened() as campaign:
            campaign.try_one(proposal)
            result = campaign.journal.results()[-1]
        assert result.status == status and ("ev.py must stay" in result.reason) == (mutable is None)


def test_file_of_a_diff_must_not_outgrow_what_a_model_reads(tmp_path: Path) -> None:
    target = Target(tmp_path).write("x = 1\n", policy=DIFF)
    target.commit()
    with target.opened() as campaign:
        assert campaign.code
        large = patch("train.py", "x = 1", "x = '" + "y" * (1 << 18) + "'")
        assert "at most 262,144 characters" in campaign.code.check(campaign.code.tip, large)


def test_models_of_trials_that_were_not_kept_are_taken_away(tmp_path: Path) -> None:
    script = SCRIPT + 'open(os.environ["AR_MODEL_DIR"] + "/weights", "w").write("w")\n'
    target = Target(tmp_path).write(script, policy={"params": {"x": [2, 3, 1]}})
    search(target)
    assert [(target.trial(number) / "model").exists() for number in (1, 2, 3)] == [True, False, True]


def test_trial_that_was_recorded_but_not_cleared_is_cleared_by_the_next_run(tmp_path: Path) -> None:
    """As if the kill had come right after the record."""
    script = SCRIPT + 'open(os.environ["AR_MODEL_DIR"] + "/weights", "w").write("w")\n'
    target = Target(tmp_path).write(script, policy={"params": {"x": [1]}}, telemetry={"model_output_dir": "models"})
    target.commit()
    search(target)
    version = json.loads((tmp_path / "artifacts" / "versions" / "v0001" / "version.json").read_text())
    assert version["model_dir"] == str(tmp_path / "models" / "v0001")
    (tmp_path / "models" / "v0001").rename(tmp_path / "models" / "run-0001")
    (target.trial(1) / "code").mkdir()
    (target.trial(1) / "manifest.json").write_text('{"state": "running"}')
    search(target)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["v0001"]
    assert not (target.trial(1) / "code").exists()
    assert json.loads((target.trial(1) / "manifest.json").read_text())["state"] == "over"
