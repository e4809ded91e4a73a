"""Who may write where, and whether a trial can ever find room."""

import shutil
from pathlib import Path

import pytest
from searching import FIND_PARAMS, Target

from autoresearch.errors import BadConfig, Busy

LOSS_IS_X = FIND_PARAMS + "print(f\"loss: {params['x']}\")\n"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path).write(LOSS_IS_X)


@pytest.mark.parametrize(
    "own", [{"artifacts_dir": "other/runs"}, {"artifacts_dir": "other/runs", "ledger_path": "other/results.tsv"}]
)
def test_second_campaign_that_shares_any_output_is_refused_while_the_first_runs(
    target: Target, own: dict[str, str]
) -> None:
    with target.opened() as campaign:
        target.configure(telemetry=own)
        with pytest.raises(Busy, match="telemetry"), target.opened():
            pass
        campaign.search()
    assert len(target.rows()) == 3 and not list(target.folder.glob("artifacts/old-*"))
    apart = own | {"ledger_path": "o/r.tsv", "trace_path": "o/e", "timeline_path": "o/t", "versions_dir": "o/v"}
    target.configure(telemetry=apart, controller={"checkpoint_path": "o/c.json"})
    with target.opened() as campaign:
        assert campaign.search().reason == "exhausted"


def test_campaign_begun_for_another_folder_is_refused(target: Target) -> None:
    with target.opened() as campaign:
        campaign.search()
    shutil.copytree(target.folder / "artifacts", target.folder / "b" / "artifacts")
    other = Target(target.folder / "b").write(LOSS_IS_X)
    with pytest.raises(BadConfig, match=r"target\.workdir must stay"), other.opened():
        pass


@pytest.mark.parametrize("devices", [["0"], []])
def test_shares_of_a_device_find_room(target: Target, devices: list[str]) -> None:
    parallel = {"parallel": {"enabled": True, "resources": {"gpu": 0.5}}}
    target.configure(target={"resources": {"gpu": 0.5}}, controller=parallel)
    with target.opened(devices) as campaign:
        assert campaign.engine.trials.pool.room({"gpu": 0.5}) == 1
        assert campaign.search().reason == "exhausted"


def test_campaign_in_which_no_trial_ever_finds_room_is_refused(target: Target) -> None:
    parallel = {"parallel": {"enabled": True, "resources": {"gpu": 1}}}
    target.configure(target={"resources": {"gpu": 2}}, controller=parallel)
    with pytest.raises(BadConfig, match="a trial takes"), target.opened():
        pass
