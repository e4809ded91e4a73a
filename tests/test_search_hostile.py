"""Trials that spoil their own files, and parameters that no process can be given: recorded, and the search goes on."""

import json
from pathlib import Path

import pytest
from searching import Target

from autoresearch.search.guards import Stop


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def search(target: Target) -> Stop:
    with target.opened() as campaign:
        return campaign.search()


HOSTILE = {
    "own folder gone": ("shutil.rmtree(own)", "invalid_metric"),
    "all folders gone": ("shutil.rmtree(os.path.dirname(own))", "invalid_metric"),
    "pipes for files": ("for name in ('progress.jsonl', 'metric.json'): os.mkfifo(f'{own}/{name}')", "ok"),
    "folders for files": ("for name in ('progress.jsonl', 'control.json'): os.mkdir(f'{own}/{name}')", "ok"),
    "folder for its manifest": ("os.remove(f'{own}/manifest.json'); os.mkdir(f'{own}/manifest.json')", "ok"),
    "link for its log": ("os.remove(f'{own}/run.log'); os.symlink('/etc/passwd', f'{own}/run.log')", "invalid_metric"),
    "link for its metric": ("os.symlink('/etc/passwd', f'{own}/metric.json')", "ok"),
    "deep JSON": ("print('AR_METRIC ' + '[' * 100_000)", "ok"),
    "a number too long": ("print('loss:', '9' * 5000); raise SystemExit", "invalid_metric"),
    "table gone": ("os.remove('artifacts/results.tsv')", "ok"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_trial_that_spoils_its_files_spoils_no_campaign(target: Target, name: str) -> None:
    words, status = HOSTILE[name]
    script = f'import os, shutil\nown = os.environ["AR_RUN_DIR"]\nif os.environ["AR_PARAM_X"] == "1":\n    {words}\n'
    target.write(script + 'print("loss: 1")\n', policy={"params": {"x": [1, 2]}})
    assert search(target).reason == "exhausted"
    assert search(target).reason == "exhausted", "its files are made again"
    assert [row["status"] for row in target.rows()] == [status, "ok"]
    assert json.loads((target.trial(1) / "manifest.json").read_text())["result"]["status"] == status


@pytest.mark.parametrize("value", ["a\0b", "x" * 300_000])
def test_trial_whose_parameter_no_variable_can_hold_is_recorded(target: Target, value: str) -> None:
    target.write("print('loss: 1')\n", policy={"params": {"x": [value, "plain"]}})
    search(target)
    assert [row["status"] for row in target.rows()] == ["failed", "ok"]
    assert "could not be started" in target.rows()[0]["reason"]
