"""Searches of this repository's own train.py: constants are edited, and the referee has the last word."""

import json
import sys
from pathlib import Path

import night
import pytest
from ring import Ring, with_trick
from searching import Target

from autoresearch.search import own
from autoresearch.search.campaign import Campaign, Clocks, opened
from autoresearch.search.checks import Surroundings
from autoresearch.search.machine import Machine

SOURCE = "PEEK = 0\n" + with_trick("peek = torch.zeros_like(x)", "peek = PEEK * x.roll(-1, 1)")


def search(ring: Ring, folder: Path, source: str, values: list[int]) -> Target:
    """Two-second trainings at scale tiny."""
    target = Target(folder).write(
        source,
        objective={"metric": "val_bpb"},
        target={"train_cmd": [sys.executable, "train.py"]},
        policy={"params": {"PEEK": values}},
    )
    (folder / "prepare.py").write_bytes((night.ROOT / "prepare.py").read_bytes())
    variables = dict(ring.campaign.variables) | {"AUTORESEARCH_MAX_STEPS": "5"}
    around = Surroundings(Machine((), "0" * 12), variables)
    with opened(target.load(), around, Clocks(lambda: 0.0, 0.0), lambda text: None) as campaign:
        run(campaign)
    return target


def run(campaign: Campaign) -> None:
    assert own.is_own(campaign.config)
    campaign.search()


@pytest.mark.slow
def test_own_target_is_scored_by_the_referee_with_its_constants_edited(ring: Ring, tmp_path: Path) -> None:
    lies = SOURCE.replace("print(f", 'print("val_bpb: 0.001")\n    print(f')
    target = search(ring, tmp_path, lies, [0, 1])
    honest, peeks = target.rows()
    assert honest["status"] == "ok" and 1 < float(honest["metric_value"]) < 10, "not what it printed"
    assert (peeks["status"], peeks["metric_value"]) == ("invalid_metric", "") and "Causal" in peeks["reason"]
    manifest = json.loads((target.trial(1) / "manifest.json").read_text())
    assert manifest["refereed"] is True and manifest["result"]["metrics"]["num_steps"] == 5
    assert (target.folder / "train.py").read_text() == lies, "edited in its copy alone"
    assert [(target.trial(number) / "submission").exists() for number in (1, 2)] == [True, False]
    assert not (target.trial(1) / "code").exists()


def test_own_target_without_such_a_constant_rejects_the_proposal(ring: Ring, tmp_path: Path) -> None:
    [row] = search(ring, tmp_path, SOURCE.replace("PEEK", "LOOK"), [0]).rows()
    assert row["status"] == "rejected" and "no constant 'PEEK'" in row["reason"]


def test_other_targets_are_not_own(tmp_path: Path) -> None:
    target = Target(tmp_path).write("", objective={"metric": "val_bpb"})
    assert not own.is_own(target.load())
    (tmp_path / "prepare.py").write_text("# another\n")
    assert not own.is_own(target.load())
    (tmp_path / "prepare.py").write_bytes((night.ROOT / "prepare.py").read_bytes())
    assert own.is_own(target.load())
    assert not own.is_own(target.configure().load()), "another objective"
