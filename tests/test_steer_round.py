"""A round over a fake trainer: commands at their step, rollback, exits by kind, and a final row whatever happens."""

import json
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from steering import Desk

from autoresearch.errors import BadConfig
from autoresearch.steer import logs
from autoresearch.steer.bench import Bench
from autoresearch.steer.controllers import KEEP, Answer, View
from autoresearch.steer.exits import Turn
from autoresearch.steer.round import Round
from autoresearch.steer.rows import DECISIONS, FINALS, Decision, Start


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def expected(desk: Desk, number: int = 1) -> list[float]:
    """Scale of every update by the first plan alone."""
    plan = desk.config().opening()
    return [plan.lr(row["p"]) for row in desk.rows("trace.jsonl", number)]


def test_round_follows_its_plan_to_the_end(desk: Desk) -> None:
    final = desk.run()
    assert (final.status, final.steps, final.num_alarms, final.num_rollbacks) == ("ok", 199, 0, 0)
    assert final.result and final.result < 3
    assert desk.rates() == pytest.approx(expected(desk)) and desk.rates()[-1] == 0
    assert len(final.lr) == 199 and final.lr[5] == pytest.approx((0.03, 0.6))
    assert final.schedule_report == {"p_end": "1.0"}


class Fixed:
    """Answers by step, after the trainer has made so many more updates."""

    def __init__(self, desk: Desk, answers: dict[int, Answer], steps: int = 0):
        self.desk, self.answers, self.steps = desk, answers, steps

    def decide(self, view: View) -> Answer:
        until = view.step + self.steps
        while self.steps and self.desk.rows("progress.jsonl")[-1]["step"] < until:
            time.sleep(0.001)
        return self.answers.get(view.step, KEEP)


ANSWERS = {
    100: Answer(action="scale", factor=1.5),
    200: Answer(action="scale", factor=0.7),
    300: Answer(action="decay"),
}


@pytest.mark.parametrize("lag", [0, 20, 60])
def test_answers_count_exactly_one_window_later_however_late_they_are(desk: Desk, lag: int) -> None:
    desk.settings = {"total_steps": 500, "k": 100, "lr_init": 0.5}
    desk.run(Fixed(desk, ANSWERS, lag))
    plan = desk.config().opening()
    first = [plan.lr((step + 1) / 500) for step in range(500)]
    decayed = plan.scaled(1.5).scaled(0.7).decaying_from(401 / 500)
    last = first[:200] + [1.5 * rate for rate in first[200:300]] + [1.05 * rate for rate in first[300:400]]
    assert plan.hold < 0.5, "the decay has begun when it is asked for, so nothing changes"
    assert desk.rates() == pytest.approx(last[:400] + [decayed.lr((step + 1) / 500) for step in range(400, 500)])
    asked = [(one.step, one.action, one.lr_guarded, one.lr_applied, one.applied_step) for one in desk.decisions()]
    assert asked[0][:2] == (100, "scale") and asked[0][2] == pytest.approx(asked[0][3]) and asked[0][4] == 200


@pytest.mark.parametrize("lag", [0, 20])
def test_answers_count_at_the_same_updates_where_seconds_end_the_round(desk: Desk, lag: int) -> None:
    desk.settings = {"total_steps": None, "budget_s": 3, "warmup_steps": 0, "k": 40, "plan": {"decay": 0.2}}
    answers = {40: Answer(action="scale", factor=1.5), 80: Answer(action="scale", factor=0.6)}
    desk.run(Fixed(desk, answers, lag), pace_s=0.01)
    plan, factors = desk.config().opening(), [1.0] * 80 + [1.5] * 40 + [0.9] * 20
    asked = [factor * plan.lr(row["p"]) for factor, row in zip(factors, desk.rows("trace.jsonl"), strict=False)]
    assert len(asked) == 140 and desk.rates()[:140] == pytest.approx(asked)


def test_decay_that_is_begun_early_has_no_jump_and_ends_at_the_end(desk: Desk) -> None:
    desk.settings = {"plan": {"decay": 0.1}, "k": 40}
    desk.run(Fixed(desk, {40: Answer(action="decay")}))
    rates = desk.rates()
    assert rates[80] == pytest.approx(1.0) and rates[-1] == 0
    assert max(abs(a - b) for a, b in pairwise(rates[80:])) < 0.01


def test_answer_that_comes_too_late_leaves_the_plan(desk: Desk) -> None:
    desk.run(Fixed(desk, {20: Answer(action="scale", factor=2.0)}, 30))
    late = desk.decisions()[0]
    assert (late.step, late.parse_status, late.fallback) == (20, "late", True)
    assert desk.rates() == pytest.approx(expected(desk))


def test_absurd_factor_is_clamped_and_never_undoes_the_decay(desk: Desk) -> None:
    absurd = Answer(action="scale", factor=1e9)
    desk.run(Fixed(desk, {20: absurd, 140: absurd}), pace_s=0.006)
    first, second = [one for one in desk.decisions() if one.action == "scale"]
    assert (first.requested, first.guarded) == (1e9, 2.0)
    assert (second.requested, second.guarded, second.seq) == (1e9, 1.0, -1)
    assert max(desk.rates()) == pytest.approx(2.0)


def test_controller_may_give_a_round_up(desk: Desk) -> None:
    final = desk.run(Fixed(desk, {40: Answer(action="abort", reason="hopeless")}), pace_s=0.006)
    assert (final.status, final.result) == ("aborted", None) and "hopeless" in final.why
    assert final.steps < 199


def test_crash_goes_back_to_a_healthy_checkpoint_at_half_the_rate(desk: Desk) -> None:
    final = desk.run(mode="explode", at=75)
    (row,) = desk.rollbacks()
    assert (row.kind, row.step, row.checkpoint, row.from_branch, row.to_branch) == (
        "numeric", 75, "step-00000060.pt", "b0", "b1",
    )  # fmt: skip
    steps = [one["step"] for one in desk.rows("trace.jsonl")]
    assert steps[75:78] == [75, 60, 61], "the command of the old branch is gone when the new one begins"
    assert desk.rates()[76:] == pytest.approx([0.5 * rate for rate in expected(desk)[76:]])
    assert row.lr_applied == pytest.approx(row.lr_planned) and row.lr_applied == pytest.approx(desk.rates()[76])
    assert (final.status, final.num_rollbacks) == ("ok", 1)
    assert len(steps) == 201 and desk.rates()[-1] == 0, "what was undone is not given back, and the end is decayed"


def test_rollback_into_the_warmup_has_the_rate_of_the_plan(desk: Desk) -> None:
    desk.settings = {"warmup_steps": 100}
    desk.run(mode="explode", at=60)
    (row,) = desk.rollbacks()
    assert row.checkpoint == "step-00000050.pt"
    assert row.lr_planned == pytest.approx(row.lr_applied) == pytest.approx(desk.rates()[61])
    plan = desk.config().opening()
    assert desk.rates()[61] == pytest.approx(plan.lr(61 / 200) / 2, rel=0.03)
    assert max(desk.rates()[61:]) == pytest.approx(plan.lr_peak / 2), "a crash on the way up halves the peak, not more"


def test_crash_early_in_the_warmup_leaves_a_round_that_ends_well(desk: Desk) -> None:
    desk.settings = {"warmup_steps": 50}
    final = desk.run(mode="nan", at=3)
    again = [one["step"] for one in desk.rows("trace.jsonl")].index(0, 1)  # a fast trainer went on before it was ended
    assert (final.status, final.num_rollbacks) == ("ok", 1) and max(desk.rates()[again:]) == pytest.approx(0.5)


class Seeing:
    """Keeps every plan, and what it was shown."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def decide(self, view: View) -> Answer:
        self.views.append(view)
        return KEEP


def test_windows_of_what_was_undone_are_forgotten(desk: Desk) -> None:
    controller = Seeing()
    desk.run(controller, mode="explode", at=70, saves=False, pace_s=0.004)
    lengths = [(view.step // 20, len(view.windows)) for view in controller.views]
    assert len(desk.rollbacks()) == 1 and lengths and all(step == num for step, num in lengths), lengths


def test_trainer_that_reports_another_loss_is_told_so(desk: Desk) -> None:
    desk.settings = {"loss": "no_such_loss"}
    final = desk.run(pace_s=0.004)
    assert final.status == "infra_fail" and "must report no_such_loss but reports" in final.why


@pytest.mark.parametrize("mode", ["explode", "nan"])
def test_crash_without_a_checkpoint_begins_anew_with_what_is_left(desk: Desk, mode: str) -> None:
    final = desk.run(mode=mode, at=50, saves=False)
    (row,) = desk.rollbacks()
    assert (row.checkpoint, row.to_branch) == (None, "b1")
    again = [one["step"] for one in desk.rows("trace.jsonl")].index(0, 1)
    rates = desk.rates()[again:]
    assert 190 <= len(desk.rates()) <= 203 and rates[-1] == 0 and max(rates) == pytest.approx(0.5, abs=0.01)
    assert (final.status, final.num_rollbacks) == ("ok", 1)
    assert [p for p, _ in final.lr] == sorted(p for p, _ in final.lr)
    assert max(lr for _, lr in final.lr) == pytest.approx(0.5, abs=0.01), "what the result comes from"
    assert max(lr for _, lr in final.undone) == pytest.approx(1.0) and final.undone[-1][0] < final.lr[0][0]


def test_seconds_end_a_round_decayed_whatever_the_pace(desk: Desk) -> None:
    desk.settings = {"total_steps": None, "budget_s": 1.5, "warmup_steps": 0, "k": 10}
    final = desk.run(mode="explode", at=60, pace_s=0.006)
    assert (final.status, final.num_rollbacks) == ("ok", 1)
    rows = desk.rows("trace.jsonl")
    assert rows[-1]["p"] > 0.95 and desk.rates()[-1] < 0.1
    back = max(before["p"] - row["p"] for before, row in pairwise(rows))
    assert back < 0.01, "time is not given back, but for what passed since the last report"


def test_loss_that_is_not_finite_stops_the_trainer_at_once(desk: Desk) -> None:
    final = desk.run(mode="nan", at=75, pace_s=0.01)
    (row,) = desk.rollbacks()
    assert row.step == 76 and "not finite" in row.why and final.status == "ok"


def test_gradient_that_is_not_finite_goes_back_and_one_that_is_far_too_large_is_noted(desk: Desk) -> None:
    final = desk.run(mode="gradient", at=75, pace_s=0.01)
    (row,) = desk.rollbacks()
    assert (row.step, row.why) == (76, "a metric is not finite") and final.status == "ok"
    desk.settings = {"tag": "u"}
    final = desk.run(mode="spike", at=75)
    (note,) = [one for one in logs.read(desk.home.parent / "u" / DECISIONS, Decision) if one.source == "guard"]
    assert (note.action, note.step) == ("note", 76) and "gradient norm 1e+03" in note.why
    assert (final.status, final.num_alarms, final.num_rollbacks) == ("ok", 1, 0)


def test_rate_that_is_too_high_is_halved_until_the_loss_falls(desk: Desk) -> None:
    desk.settings = {"lr_init": 6.0, "k": 40, "total_steps": 400, "warmup_steps": 0}
    final = desk.run(limit=2.0, pace_s=0.005)
    cuts = [one for one in desk.decisions() if one.source == "guard"]
    assert cuts and all(one.lr_applied == pytest.approx(one.lr_guarded, rel=0.2) for one in cuts if one.lr_guarded)
    assert final.status == "ok" and final.num_alarms >= len(cuts) and desk.rates()[200] < 2.0


def test_crashes_without_end_are_given_up_with_a_reason(desk: Desk) -> None:
    final = desk.run(mode="explode", at=60, times=99)
    assert final.status == "diverged" and "3 rollbacks" in final.why
    assert [row.to_branch for row in desk.rollbacks()] == ["b1", "b2", "b3", None]


def test_without_the_guard_a_crash_is_the_end(desk: Desk) -> None:
    desk.settings = {"guard": False}
    final = desk.run(mode="explode", at=60)
    assert (final.status, final.num_rollbacks, final.result) == ("diverged", 0, None)


@pytest.mark.parametrize("mode", ["abort", "memory"])
def test_infrastructure_failure_leaves_the_rate_alone(desk: Desk, mode: str) -> None:
    final = desk.run(mode=mode, at=75)
    (row,) = desk.rollbacks()
    assert (row.kind, row.from_branch, row.to_branch, row.checkpoint) == ("infra", "b0", "b0", "step-00000070.pt")
    assert final.status == "ok" and final.num_rollbacks == 0
    assert desk.rates() == pytest.approx(expected(desk)) and len(desk.rates()) == 206
    assert final.undone == [] and [p for p, _ in final.lr] == sorted({p for p, _ in final.lr})


@pytest.mark.parametrize(("k", "at"), [(20, 55), (20, 65), (25, 55)])
def test_infrastructure_failure_leaves_an_edit_at_its_step(desk: Desk, k: int, at: int) -> None:
    desk.settings = {"k": k, "total_steps": 80, "plan": {"decay": 0.2}}
    due = 60 if k == 20 else 50
    pace_s = 0.012 if k == 20 else 0.03  # the edit follows two updates after the launch
    desk.run(Fixed(desk, {due - k: Answer(action="scale", factor=0.5)}), mode="abort", at=at, pace_s=pace_s)
    (crash,) = desk.rollbacks()
    period = k // 2
    assert crash.checkpoint == f"step-{at // period * period:08d}.pt"
    rows = desk.rows("trace.jsonl")
    plan = desk.config().opening()
    usual = [plan.lr(row["p"]) * (0.5 if row["step"] >= due else 1) for row in rows]
    assert desk.rates() == pytest.approx(usual) and len(rows) > 80
    (scaled,) = [one for one in desk.decisions() if one.action == "scale"]
    assert (scaled.applied_step, scaled.parse_status) == (due, "ok")


def test_round_that_cannot_begin_anew_has_not_gone_back(desk: Desk) -> None:
    final = desk.run(mode="nan", at=195, saves=False)
    assert (final.status, final.num_rollbacks) == ("diverged", 0) and "too little of the budget" in final.why


class Killed(Round):
    """Is ended before it has noted that its trainer is at its end."""

    def act(self, turn: Turn, is_counted: bool = True) -> None:
        raise KeyboardInterrupt


class Unscored(Bench):
    """Is ended while it scores."""

    def score(self, folder: Path) -> float | str:
        raise KeyboardInterrupt


def test_killed_round_whose_training_is_over_is_only_scored(desk: Desk) -> None:
    desk.settings = {"total_steps": 40}
    unnoted = desk.held(Killed)
    with pytest.raises(KeyboardInterrupt):
        unnoted.run(lambda text: None)
    scoring = desk.held()
    assert scoring.state.pid and not scoring.state.is_trained
    scoring.bench = Unscored(scoring.bench.config, scoring.bench.variables)
    with pytest.raises(KeyboardInterrupt):
        scoring.run(lambda text: None)
    assert len(desk.rates()) == 40, "its end was not seen, and stands in its log"
    final = desk.run()
    assert (final.status, final.steps) == ("ok", 39) and final.result and desk.rollbacks() == []
    assert len(desk.rates()) == 40


def test_trainer_that_ended_unseen_without_a_summary_goes_on(desk: Desk) -> None:
    desk.settings = {"total_steps": 40}
    unnoted = desk.held(Killed)
    with pytest.raises(KeyboardInterrupt):
        unnoted.run(lambda text: None)
    log = unnoted.folder / "run.log"
    for text in ("---\n", "quality: 3.0\n", "---\nquality: 3.0\nRuntimeError: at the end\n"):
        assert not unnoted.bench.has_summary(text), "a value that is told on the way is no summary"
    log.write_text("---\n")
    assert desk.run().status == "ok" and len(desk.rates()) == 50 and len(desk.rollbacks()) == 1


def test_loop_of_aborts_is_given_up_after_three_resumes(desk: Desk) -> None:
    final = desk.run(mode="abort", at=75, times=99)
    assert final.status == "infra_fail" and "SIGABRT" in final.why
    assert [row.to_branch for row in desk.rollbacks()] == ["b0", "b0", "b0", None]
    assert desk.rates() == pytest.approx(expected(desk))


def test_time_of_a_trainer_that_was_started_and_never_noted_counts(desk: Desk) -> None:
    """The supervisor was killed between the launch and the note of it; the trainer went on and reported."""
    desk.settings = {"total_steps": 40}
    begun = desk.held()
    begun.save()
    (begun.folder / "progress.jsonl").touch()
    last_s = (begun.folder / "state.json").stat().st_mtime + 100
    os.utime(begun.folder / "progress.jsonl", (last_s, last_s))
    assert 100 < begun.run(lambda text: None).seconds < 160


def test_trainer_that_hangs_is_started_again_at_the_same_rate(desk: Desk) -> None:
    desk.settings = {"hung_s": 1.5}
    final = desk.run(mode="hang", at=75)
    (row,) = desk.rollbacks()
    assert (row.kind, row.checkpoint) == ("infra", "step-00000070.pt") and "hung: it reported nothing for" in row.why
    assert final.status == "ok" and desk.rates() == pytest.approx(expected(desk))


def test_trainer_that_hangs_before_it_reports_has_the_longer_wait(desk: Desk) -> None:
    desk.settings = {"hung_s": 0.001, "start_s": 0.6}
    final = desk.run(mode="hang", at=0, times=99)
    assert final.status == "infra_fail" and final.why == "hung: it reported nothing for 0.6 s; 4 times in a row"
    assert final.seconds > 4 * 0.6


BROKEN = [
    "  File 'train.py', line 3\nSyntaxError: invalid syntax",
    "ModuleNotFoundError: No module named 'flash'",
    "PrepareError: the dataset must be prepared; run `uv run prepare.py`",
]


@pytest.mark.parametrize("words", BROKEN)
def test_trainer_that_is_broken_ends_the_campaign_at_once(desk: Desk, words: str) -> None:
    desk.settings = {"rounds": 2, "total_steps": 40}
    with pytest.raises(BadConfig) as caught:
        desk.run(mode="words", words=words)
    trial = desk.home / "rounds" / "0001"
    assert words.rpartition("\n")[2] in str(caught.value) and f"`rm -r {trial}`" in str(caught.value)
    assert len(desk.rows("trace.jsonl")) == 1, "it was started once"
    assert [one.name for one in trial.parent.iterdir()] == ["0001"] and not (desk.home / FINALS).exists()
    shutil.rmtree(trial)
    assert desk.run().round == 2 and len((desk.home / FINALS).read_text().splitlines()) == 2


def test_trainer_that_does_not_obey_is_stopped(desk: Desk) -> None:
    final = desk.run(mode="deaf")
    assert final.status == "infra_fail" and "learning rate must be" in final.why


def test_round_that_takes_too_long_is_over_budget(desk: Desk) -> None:
    desk.settings = {"round_s": 0.5}
    final = desk.run(pace_s=0.05)
    assert final.status == "budget" and final.result is None


def test_rounds_begin_where_the_memory_says(desk: Desk) -> None:
    desk.settings = {"rounds": 3, "total_steps": 40}
    told: list[int] = []

    def memory(finals: Any) -> Any:
        told.append(len(finals))
        plan = desk.config().opening().scaled(1 + len(finals))
        return Start(plan=plan, memory={"how": len(finals)})

    final = desk.run(memory=memory)
    assert told == [0, 1, 2] and final.memory == {"how": 2} and max(desk.rates(3)) == pytest.approx(3.0)
    assert json.loads((desk.home / "final_results_log.jsonl").read_text().splitlines()[1])["seed"] == 6


def test_checkpoint_that_cannot_be_read_gives_way_to_an_older_one(desk: Desk) -> None:
    final = desk.run(mode="abort", at=75, torn=70)
    assert final.status == "ok", final.why
    ends = [(row.kind, row.checkpoint and row.checkpoint[5:13]) for row in desk.rollbacks()]
    assert ends == [("infra", "00000070"), ("infra", "00000060")]
