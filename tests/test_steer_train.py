"""Rounds of this repository's own train.py: where plain cosine diverges, the guarded round ends well and is scored."""

import json
from pathlib import Path

import pytest
from conftest import ROOT

from autoresearch.steer import campaign, guard, logs, state
from autoresearch.steer.config import Config
from autoresearch.steer.controllers import Nobody
from autoresearch.steer.rows import ROLLBACKS, Rollback

STEPS = 80
SETTINGS = {
    **{"tag": "t", "rounds": 1, "total_steps": STEPS, "k": 10, "warmup_steps": 0, "lr_init": 80.0, "peaks": [80.0]},
    **{"plan": {"shape": "cosine", "decay": 1.0, "final": 0.1}, "controller": "none", "workdir": ROOT},
}


@pytest.mark.slow
def test_round_ends_well_where_plain_cosine_diverges(environment: dict[str, str], cache: Path, tmp_path: Path) -> None:
    config = Config.model_validate(SETTINGS)
    variables = {name: value for name, value in environment.items() if value}
    told: list[str] = []
    with campaign.opened(config, variables, tmp_path, told.append) as found:
        (plain,) = found.baselines(["cosine10"], is_guarded=False)
        (guarded,) = found.steer(Nobody(), campaign.always(config))
    assert (plain.status, plain.result) == ("diverged", None), told
    assert guarded.status == "ok" and guarded.num_rollbacks >= 1, told
    assert guarded.result and 1 < guarded.result < 4, "the referee's bits per byte"
    assert guarded.steps <= STEPS and guarded.schedule_report["exhausted"] == "False"
    assert guarded.undone[0][1] == pytest.approx(80, rel=0.01), "cosine as it was planned"
    assert max(lr for _, lr in guarded.lr) <= 80 / 2 and guarded.lr[-1][1] < 8 / 2, "cosine itself ends at 8"
    rows = [one for one in logs.read(tmp_path / "t" / ROLLBACKS, Rollback) if one.to_branch]
    assert len(rows) == guarded.num_rollbacks
    for row in rows:
        assert row.lr_planned and row.lr_planned <= 80 / 2 and row.lr_applied == pytest.approx(row.lr_planned)
    trial = tmp_path / "t" / "rounds" / "0001"
    reports = [json.loads(line)["metrics"] for line in (trial / "progress.jsonl").read_text().splitlines()]
    norms = [metrics["grad_norm"] for metrics in reports if metrics]
    assert len(norms) > STEPS / 2 and all(norm is None or norm > 0 for norm in norms)
    seen = state.load(trial)
    assert seen and seen.vitals.gradient[0] > guard.GRADIENT_LEAST, "enough for the early warning"
    assert not list((tmp_path / "t" / "rounds").glob("*/checkpoints")), "what is large is cleared away"
