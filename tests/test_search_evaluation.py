"""A number of the evaluation is the evaluation's: neither training nor a diff can put another in its place."""

import sys
from pathlib import Path

import pytest
from searching import Target

EVALUATE = {"eval_cmd": [sys.executable, "-S", "evaluate.py"]}
ONE = {"params": {"x": [1]}}
SAY = 'print("loss: 0.001")\n'
WRITE = 'import os\nopen(os.environ["AR_METRIC_FILE"], "w").write(\'{"loss": 0.001}\')\n'
REPORT = (
    "from autoresearch_rl.target.progress import emit_progress\n"
    "emit_progress(step=1, step_target=1, metrics={'loss': 0.001, 'lr': 2})\n"
)


@pytest.mark.parametrize("claim", [SAY, "print('AR_METRIC {\"loss\": 0.001}')\n", WRITE, REPORT])
@pytest.mark.parametrize(("found", "value"), [("loss: 7", "7.0"), ("done", "")])
def test_number_of_training_never_counts_beside_an_evaluation(
    tmp_path: Path, claim: str, found: str, value: str
) -> None:
    (tmp_path / "evaluate.py").write_text(f"print({found!r})\n")
    target = Target(tmp_path).write(claim, target=EVALUATE, policy=ONE)
    with target.opened() as campaign:
        campaign.search()
        [result] = campaign.journal.results()
    assert [row["metric_value"] for row in target.rows()] == [value]
    assert result.metrics.get("lr") == (2.0 if claim == REPORT else None), "what else training says is still known"


def test_evaluation_may_write_the_file(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_text(WRITE)
    target = Target(tmp_path).write('print("loss: 7")\n', target=EVALUATE, policy=ONE)
    with target.opened() as campaign:
        campaign.search()
    assert target.rows()[0]["metric_value"] == "0.001"
