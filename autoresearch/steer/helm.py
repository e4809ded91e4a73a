"""All that changes the plan of a running round: commands, who asked for them, and what became of them."""

from collections.abc import Callable, Sequence
from typing import Any

from autoresearch.steer import guard, wire
from autoresearch.steer.config import Config
from autoresearch.steer.controllers import View
from autoresearch.steer.desk import Desk, Said
from autoresearch.steer.exits import Turn
from autoresearch.steer.guard import Verdict
from autoresearch.steer.logs import Logs
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Decision
from autoresearch.steer.state import Edit, State
from autoresearch.steer.wire import Ack, Row, Wire

SHOWN = ("step", "action", "requested", "guarded", "lr_applied", "parse_status")  # of a decision, to the controller


class Helm:
    """Steers one round; a decision is written down when it is known what came of it."""

    def __init__(self, config: Config, desk: Desk, now: State, line: Wire, logs: Logs, save: Callable[[], None]):
        """Take a round; `save` puts its state on disk."""
        self.config, self.desk, self.now, self.line, self.logs, self.save = config, desk, now, line, logs, save
        self.in_force: Plan | None = None
        """Of the process that runs; None until it has acknowledged a plan."""
        self.first_lr: float | None = None
        """What its optimizer had when it did."""
        self.said: Said | None = None
        """The question that is open."""
        self.asked: Row | None = None
        """The report that it was asked at."""

    def begin(self) -> None:
        """Put the plan where the next process finds it first; what the branch changed later is to follow."""
        now, step, course = self.now, self.now.begin or 0, self.now.course()
        self.in_force = self.first_lr = self.said = None
        self.forget([one for one in now.edits if one not in course])
        past, later = [one for one in course if one.step <= step], [one for one in course if one.step > step]
        launch = Edit(plan=next((one.plan for one in (*past[-1:], *later)), now.plan), step=step)
        if past:
            launch.decision, past[-1].decision = past[-1].decision, None
        for one in course:
            one.seq, one.is_obeyed = None, one.step <= step
        now.plan, now.edits = launch.plan, [*past, launch, *later]
        self.send(launch)

    def send(self, edit: Edit) -> None:
        """Command a plan, after it is on disk."""
        now = self.now
        now.seq += 1
        edit.seq = now.seq
        if edit.decision:
            edit.decision.seq = now.seq
        self.save()
        identity = {"seq": now.seq, "run_id": f"{self.config.tag}-{now.arm}-{now.round}", "branch_id": now.branch_id}
        steps = {"issued_step": now.step, "effective_step": edit.step}
        self.line.send(wire.command(edit.plan, self.config.lr_unit, **identity, **steps))

    # --- what the trainer says

    def note(self, ack: Ack) -> None:
        """A command has taken effect."""
        now = self.now
        edit = self.found(ack)
        if edit is None:
            return
        self.in_force = edit.plan
        self.first_lr = self.applied(ack.lr) if self.first_lr is None else self.first_lr
        if edit.is_obeyed:  # read again, after a kill
            return
        was_cut = edit.is_cut
        now.plan = edit.plan
        self.forget([one for one in now.edits if not one.is_obeyed and one.seq is not None and one.seq < ack.seq])
        self.tell(ack)
        sent = [one for one in now.edits if not one.is_obeyed and one.seq is not None]
        cut = next((one for one in sent if one.is_cut), None)
        if cut and cut.decision and not was_cut and cut.plan != edit.plan.scaled(guard.CUT):
            self.cut(f"again, for command {ack.seq} was obeyed before: {cut.decision.why}")
        elif self.unsent and not sent:
            self.send(self.unsent[0])  # not earlier: who reads one command in the place of two misses the first

    @property
    def unsent(self) -> list[Edit]:
        """What the next process is to be told after its launch."""
        return [one for one in self.now.edits if not one.is_obeyed and one.seq is None]

    def found(self, ack: Ack) -> Edit | None:
        """What an acknowledgement is about."""
        is_ours = ack.branch == self.now.branch_id
        return next((one for one in self.now.edits if is_ours and one.seq == ack.seq), None)

    def tell(self, ack: Ack) -> None:
        """Note that a command was obeyed, and write it down; the controller's may have come after its step."""
        edit = self.found(ack)
        if not edit:
            return
        edit.step, edit.is_obeyed = ack.step, True
        if decision := edit.decision:
            edit.decision = None
            decision.applied_step, decision.lr_applied = ack.step, self.applied(ack.lr)
            if decision.source == "controller" and ack.step > (decision.effective_step or 0):
                decision.parse_status = "late"
            self.settle(decision)

    def applied(self, lr: float | None) -> float | None:
        """A rate of the optimizer in the unit of the plans."""
        return lr / self.now.base_lr * self.config.lr_unit if lr is not None and self.now.base_lr else None

    def planned(self, progress: float) -> float | None:
        """What the optimizer must have had at a progress; None where nothing was acknowledged."""
        return self.in_force.lr(progress) if self.in_force else None

    # --- the guard

    def intervene(self, row: Row, verdict: Verdict) -> None:
        """Do at once what the guard says; an answer that is still awaited was asked for without knowing this."""
        if verdict.action == "note":
            self.settle(self._decision(row.step, "note", source="guard", why=verdict.why))
            return
        self.drop("superseded")
        self.cut(verdict.why)

    def cut(self, why: str) -> None:
        """Halve at once what is in force, as far as that is known."""
        now = self.now
        decision = self._decision(now.step, "halve", source="guard", why=why)
        decision.requested = decision.guarded = guard.CUT
        decision.lr_requested = decision.lr_guarded = now.plan.lr(now.progress) * guard.CUT
        self._command(decision, now.plan.scaled(guard.CUT), now.step)

    # --- the controller

    def ask(self, row: Row) -> None:
        """Ask the controller what is to count one window later."""
        now, config = self.now, self.config
        self.drop("late")
        effective_step = row.step + config.k
        is_decided = any(one.step >= effective_step for one in now.edits)  # before a process was lost
        if is_decided or now.updates < now.vitals.hold_until or self.progress_at(row, effective_step) >= 1:
            return
        plan = self.latest
        known = [*now.decisions, *(one.decision for one in now.edits if one.decision)]
        self.asked = row
        self.said = self.desk.ask(
            View(
                round=now.round, step=row.step, effective_step=effective_step, seed=now.seed, progress=row.progress,
                lr=plan.lr(row.progress), plan=plan, windows=now.windows, alarms=now.alarms, brief=now.start.brief,
                decisions=[one.model_dump(include=set(SHOWN)) for one in known], scaled=now.scaled,
            )
        )  # fmt: skip

    @property
    def latest(self) -> Plan:
        """What was commanded last."""
        return self.now.edits[-1].plan

    def progress_at(self, row: Row, step: int) -> float:
        """Progress at a later update: exact where steps alone end the round."""
        config, made = self.config, max(1, row.updates)
        each = row.progress / made if config.budget_s or not config.num_steps else 1 / self.steps_of_process
        return row.progress + (step + 1 - row.step) * each

    @property
    def steps_of_process(self) -> int:
        """Updates that the running process has for itself."""
        return (self.config.num_steps or 1) - self.now.spent_steps

    def hear(self) -> Turn | None:
        """Take the controller's answer if it is there, and in time."""
        if not self.said:
            return None
        if self.now.step >= self.said.view.effective_step:
            self.drop("late")
        elif self.said.is_there.is_set():
            said, self.said = self.said, None
            return self.grant(said)
        return None

    def grant(self, said: Said) -> Turn | None:
        """Carry out an answer, as far as the guard lets it pass."""
        answer, view, plan = said.answer, said.view, self.latest
        decision = self._decision(view.step, answer.action, said, why=said.why or answer.reason)
        if not said.is_usable or answer.action == "keep":
            self.settle(decision)
            return None
        if answer.action == "abort":
            self.settle(decision)
            return Turn("aborted", f"the controller gave up: {answer.reason}")
        assert self.asked
        p = min(1.0, self.progress_at(self.asked, view.effective_step))
        lr, decision.effective_step = plan.lr(p), view.effective_step
        if answer.action == "decay":
            changed = plan.decaying_from(p)
        else:
            factor = guard.grant(plan, answer.factor, p, self.now.updates, self.now.vitals, self.config.limits)
            decision.requested, decision.guarded = answer.factor, factor
            changed = plan.scaled(factor)
            self.now.scaled.append(view.step)
        decision.lr_requested, decision.lr_guarded = lr * (decision.requested or 1.0), changed.lr(p)
        if changed == plan:
            self.settle(decision)
        else:
            self._command(decision, changed, view.effective_step)
        return None

    # --- what becomes of a decision

    def drop(self, status: str) -> None:
        """Give up waiting for an answer: the plan goes on."""
        if self.said:
            said, self.said = self.said, None
            row = self._decision(said.view.step, "keep", said)
            row.parse_status, row.fallback = status, True
            row.latency_s = said.latency_s if said.is_there.is_set() else said.age_s()
            self.settle(row)

    def give_up(self) -> None:
        """Leave the branch."""
        self.forget(self.now.edits)

    def forget(self, edits: Sequence[Edit]) -> None:
        """Take edits back, and write down what was not obeyed of them."""
        now = self.now
        for edit in edits:
            if edit.decision:
                self.settle(edit.decision)
        now.edits = [one for one in now.edits if not any(one is other for other in edits)]

    def settle(self, decision: Decision) -> None:
        """Write down a decision."""
        now = self.now
        self.logs.add(decision)
        now.decisions = [*now.decisions, decision][-self.config.history :] if self.config.history else []

    def _command(self, decision: Decision, plan: Plan, effective_step: int) -> None:
        self.forget(self.unsent)
        decision.effective_step = effective_step
        self.now.edits = [*self.now.edits, Edit(plan=plan, step=effective_step, decision=decision)]
        self.send(self.now.edits[-1])

    def _decision(self, step: int, action: str, said: Said | None = None, **more: Any) -> Decision:
        now = self.now
        if said:
            more |= {"parse_status": said.status, "fallback": not said.is_usable, "latency_s": said.latency_s}
        return Decision(
            round=now.round, arm=now.arm, seed=now.seed, branch=now.branch_id, step=step, seq=-1, action=action,
            **{"source": "controller", **more},
        )  # fmt: skip
