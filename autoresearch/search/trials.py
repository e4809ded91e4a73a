"""Trials from the queue to the record: begun where there is room, watched, judged, kept or discarded."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.errors import GitFailed, Refused
from autoresearch.search import conclusion, own, watch
from autoresearch.search.config import Config
from autoresearch.search.diffs import Code
from autoresearch.search.executors import CONTROL, PROGRESS, SIGNALLED, Executor, Outcome
from autoresearch.search.guards import Stop
from autoresearch.search.journal import Journal
from autoresearch.search.pool import Pool
from autoresearch.search.proposal import Result, TrialStatus
from autoresearch.search.spans import Spans
from autoresearch.search.store import Entry
from autoresearch.search.tree import Tree
from autoresearch.search.trial import Bench
from autoresearch.search.watch import Trail

MOST_LOSSES = 2  # of one trial; the next is its result
BUDGET_SLACK = 1.1
BAD_DATA = (GitFailed, ArithmeticError, LookupError, TypeError, ValueError)  # what data raise, not the machine

Done = Callable[[int, Outcome], None]


@dataclass
class Running:
    """What is known of a trial while it runs."""

    trail: Trail
    slot: int
    """Row of the timeline, from 1."""
    begun_s: float = field(default_factory=time.monotonic)
    is_weighed: bool = True
    """Whether it is forecast; false once that broke off."""


@dataclass
class Trials:
    """Those of one campaign.

    Whatever the data of a trial raise, be it while it is begun, watched or judged, is that trial's failure and is
    recorded as such; a machine that fails (a full disk, a damaged store) ends the campaign instead.
    """

    config: Config
    journal: Journal
    bench: Bench
    pool: Pool
    executor: Executor
    spans: Spans
    code: Code | None = None
    """None where no diff can be run."""
    incomparable: str = ""
    """Why no score of this run compares with the others; empty where they do."""
    running: dict[int, Running] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: None
    """Told about every trial that is over."""

    @property
    def tip(self) -> str:
        """Commit that diffs are made against."""
        return self.code.tip if self.code else ""

    def take_over(self, done: Done) -> None:
        """Go on with what an engine that is gone began, or queue it again."""
        for entry in self.journal.running():
            order = self.bench.order(entry, self.config.target.workdir, self.journal.cost())
            if self.executor.attach(order, entry.handle, done):
                self.pool.claim(entry.number, self.journal.cost())
                was_cancelled = "it was hopeless" if (order.folder / CONTROL).exists() else ""
                trail = Trail(order.folder / PROGRESS, cancelled=was_cancelled)
                self.running[entry.number] = Running(trail, self.free_slot())
            else:
                self.journal.requeue(entry, "the search was cut off")
        if self.journal.over:
            self.settle(self.journal.over[-1])
        self.settle_code()
        self.note_code()

    def begin_queued(self, done: Done) -> None:
        """Begin what is queued, in order, as long as there is room."""
        for entry in self.journal.queued():
            if self.pool.room(self.journal.cost()) == 0:
                return
            self.begin(entry, done)

    def begin(self, entry: Entry, done: Done) -> None:
        """Start a trial, or record why it cannot be."""
        try:
            self.start(entry, done)
        except BAD_DATA as error:
            self.running.pop(entry.number, None)
            self.pool.release(entry.number)
            self.record(self.journal.entries[entry.number], conclusion.broken(entry, "could not be begun", error))

    def start(self, entry: Entry, done: Done) -> None:
        """Start a trial; where its code is refused, record that."""
        folder = self.bench.make_folders(entry.number)
        try:
            if entry.proposal.rejected:
                raise Refused(entry.proposal.rejected)
            commit, tree = self.prepare_code(entry, folder)
            cwd = tree.cwd if tree else self.config.target.workdir
            if self.bench.is_own:
                cwd = own.lay_out(cwd, folder, entry.proposal.params)
        except (Refused, GitFailed) as error:
            self.record(entry, conclusion.rejection(entry, str(error)))
            return
        devices = self.pool.claim(entry.number, self.journal.cost())
        # before there is a process, so that none is forgotten
        entry = self.journal.begin(entry, devices=devices, commit=commit)
        self.bench.write_manifest(entry)
        self.running[entry.number] = Running(Trail(folder / PROGRESS), self.free_slot())
        handle = self.executor.submit(self.bench.order(entry, cwd, self.journal.cost(), tree), done)
        self.journal.begin(entry, handle=handle)

    def prepare_code(self, entry: Entry, folder: Path) -> tuple[str, Tree | None]:
        """The commit of a trial, and a tree of its own where diffs are made; others run in the target's folder.

        Raises:
            Refused: its diff cannot be run.
        """
        if not self.code:
            if entry.proposal.diff:
                raise Refused("a diff needs a target inside a git repository")
            return "", None
        if not (entry.proposal.diff or self.config.policy.diffs):
            return self.code.standing(), None
        commit = self.code.tip
        if entry.proposal.diff:
            commit = self.code.build(entry.base, entry.proposal.diff, entry.proposal.description)
            commit = self.code.remember(entry.number, commit)
        tree = self.code.tree(commit, folder, self.config.target.workdir)
        tree.lay_out()
        return commit, tree

    def free_slot(self) -> int:
        """The first row of the timeline in which no trial runs."""
        taken = {one.slot for one in self.running.values()}
        return next(slot for slot in range(1, len(taken) + 2) if slot not in taken)

    def look(self) -> None:
        """Read the reports of what runs, and ask the hopeless to leave."""
        for number, one in self.running.items():
            if not one.trail.read():
                continue
            last = one.trail.reports[-1]
            self.journal.note("progress", {"iter": number, **last.model_dump(exclude_defaults=True)})
            if not self.config.controller.intra_iteration_cancel.enabled or one.trail.cancelled or not one.is_weighed:
                continue
            try:
                self.weigh(number, one.trail)
            except BAD_DATA as error:
                one.is_weighed = False
                self.journal.note("notice", {"iter": number, "text": f"no longer forecast: {error!r}"})

    def weigh(self, number: int, trail: Trail) -> None:
        """Ask a trial to leave if it is hopeless."""
        objective, rule = self.config.objective, self.config.controller.intra_iteration_cancel
        peers = [watch.points(one.reports, objective.metric) for one in self.journal.good()]
        if why := watch.hopeless(trail, self.journal.best_value(), peers, objective, rule):
            trail.cancelled = why
            self.bench.cancel(number, trail.reports[-1].step, why)
            self.executor.control(number)
            self.journal.note("cancel", {"iter": number, "reason": why})

    def stop(self, *, hard: bool = False) -> None:
        """End what runs."""
        for number in list(self.running):
            self.executor.stop(number, hard=hard)

    def end(self, number: int, outcome: Outcome, stop: Stop | None) -> None:
        """Record a trial that is over, or queue it again.

        Args:
            stop: why the campaign ends, if it does.
        """
        entry, one = self.journal.entries[number], self.running.pop(number)
        self.pool.release(number)
        was_ended = outcome.end == "killed" or outcome.exit_code in SIGNALLED
        was_cut_off = was_ended and stop is not None and stop.is_resumable
        is_lost = outcome.end == "lost" and entry.losses < MOST_LOSSES
        if was_cut_off or is_lost:
            self.journal.requeue(entry, outcome.why or "stopped", losses=entry.losses + is_lost)
            return
        if outcome.end == "killed" and stop:
            outcome = Outcome("killed", outcome.exit_code, outcome.seconds, f"{stop.reason}: {stop.detail}")
        result = self.judge(entry, outcome, one.trail)
        self.record(entry, result)
        args = {"iter": number, "status": result.status, "metric": result.metric, "devices": entry.devices}
        self.spans.add("executor.execute", one.begun_s, f"slot {one.slot}", args)

    def judge(self, entry: Entry, outcome: Outcome, trail: Trail) -> Result:
        """What became of a trial, from what it left."""
        try:
            while trail.read():
                pass
            folder, metric = self.bench.folder(entry.number), self.config.objective.metric
            is_evaluated = self.config.target.type != "http" and len(self.bench.commands()) > 1
            result = conclusion.conclude(entry, outcome, trail, folder, metric, is_evaluated)
            result.model_dump_json()  # raises what could not be written down
        except BAD_DATA as error:
            return conclusion.broken(entry, "could not be judged", error, outcome.seconds)
        return result

    def record(self, entry: Entry, result: Result) -> None:
        """Decide, and write all of it down."""
        incomparable, version = self.incomparable or self.over_budget(result.seconds), None
        if result.status == TrialStatus.OK and result.metric is not None:
            best = self.journal.best_value()
            if incomparable and self.config.comparability.strict:
                result.reason = incomparable
            elif self.config.objective.is_better(result.metric, best):
                result.decision, version = "keep", self.journal.next_version()
            else:
                result.reason = f"does not beat {best!r}"
        entry = self.journal.finish(entry, result, version=version, comparable=incomparable)
        self.settle(entry)
        self.settle_code()
        number = "" if result.metric is None else f" {result.metric:.6g}"
        self.say(f"trial {entry.number} {result.status}{number} {result.decision}: {entry.proposal.description[:100]}")

    def settle(self, entry: Entry) -> None:
        """Leave of a recorded trial what is to stay; done again if it was cut off."""
        self.bench.settle_model(entry.number, entry.version)
        self.bench.write_manifest(entry)
        if self.bench.is_own:
            own.clear(self.bench.folder(entry.number), entry.version is not None)
        if self.code:
            self.code.clear(self.bench.folder(entry.number))

    def note_code(self, *, is_ours: bool = False) -> None:
        """Say where trials that run in the target's folder would not run what was there before.

        Args:
            is_ours: whether the campaign itself has just changed it.
        """
        if not self.code or self.config.policy.diffs:
            return
        seen, before = self.code.digest(), self.journal.store.fact("code_digest")
        if before and before != seen and self.journal.over and not is_ours:
            text = "tracked files are not what they were when the last trial ran; scores from before may not compare"
            self.journal.note("notice", {"text": text})
            self.say(f"note: {text}")
        with self.journal.store.transaction():
            self.journal.store.set_fact("code_digest", seen)

    def over_budget(self, seconds: float) -> str:
        """Why the time that a trial took makes its score another's; empty where it does not."""
        rules = self.config.comparability
        if rules.budget_mode != "fixed_wallclock" or rules.expected_budget_s is None:
            return ""
        if seconds <= BUDGET_SLACK * rules.expected_budget_s:
            return ""
        return f"took {seconds:.0f} s where {rules.expected_budget_s:g} s are expected"

    def settle_code(self) -> None:
        """Bring the diff that was kept last to the branch; where git cannot just now, after the next trial or run."""
        newest = max((one for one in self.journal.over if one.version and one.proposal.diff), key=_number, default=None)
        if not self.code or not newest or newest.number == self.journal.kept_diff:
            return
        try:
            said = self.code.keep(newest.commit, newest.proposal.description)
            self.journal.save_code(self.code.state(), newest.number)
            self.note_code(is_ours=True)
        except (GitFailed, Refused) as error:
            said = f"kept as {newest.commit[:12]}, not yet on the branch: {error}"
        if said:
            self.journal.note("notice", {"iter": newest.number, "text": said})
            self.say(f"note: {said}")


def _number(entry: Entry) -> int:
    return entry.place or 0
