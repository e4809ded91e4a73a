"""One round: a trainer that runs, a guard that watches, a controller that may edit the plan, until it is over.

Everything is on disk before it is done, so that a round that is cut off at any point goes on where it was.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from autoresearch import process
from autoresearch.sandbox import files
from autoresearch.steer import exits, guard, state
from autoresearch.steer.bench import LOG, Bench, checkpoint, forget_after, newest
from autoresearch.steer.desk import Desk
from autoresearch.steer.exits import Pulse, Turn
from autoresearch.steer.guard import Mark, Report
from autoresearch.steer.helm import Helm
from autoresearch.steer.logs import Logs
from autoresearch.steer.rows import Final, Rollback, RoundStatus
from autoresearch.steer.state import State
from autoresearch.steer.wire import Row, Wire

POLL_S, SHORT_POLL_S = 0.02, 0.002  # the short one while a command is to follow another
MOST_FAILURES = 3
MOST_ALARMS = 10  # that the controller is told
TOLERANCE = 1e-3  # of the rate in the optimizer, relative
OBEYS_WITHIN = 3  # updates
LEAST_STEPS = 10  # that must be left to begin anew
LEAST_LEFT = 0.02  # of the budget, likewise
OUTCOMES: dict[str, RoundStatus] = {
    "numeric": "diverged",
    "aborted": "aborted",
    "budget": "budget",
    "disobeys": "infra_fail",
}


class Round:
    """Runs one round."""

    def __init__(self, bench: Bench, desk: Desk, logs: Logs, folder: Path, current: State):
        """Take a round that was begun, be it just now."""
        self.bench, self.logs, self.folder, self.state = bench, logs, folder, current
        self.limits, self.wire = bench.config.limits, Wire(folder)
        self.wire.reports.offset = current.reports_read
        self.helm = Helm(bench.config, desk, current, self.wire, logs, self.save)
        self.seconds: Callable[[], float] | None = None
        """Wall time of the round's trainers, while one is followed."""

    def save(self) -> None:
        """Put the state on disk."""
        self.state.reports_read = self.wire.reports.offset
        self.state.seconds = self.seconds() if self.seconds else self.state.seconds
        state.save(self.folder, self.state)

    def run(self, say: Callable[[str], None]) -> Final:
        """Go on to the end, which is always a final row.

        Raises:
            BadConfig: the trainer is broken, so that no further round would fare better.
        """
        now = self.state
        if now.pid:  # an earlier process of ours was killed
            was_running = process.end_group(now.pid, now.pid_started, str(self.folder))
            now.seconds += state.missed_s(self.folder)
            self.act(self.read() or self.unseen(was_running), is_counted=False)
        process.end_group(0, "", str(self.folder))  # one that was started and not yet noted
        now.seconds += state.missed_s(self.folder)
        while now.status is None:
            turn = Turn("done") if now.is_trained else self.follow()
            if turn.kind != "done":
                say(f"round {now.round}, step {now.step}: {turn.why}")
            self.act(turn)
        return now.final(self.bench.config.metric, files.read_text(self.folder / LOG))

    # --- a trainer

    def follow(self) -> Turn:
        """Start the trainer and stay with it until it ends, or must."""
        now, config = self.state, self.bench.config
        forget_after(self.folder, now.begin)
        self.wire.skip()
        self.helm.begin()
        pulse = Pulse(config.hung_s, config.start_s, self.wire.reports.offset)
        launch, before_s = self.bench.begin(self.folder, now), now.seconds
        self.seconds = lambda: before_s + launch.age_s()
        try:
            now.pid, now.pid_started = launch.pid, launch.started
            self.save()
            turn = None
            while turn is None:
                is_over = launch.has_ended()
                turn = self.read() or self.helm.hear() or pulse.check(now, self.wire.reports.offset, launch.age_s())
                if is_over:
                    break
                if self.seconds() > config.round_s:
                    turn = Turn("budget", f"the round took longer than {config.round_s:.0f} s")
                time.sleep(SHORT_POLL_S if self.helm.unsent else POLL_S)
        finally:
            launch.stop()
            now.seconds, self.seconds = self.seconds(), None
        return turn or self.read() or exits.classify(files.read_text(self.folder / LOG), launch.child.returncode)

    def unseen(self, was_running: bool) -> Turn:
        """What became of a trainer that nobody followed to its end."""
        text = files.read_text(self.folder / LOG)
        return Turn("done") if self.bench.has_summary(text) and not was_running else exits.unseen(text)

    def read(self) -> Turn | None:
        """Take in all that the trainer has said; why it must end, if it must."""
        rows = self.wire.read()
        acked = self.wire.acked = [ack for ack in self.wire.acked if self.helm.found(ack)]  # others are of the past
        for row in rows:
            while acked and acked[0].step < row.step:
                self.helm.note(acked.pop(0))
            if turn := self.take(row):
                return turn
        while acked:
            self.helm.note(acked.pop(0))
        return None

    def catch_up(self) -> None:
        """Count what the trainer did until it was stopped, and write down what it obeyed until then."""
        for row in self.wire.read():
            self.state.count(row)
        for ack in self.wire.acked:
            self.helm.tell(ack)

    def take(self, row: Row) -> Turn | None:
        """One report."""
        now = self.state
        if now.base_lr is None and row.step == 0:
            now.base_lr = row.lr
        now.step = row.step
        now.count(row)
        if not row.metrics:  # the first of a process: nothing is known yet of what it does
            return None
        if turn := self.check_lr(row):
            return turn
        turn = self.guard(row)
        if turn is None and row.step % self.limits.k == 0:
            now.windows.append(round(now.vitals.smooth or 0.0, 4))
            if self.seconds:  # else the trainer is gone
                self.helm.ask(row)
        return turn

    def check_lr(self, row: Row) -> Turn | None:
        """See that the optimizer has what the plan says."""
        lr = self.helm.applied(row.lr)
        self.state.trace(lr, None)
        planned = self.helm.planned(row.progress)
        if planned is None:
            is_new = row.step - (self.state.begin or 0) < OBEYS_WITHIN or not self.state.pid
            return None if is_new else Turn("disobeys", "the trainer must acknowledge its plan but did not")
        if lr is not None and abs(lr - planned) > TOLERANCE * planned:
            return Turn("disobeys", f"the learning rate must be {planned:.6g} but is {lr:.6g}")
        if self.state.rollback and lr is not None:
            self.settle_rollback(planned)
        return None

    def guard(self, row: Row) -> Turn | None:
        """Have the rules look at a report, and do what they say."""
        now, loss = self.state, self.bench.config.loss
        others = [value for name, value in row.metrics.items() if name != loss]
        if loss not in row.metrics:
            if None in others:
                return Turn("numeric", "a metric is not finite")
            if now.vitals.first is None and row.step - (now.begin or 0) > self.limits.k:
                return Turn("disobeys", f"the trainer must report {loss} but reports {', '.join(row.metrics)}")
            return None
        is_warm = row.progress >= now.plan.warmup + now.plan.ramp
        report = Report(now.updates, row.metrics[loss], is_warm, None not in others, row.metrics.get("grad_norm"))
        verdict = guard.examine(now.vitals, report, self.limits)
        now.trace(None, now.vitals.smooth)
        if verdict.action != "none":
            now.num_alarms += 1
            now.alarms = [*now.alarms, f"step {row.step}: {verdict.why}"][-MOST_ALARMS:]
        if verdict.action == "rollback" and (now.is_guarded or report.loss is None):
            return Turn("numeric", verdict.why)
        if verdict.action in ("halve", "note") and now.is_guarded:
            self.helm.intervene(row, verdict)
        elif verdict.action == "none" and row.step % self.bench.checkpoint_steps == 0:
            guard.mark(now.vitals, row.step, now.updates)
            self.save()
        return None

    # --- what follows

    def act(self, turn: Turn, is_counted: bool = True) -> None:
        """Do what a trainer's end asks for; what was sent is repeated after a failure of the machine, else given up."""
        now = self.state
        self.catch_up()
        now.pid = 0
        self.helm.drop("late")
        if turn.kind != "infra":
            self.helm.give_up()
        if now.rollback:
            self.settle_rollback(None)
        if turn.kind == "done":
            self.conclude()
        elif turn.kind == "numeric" and now.is_guarded:
            self.go_back(turn.why)
        elif turn.kind == "infra":
            self.begin_again(turn.why, is_counted)
        elif turn.kind == "broken":
            self.save()
            raise exits.refusal(turn, self.folder)
        else:
            now.status = OUTCOMES[turn.kind]
            now.why = turn.why
        self.save()

    def conclude(self) -> None:
        """Score what was trained; who is ended meanwhile has to score alone."""
        now, vitals = self.state, self.state.vitals
        now.is_trained = True
        self.save()
        found = self.bench.score(self.folder)
        if isinstance(found, str):
            now.status, now.why = ("diverged" if "NonFinite" in found else "infra_fail"), found
            return
        now.result, now.status = found, "ok"
        if vitals.smooth is not None and vitals.first is not None:
            excess = vitals.smooth - vitals.lowest
            if excess > guard.thresholds(vitals)[1] or vitals.smooth > guard.LOST * vitals.first:
                now.status, now.why = "diverged", f"ended {excess:.2f} above its lowest loss, at {vitals.smooth:.2f}"

    def go_back(self, why: str) -> None:
        """Go on from a healthy checkpoint on a new branch, or from the start, with a lower learning rate."""
        now, row = self.state, self.rollback("numeric", why)
        to = newest(self.folder, guard.healthy(now.vitals, now.step, now.updates, self.limits))
        problem = "" if to else self.spend()
        problem = problem or guard.go_back(now.vitals, to, now.updates, row.lr_before or 0.0, self.limits)
        if problem:
            now.status, now.why = "diverged", f"{why}; {problem}"
            self.logs.add(row)
            return
        now.plan = now.plan.scaled(guard.CUT)
        now.branch += 1
        self.begin_with(to, row)

    def spend(self) -> str:
        """Begin anew with what is left; returns why it cannot be, empty where it can."""
        now, config = self.state, self.bench.config
        now.spend()
        has_steps = not config.num_steps or config.num_steps - now.spent_steps >= LEAST_STEPS
        has_time = not config.budget_s or config.budget_s - now.spent_s >= LEAST_LEFT * config.budget_s
        return "" if has_steps and has_time else "too little of the budget is left to begin anew"

    def begin_again(self, why: str, is_counted: bool) -> None:
        """Go on from the newest checkpoint, on the same branch at the same learning rate, some times."""
        now = self.state
        if is_counted:
            now.num_failures = 1 if now.updates > now.failed_at + self.limits.k else now.num_failures + 1
            now.failed_at = now.updates
        row = self.rollback("infra", why)
        if now.num_failures > MOST_FAILURES:
            now.status, now.why = "infra_fail", f"{why}; {now.num_failures} times in a row"
            self.helm.give_up()
            self.logs.add(row)
            return
        if exits.UNREADABLE in why and now.num_failures > 1:  # twice is no passing trouble
            now.vitals.marks = [one for one in now.vitals.marks if one.step != now.begin]
        to = newest(self.folder, now.vitals.marks)
        now.updates = now.updates_at(to)
        guard.begin_at(now.vitals, to, now.updates, self.limits)
        self.begin_with(to, row)
        self.save()
        if is_counted:
            time.sleep(self.bench.config.backoff_s * 2 ** (now.num_failures - 1))

    def rollback(self, kind: Literal["numeric", "infra"], why: str) -> Rollback:
        """The row of a branch that has ended, and has no follower yet."""
        now = self.state
        now.num_ends += 1
        lr = now.lr[-1][1] if now.lr else now.plan.lr(now.progress)
        return Rollback(
            round=now.round, arm=now.arm, seed=now.seed, number=now.num_ends, kind=kind, why=why, step=now.step,
            lr_before=lr, checkpoint=None, from_branch=now.branch_id, to_branch=None,
        )  # fmt: skip

    def begin_with(self, to: Mark | None, row: Rollback) -> None:
        """Have the next trainer begin with a checkpoint; the row is written when its learning rate is known."""
        now = self.state
        row.checkpoint, row.to_branch = checkpoint(self.folder, to.step).name if to else None, now.branch_id
        now.begin, now.rollback = to.step if to else None, row
        del now.windows[to.step // self.limits.k if to else 0 :]
        now.undo(to.step if to else 0, is_kept=row.kind == "numeric")

    def settle_rollback(self, planned: float | None) -> None:
        """Write down what a rollback has come to."""
        now = self.state
        assert now.rollback
        now.rollback.lr_planned, now.rollback.lr_applied = planned, self.helm.first_lr
        self.logs.add(now.rollback)
        now.rollback = None
