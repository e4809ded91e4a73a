"""What the trainer obeys, and when it says so: cuts beside edits, answers that come late, what a crash leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from steering import BASE_LR, Desk

from autoresearch.steer import desk as questions
from autoresearch.steer.controllers import KEEP, Answer, Rule, View
from autoresearch.steer.desk import Said
from autoresearch.steer.exits import Turn
from autoresearch.steer.guard import Mark
from autoresearch.steer.plan import Plan
from autoresearch.steer.round import Round
from autoresearch.steer.state import State
from autoresearch.steer.wire import Row

HALF = Answer(action="scale", factor=0.5)
DECAY = Answer(action="decay")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, {"plan": {"decay": 0.2}})


class Trial:
    """A round whose trainer is the test."""

    def __init__(self, desk: Desk, kind: type[Round] = Round, **known: Any):
        self.round = desk.held(kind, **known)
        self.desk, self.helm, self.state = desk, self.round.helm, self.round.state
        self.state.vitals.first = 10.0

    def write(self, name: str, *lines: dict[str, Any]) -> None:
        with open(self.round.folder / name, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def launch(self, step: int | None = None) -> None:
        """Begin a process, which obeys what it finds."""
        self.round.wire.skip()
        self.state.begin, self.state.base_lr, self.state.pid = step, BASE_LR, 0
        self.helm.begin()
        self.ack(step or 0)

    def ack(self, step: int, seq: int | None = None) -> None:
        """Obey the last command, or another one."""
        seq = self.state.seq if seq is None else seq
        plan = next(one.plan for one in self.state.edits if one.seq == seq)
        told = {"seq": seq, "branch_id": self.state.branch_id, "applied_step": step}
        self.write("acks.jsonl", told | {"lr": BASE_LR * plan.lr((step + 1) / 200)})

    def report(self, step: int, plan: Plan, loss: float | None = 3.0) -> None:
        """Say how the update before went under a plan."""
        lr, p = BASE_LR * plan.lr(step / 200), step / 200
        line = {"step": step, "progress": p, "elapsed_s": 0.1, "lr": lr, "num_steps": step}
        self.write("progress.jsonl", line | {"metrics": {"train_loss": loss}})

    def answer(self, step: int, answer: Answer) -> None:
        """Have the controller answer what it was asked at a step."""
        plan = self.helm.latest
        view = View(
            round=1, step=step, effective_step=step + 20, seed=5, progress=step / 200, lr=1.0, plan=plan, windows=[],
            alarms=[], brief="", decisions=[],
        )  # fmt: skip
        self.helm.asked = Row(step, step / 200, 0.1, BASE_LR, step, {})
        self.helm.grant(Said(view, answer))

    @property
    def command(self) -> tuple[int, int, float, float]:
        """Seq, step, peak and decay of what lies there."""
        told = json.loads((self.round.folder / "control.json").read_text())
        return told["seq"], told["effective_step"], told["plan"]["peak"], told["plan"]["decay"]


def edited(desk: Desk, answer: Answer) -> Trial:
    """A trial that was told at step 59 of an edit for step 60."""
    trial = Trial(desk)
    trial.launch()
    trial.report(59, trial.state.plan)
    assert trial.round.read() is None
    trial.answer(40, answer)
    return trial


@pytest.mark.parametrize(("answer", "peak", "decay"), [(DECAY, 0.5, 1 - 61 / 200), (HALF, 0.25, 0.2)])
def test_cut_is_sent_again_on_top_of_an_edit_that_was_obeyed_meanwhile(
    desk: Desk, answer: Answer, peak: float, decay: float
) -> None:
    trial = edited(desk, answer)
    trial.ack(60)  # the trainer runs ahead of what was read
    trial.helm.cut("too high")
    assert trial.command == (2, 59, 0.5, 0.2)
    trial.ack(63)
    assert trial.round.read() is None
    assert trial.command[:2] == (3, 59) and trial.command[2:] == pytest.approx((peak, decay))
    trial.ack(65)
    assert trial.round.read() is None and trial.state.plan.lr_peak == pytest.approx(peak)
    rows = [(one.source, one.seq, one.applied_step, one.lr_applied) for one in desk.decisions()]
    assert [row[:3] for row in rows] == [("controller", 1, 60), ("guard", 2, 63), ("guard", 3, 65)]
    assert rows[1][3] == pytest.approx(0.5) and rows[2][3] == pytest.approx(trial.state.plan.lr(66 / 200))
    assert "again" in desk.decisions()[-1].why and desk.decisions()[-1].lr_guarded == pytest.approx(peak, rel=0.02)


def test_cut_that_was_never_read_is_written_down_as_not_applied(desk: Desk) -> None:
    trial = edited(desk, DECAY)
    trial.ack(60)
    trial.helm.cut("too high")
    assert trial.round.read() is None
    trial.ack(62)
    assert trial.round.read() is None
    assert [(one.seq, one.applied_step) for one in desk.decisions()] == [(1, 60), (2, None), (3, 62)]


def test_cut_drops_an_edit_that_waits(desk: Desk) -> None:
    trial = edited(desk, DECAY)
    trial.helm.cut("too high")
    trial.ack(59)
    assert trial.round.read() is None
    assert trial.command == (2, 59, 0.5, 0.2), "nothing was obeyed that it would have to be put on top of"
    assert [(one.seq, one.applied_step) for one in desk.decisions()] == [(1, None), (2, 59)]


def test_answer_that_the_trainer_read_too_late_is_marked(desk: Desk) -> None:
    trial = edited(desk, HALF)
    trial.ack(63)
    assert trial.round.read() is None
    (row,) = desk.decisions()
    assert (row.effective_step, row.applied_step, row.parse_status) == (60, 63, "late")
    assert row.lr_applied == pytest.approx(0.5)


def test_answer_that_is_awaited_is_written_down_with_its_wait(desk: Desk) -> None:
    trial = edited(desk, KEEP)
    trial.answer(40, HALF)
    view = View.model_validate(
        {"round": 1, "step": 60, "effective_step": 80, "seed": 5, "progress": 0.3, "lr": 1.0, "plan": trial.state.plan}
        | {"windows": [], "alarms": [], "brief": "", "decisions": []}
    )
    trial.helm.said = Said(view)
    trial.helm.said.begun -= 7
    trial.helm.drop("late")
    assert desk.decisions()[-1].latency_s == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize("is_obeyed", [False, True])
def test_next_process_is_told_again_what_was_due_later_than_its_checkpoint(desk: Desk, is_obeyed: bool) -> None:
    trial = edited(desk, HALF)
    if is_obeyed:
        trial.ack(60)
        assert trial.round.read() is None
    trial.launch(50)
    assert trial.command == (2, 50, 1.0, 0.2), "the edit is of a later step"
    assert trial.round.read() is None
    assert trial.command == (3, 60, 0.5, 0.2)
    trial.ack(60)
    assert trial.round.read() is None and trial.state.plan.lr_peak == 0.5
    (row,) = desk.decisions()
    assert (row.effective_step, row.applied_step, row.parse_status) == (60, 60, "ok")
    trial.launch(70)
    assert trial.command == (4, 70, 0.5, 0.2)
    trial.launch(40)
    assert trial.command == (5, 40, 1.0, 0.2), "and it is known how it was before, however often it was begun"
    trial.round.read()
    trial.launch(60)
    assert trial.command == (7, 60, 0.5, 0.2)


def test_edit_that_a_process_begins_with_is_written_down_once_one_obeys_it(desk: Desk) -> None:
    trial = edited(desk, HALF)
    for _ in range(3):  # the first ones end before they obey anything
        assert desk.decisions() == []
        trial.round.wire.skip()
        trial.state.begin = 60
        trial.helm.begin()
    trial.ack(60)
    assert trial.round.read() is None
    (row,) = desk.decisions()
    assert (row.seq, row.applied_step, row.lr_applied) == (4, 60, pytest.approx(0.5))


def test_next_process_is_not_told_what_a_cut_has_dropped(desk: Desk) -> None:
    trial = edited(desk, DECAY)
    trial.helm.cut("too high")
    trial.launch(50)
    trial.round.read()
    assert trial.command == (4, 59, 0.5, 0.2)
    trial.ack(59)
    trial.round.read()
    assert trial.command[0] == 4 and [(one.seq, one.applied_step) for one in desk.decisions()] == [(1, None), (4, 59)]


def test_window_that_was_decided_before_a_crash_is_not_asked_about_again(desk: Desk) -> None:
    trial = edited(desk, HALF)
    trial.launch(30)
    trial.round.read()
    for step, is_asked in ((40, False), (60, True)):
        trial.helm.ask(Row(step, step / 200, 0.1, BASE_LR, step, {"train_loss": 3.0}))
        assert (trial.helm.said is not None) is is_asked


class Ended(Round):
    """Is killed right after its state is on disk for the first time."""

    is_over = False

    def save(self) -> None:
        super().save()
        if self.is_over:
            raise KeyboardInterrupt


def test_kill_amid_a_batch_loses_neither_report_nor_acknowledgement(desk: Desk) -> None:
    trial = Trial(desk, Ended)
    trial.launch()
    trial.state.pid = 1
    for step in range(1, 15):
        trial.report(step, trial.state.plan, None if step == 13 else 3.0)
    trial.round.is_over = True  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        trial.round.read()
    again = Trial(desk)
    assert [one.step for one in again.state.vitals.marks] == [10], "it was killed when the checkpoint was noted"
    turn = again.round.read()
    assert turn and turn.kind == "numeric" and "not finite" in turn.why and again.state.step == 13
    assert again.helm.in_force == again.state.plan and again.state.windows == []
    again.round.act(turn)
    assert again.state.updates == 14, "what came after the loss was lost is counted as well"


def test_rollback_tells_the_rate_in_force_and_not_a_cut_under_way(desk: Desk) -> None:
    trial = Trial(desk)
    trial.launch()
    for step in range(30, 60):
        trial.report(step, trial.state.plan, 3.0 if step < 56 else 9.0 if step < 59 else None)
    turn = trial.round.read()
    assert turn and turn.kind == "numeric" and trial.command[2] == 0.5, "a cut was sent and not obeyed"
    trial.round.act(turn)
    row, vitals = trial.state.rollback, trial.state.vitals
    assert row and row.lr_before == pytest.approx(1.0) and vitals.ceiling == pytest.approx(0.7)
    assert trial.state.plan.lr_peak == 0.5, "half of what was in force"
    assert [one.applied_step for one in desk.decisions() if one.source == "guard"] == [None]


def test_what_was_obeyed_until_the_trainer_was_stopped_is_written_down(desk: Desk) -> None:
    trial = edited(desk, HALF)
    trial.report(60, trial.state.plan, None)
    trial.ack(60)
    turn = trial.round.read()
    assert turn
    trial.round.act(turn)
    assert [one.applied_step for one in desk.decisions()] == [60] and trial.state.plan.lr_peak == 0.5


def crashed(desk: Desk, files: list[int], marks: list[int], **vitals: Any) -> Trial:
    """A trial that the machine ended at step 155."""
    trial = Trial(desk)
    trial.launch()
    trial.state.step = trial.state.updates = 155
    folder = trial.round.folder / "checkpoints"
    folder.mkdir()
    for step in files:
        (folder / f"step-{step:08d}.pt").touch()
    trial.state.vitals.marks = [Mark(step=step, updates=step, smooth=3.0, lowest=3.0) for step in marks]
    for name, value in vitals.items():
        setattr(trial.state.vitals, name, value)
    trial.round.act(Turn("infra", "killed"))
    return trial


def test_machine_failure_goes_back_to_the_newest_checkpoint_that_is_there(desk: Desk) -> None:
    trial = crashed(desk, [130, 140], [130, 140, 150])
    assert trial.state.begin == 140 and trial.state.updates == 140
    assert trial.state.rollback and trial.state.rollback.checkpoint == "step-00000140.pt"


def test_numeric_failure_goes_back_to_a_healthy_checkpoint_that_is_there(desk: Desk) -> None:
    trial = crashed(desk, [120], [120, 130])
    trial.state.step = trial.state.updates = 155
    trial.round.act(Turn("numeric", "nan"))
    assert trial.state.begin == 120


def test_machine_failure_without_a_checkpoint_leaves_nothing_that_binds_for_the_lost_stretch(desk: Desk) -> None:
    known = {"hold_until": 170, "ceiling": 0.7, "ceiling_until": 250, "since": 150, "rollbacks": [150]}
    now: State = crashed(desk, [], [150], **known).state
    assert (now.begin, now.updates) == (None, 0)
    assert (now.vitals.hold_until, now.vitals.ceiling_until, now.vitals.since) == (20, 100, 0)
    assert now.vitals.rollbacks == [0], "it counts as a rollback all the same"


def test_checkpoint_of_the_branch_before_gives_no_updates_back(desk: Desk) -> None:
    now = crashed(desk, [140], [140], rollbacks=[150], hold_until=170).state
    assert (now.begin, now.updates, now.vitals.hold_until) == (140, 155, 170)


def test_new_supervisor_passes_over_what_a_left_branch_obeyed(desk: Desk) -> None:
    trial = edited(desk, HALF)
    trial.ack(60)
    assert trial.round.read() is None
    trial.helm.give_up()
    trial.state.branch += 1
    trial.launch(50)
    for step in range(51, 58):
        trial.report(step, trial.state.plan)
    trial.state.pid = 1
    trial.round.save()
    again = desk.held()
    assert again.read() is None
    assert (again.state.step, again.helm.in_force) == (57, trial.state.plan)


def test_new_supervisor_asks_nothing_about_a_trainer_that_is_gone(desk: Desk) -> None:
    trial = Trial(desk)
    trial.launch()
    trial.report(60, trial.state.plan)
    trial.round.save()
    again = desk.held()
    assert again.read() is None
    assert again.state.step == 60 and again.helm.said is None


def test_edit_that_was_obeyed_late_keeps_its_step_through_a_failure_of_the_machine(desk: Desk) -> None:
    trial = edited(desk, HALF)
    trial.ack(63)
    trial.round.act(Turn("infra", "killed"), is_counted=False)
    assert [one.step for one in trial.state.edits] == [0, 63]
    trial.helm.begin()
    assert [(one.step, one.plan.lr_peak) for one in trial.state.edits] == [(0, 1.0), (0, 1.0), (63, 0.5)]


def test_rule_knows_of_its_cut_where_the_history_is_short(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"plan": {"decay": 0.2}, "history": 0, "total_steps": 200})
    trial = Trial(desk)
    trial.state.windows = [5.0, 4.0, 4.0, 4.0]
    for step, action in ((40, "scale"), (100, "decay")):
        trial.launch()
        trial.helm.desk = questions.Desk(Rule())
        trial.helm.ask(Row(step, step / 200, 0.1, BASE_LR, step, {}))
        assert trial.helm.said and trial.helm.said.is_there.wait(10)
        assert trial.helm.said.answer.action == action
        trial.helm.grant(trial.helm.said)
