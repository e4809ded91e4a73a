"""Campaigns and baselines over the fake trainer, and their verbs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from steering import VARIABLES, Desk

from autoresearch.errors import BadConfig, Damaged, NoGoodTrial
from autoresearch.steer import campaign, logs, memory
from autoresearch.steer.bench import Bench
from autoresearch.steer.campaign import BASELINES, PINS
from autoresearch.steer.config import Config
from autoresearch.steer.controllers import Nobody, Replay
from autoresearch.steer.logs import Logs
from autoresearch.steer.rows import DECISIONS, FINALS, Decision, Final


def steer(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A verb of `steer` in a folder."""
    env = VARIABLES | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-m", "autoresearch", "steer", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A short campaign, its configuration on disk."""
    desk = Desk(tmp_path, {"total_steps": 40, "k": 10, "rounds": 2, "peaks": [0.5, 2.0], "lr_init": 1.0})
    write(desk)
    return desk


def write(desk: Desk, **habits: object) -> None:
    values = desk.config(**habits).model_dump(mode="json", exclude_defaults=True)
    (desk.folder / "c.yaml").write_text(yaml.safe_dump(values))


def test_verb_runs_the_rounds_and_tells_the_best(desk: Desk) -> None:
    done = steer(desk.folder, "c.yaml")
    assert done.returncode == 0, done.stderr
    facts, finals = json.loads(done.stdout), logs.read(desk.home / FINALS, Final)
    assert facts["rounds"] == 2 and facts["counts"] == {"ok": 2}
    best = min(finals, key=lambda one: one.result or 9)
    assert (facts["best"], facts["best_round"]) == (best.result, best.round)
    assert finals[1].plan != finals[0].plan, "the memory plans the second round"
    assert [(one.round, one.seed, one.arm) for one in finals] == [(1, 5, "none"), (2, 6, "none")]
    assert done.stderr.count("round 1") == 1


def test_baselines_are_every_peak_with_every_decay_and_seed(desk: Desk) -> None:
    desk.settings["repeats"] = 2
    write(desk)
    done = steer(desk.folder, "baseline", "c.yaml", "--only", "cosine10,wsd")
    assert done.returncode == 0, done.stderr
    finals = logs.read(desk.home / FINALS, Final)
    found = {(one.arm, one.plan.lr_peak, one.seed) for one in finals}
    assert found == {
        (f"baseline:{kind}", peak, seed) for kind in ("cosine10", "wsd") for peak in (0.5, 2) for seed in (5, 6)
    }
    assert {one.plan.warmup for one in finals} == {0.25}


@pytest.mark.parametrize("kind", BASELINES)
def test_baseline_plans_end_as_they_are_called(desk: Desk, kind: str) -> None:
    plan = campaign.baseline(desk.config(), kind, 2.0)
    assert plan.lr_peak == 2.0 and plan.lr(plan.warmup) == pytest.approx(2.0)
    assert plan.lr(1) == pytest.approx(0.2 if kind == "cosine10" else 0)
    assert (plan.hold > 0.5) == (kind == "wsd")


def test_plain_baselines_have_no_guard(desk: Desk) -> None:
    write(desk, mode="explode", at=20, times=9)
    done = steer(desk.folder, "baseline", "c.yaml", "--plain", "--only", "cosine0")
    assert done.returncode == 3 and "no round ended well" in done.stderr
    finals = logs.read(desk.home / FINALS, Final)
    assert [(one.arm, one.status, one.num_rollbacks) for one in finals] == [("plain:cosine0", "diverged", 0)] * 2


def test_unknown_decay_is_refused(desk: Desk) -> None:
    done = steer(desk.folder, "baseline", "c.yaml", "--only", "stairs")
    assert done.returncode == 2 and "known: cosine10" in " ".join(done.stderr.split())


def test_command_that_is_not_there_is_named(desk: Desk) -> None:
    text = (desk.folder / "c.yaml").read_text()
    (desk.folder / "c.yaml").write_text(text.replace(sys.executable, "/no/such/python"))
    done = steer(desk.folder, "c.yaml")
    assert done.returncode == 2 and "'/no/such/python' must start in" in done.stderr


def own_bench(folder: Path, scale: str = "tiny", **known: object) -> Bench:
    """Of a campaign that trains this repository's train.py."""
    folder.mkdir(exist_ok=True)
    for name in ("train.py", "prepare.py"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    settings = Config.model_validate({"tag": "t", "workdir": folder} | known)
    return Bench(settings, VARIABLES | {"AUTORESEARCH_SCALE": scale})


def test_campaign_keeps_scale_dataset_and_code(tmp_path: Path) -> None:
    path, code = tmp_path / PINS, tmp_path / "code"
    campaign.pin(own_bench(code), path)
    (tmp_path / "rounds" / "0001").mkdir(parents=True)
    campaign.pin(own_bench(code, rounds=99), path)
    with pytest.raises(BadConfig, match="AUTORESEARCH_SCALE was 'tiny' and is 'cpu'; put that back, give another tag"):
        campaign.pin(own_bench(code, "cpu"), path)
    other = own_bench(code)
    with pytest.raises(BadConfig, match="AUTORESEARCH_DATASET was '' and is 'climbmix'"):
        campaign.pin(Bench(other.config, {**other.variables, "AUTORESEARCH_DATASET": "climbmix"}), path)
    with pytest.raises(BadConfig, match="begun with another configuration: k was 300 and is 200; put"):
        campaign.pin(own_bench(code, k=200), path)
    (code / "train.py").write_text("pass")
    with pytest.raises(BadConfig, match=r"configuration: train\.py was '\w{16}' and is '\w{16}'; put"):
        campaign.pin(other, path)
    (code / "prepare.py").write_text("pass")
    with pytest.raises(BadConfig, match=r"prepare\.py was '\w{16}' and is ''"):
        campaign.pin(other, path)


def test_code_may_be_mended_before_the_first_round(tmp_path: Path) -> None:
    path, code = tmp_path / PINS, tmp_path / "code"
    bench = own_bench(code)
    (code / "train.py").write_text("def broken(:")
    campaign.pin(bench, path)
    campaign.pin(own_bench(code), path)
    with pytest.raises(BadConfig, match="k was 300 and is 200"):
        campaign.pin(own_bench(code, k=200), path)
    (tmp_path / "rounds" / "0001").mkdir(parents=True)
    campaign.pin(own_bench(code), path)
    (code / "train.py").write_text("def broken(:")
    with pytest.raises(BadConfig, match=r"train\.py was"):
        campaign.pin(bench, path)


def test_code_that_is_edited_while_a_campaign_runs_trains_no_round_of_it(tmp_path: Path) -> None:
    bench, home = own_bench(tmp_path / "code"), tmp_path / "home"
    (home / "rounds" / "0001").mkdir(parents=True)
    campaign.pin(bench, home / PINS)
    (tmp_path / "code" / "train.py").write_text("pass")
    found = campaign.Campaign(bench, home, Logs(home), lambda text: None)
    with pytest.raises(BadConfig, match=r"train\.py was '\w{16}' and is '\w{16}'; put that back"):
        found.steer(Nobody(), campaign.always(bench.config))
    assert not list((home / "rounds" / "0001").iterdir())


def test_referee_that_is_edited_while_a_round_runs_scores_nothing(tmp_path: Path) -> None:
    bench, trial = own_bench(tmp_path / "code"), tmp_path / "trial"
    bench.lay_out(trial)
    with open(trial / "code" / "prepare.py", "a") as file:
        file.write("# another\n")
    assert bench.score(trial) == "prepare.py is another one than the round began with, so that nothing is scored"


def test_campaign_stops_on_a_machine_that_fails_and_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"total_steps": 40, "k": 10, "rounds": 5})
    with pytest.raises(NoGoodTrial, match=r"2 rounds on end were lost .*SIGABRT.*; mend that, then the same command"):
        desk.run(mode="abort", at=5, times=99)
    assert [one.status for one in logs.read(desk.home / FINALS, Final)] == ["infra_fail"] * 2
    desk.run()
    finals = logs.read(desk.home / FINALS, Final)
    assert [one.status for one in finals] == ["infra_fail"] * 2 + ["ok"] * 3
    start = memory.remember(desk.config())(finals[:2])
    assert start.plan == desk.config().opening(), "what was lost was not tried"


def test_campaign_that_was_begun_before_these_were_kept_goes_on(tmp_path: Path) -> None:
    bench = own_bench(tmp_path / "code")
    (tmp_path / PINS).write_text(bench.config.model_dump_json(exclude=campaign.FREE, indent=1))
    campaign.pin(bench, tmp_path / PINS)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_pins_that_were_edited_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / PINS).write_text(text)
    with pytest.raises(BadConfig, match=r"config\.json must hold JSON but"):
        campaign.pin(own_bench(tmp_path / "code"), tmp_path / PINS)


def test_verb_refuses_another_scale(desk: Desk) -> None:
    assert steer(desk.folder, "c.yaml").returncode == 0
    done = steer(desk.folder, "c.yaml", AUTORESEARCH_SCALE="tiny")
    assert done.returncode == 2 and "AUTORESEARCH_SCALE was '' and is 'tiny'" in done.stderr


def test_log_takes_a_row_once_and_forgets_half_a_line(tmp_path: Path) -> None:
    facts = {"round": 1, "arm": "rule", "seed": 1, "branch": "b0", "seq": -1, "source": "controller", "action": "keep"}
    first, second = (Decision.model_validate({**facts, "step": step}) for step in (10, 20))
    log = Logs(tmp_path)
    for row in (first, first, second):
        log.add(row)
    path = tmp_path / DECISIONS
    path.write_bytes(path.read_bytes()[:-5])
    log = Logs(tmp_path)
    assert logs.read(path, Decision) == [first]
    log.add(second)
    assert logs.read(path, Decision) == [first, second]


def test_log_is_not_read_again_for_every_row(tmp_path: Path) -> None:
    facts = {"round": 1, "arm": "rule", "seed": 1, "branch": "b0", "seq": -1, "source": "controller", "action": "keep"}
    first, second = (Decision.model_validate({**facts, "step": step}) for step in (10, 20))
    Logs(tmp_path).add(first)
    log = Logs(tmp_path)
    (tmp_path / DECISIONS).unlink()  # shows who looks
    for row in (first, second, second):
        log.add(row)
    assert logs.read(tmp_path / DECISIONS, Decision) == [second]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b"])
def test_log_holds_whatever_somebody_says(tmp_path: Path, end: str) -> None:
    facts = {"round": 1, "arm": "rule", "seed": 1, "branch": "b0", "seq": -1, "source": "controller", "action": "keep"}
    said = Decision.model_validate({**facts, "step": 10, "why": f"two{end}lines"})
    for _ in range(2):
        Logs(tmp_path).add(said)
    assert logs.read(tmp_path / DECISIONS, Decision) == [said]
    assert Replay(tmp_path / DECISIONS).known


def test_log_that_was_edited_is_named(tmp_path: Path) -> None:
    (tmp_path / FINALS).write_text('{"round": 1}\n')
    with pytest.raises(Damaged, match="line 1, must be a Final but"):
        Logs(tmp_path).finals()
