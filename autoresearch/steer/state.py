"""What is known of a round that runs; on disk before anything is done that depends on it."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from autoresearch import summary
from autoresearch.errors import Damaged
from autoresearch.records import Record
from autoresearch.sandbox import files
from autoresearch.steer.guard import Mark, Vitals
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import MOST_POINTS, Decision, Final, Rollback, RoundStatus, Start, Trace
from autoresearch.steer.wire import PROGRESS, Row

NAME, REPORT = "state.json", "schedule_"
GAP = 1 / (4 * MOST_POINTS)  # of the run: points of a trace, evenly, however many updates a round has

Points = list[tuple[float, float, int]]
"""A trace as it grows: progress, a value, and the step that it was reported at."""


class Edit(Record):
    """A plan of the present branch: what a process began with, or what was commanded later."""

    plan: Plan
    step: int
    """From which it counts: as commanded, and once it was obeyed, as acknowledged."""
    seq: int | None = None
    """Of its command to the running process; None: none was sent."""
    is_obeyed: bool = False
    decision: Decision | None = None
    """Behind it, as long as it is not written down."""

    @property
    def is_cut(self) -> bool:
        """Whether it is the guard's, and still under way."""
        return self.decision is not None and self.decision.source == "guard"


class State(Record):
    """A round, from its start to its final row."""

    round: int
    arm: str
    seed: int
    is_guarded: bool
    start: Start
    plan: Plan
    """In force, or what the next launch begins with."""
    branch: int = 0
    """Counts what was begun anew or gone back on."""
    seq: int = -1
    """Of the last command."""
    begin: int | None = None
    """Step of the checkpoint that the next launch goes on from; None: from the start."""
    pid: int = 0
    pid_started: str = ""
    """Of the trainer while it runs."""
    spent_frac: float = 0.0
    """Share of the budget that went into runs that were begun anew."""
    spent_steps: int = 0
    spent_s: float = 0.0
    """Updates and training seconds of those."""
    step: int = 0
    updates: int = 0
    progress: float = 0.0
    """Of the running trainer, without what was spent."""
    elapsed_s: float = 0.0
    seconds: float = 0.0
    """Wall time of the trainers."""
    base_lr: float | None = None
    """What the trainer's optimizer had before its first update."""
    num_alarms: int = 0
    num_ends: int = 0
    """Of trainers that something had to follow on."""
    num_failures: int = 0
    """Ends in a row that were not the learning rate's fault."""
    failed_at: int = 0
    """Updates at the last of them."""
    reports_read: int = 0
    """Bytes of progress.jsonl."""
    vitals: Vitals = Field(default_factory=Vitals)
    windows: list[float] = Field(default_factory=list)
    alarms: list[str] = Field(default_factory=list)
    decisions: list[Decision] = Field(default_factory=list)
    """The last ones that are settled."""
    scaled: list[int] = Field(default_factory=list)
    """As in View."""
    edits: list[Edit] = Field(default_factory=list)
    """Of the branch, as they were commanded; those of a process that was lost are repeated to the next one."""
    rollback: Rollback | None = None
    """Begun, and not yet acknowledged."""
    lr: Points = Field(default_factory=list)
    loss: Points = Field(default_factory=list)
    undone: Trace = Field(default_factory=list)
    """Learning rates of updates that a rollback undid."""
    is_trained: bool = False
    """Whether only the score is missing."""
    status: RoundStatus | None = None
    """None while it runs."""
    result: float | None = None
    why: str = ""
    is_closed: bool = False
    """Whether the final row is written."""

    @property
    def branch_id(self) -> str:
        """Name of the branch."""
        return f"b{self.branch}"

    @property
    def whole_progress(self) -> float:
        """Share of the round's budget that is used."""
        return self.spent_frac + (1 - self.spent_frac) * self.progress

    def course(self) -> list[Edit]:
        """The edits that count: as in the trainer, a newer one drops what waits for the same step or a later one."""
        found: list[Edit] = []
        for edit in self.edits:
            found = [one for one in found if one.is_obeyed or one.step < edit.step]
            if edit.is_obeyed or all(one.step <= edit.step for one in found):
                found.append(edit)
        return found

    def spend(self) -> None:
        """Count what a run used up that is begun anew."""
        self.spent_frac, self.spent_s = self.whole_progress, self.spent_s + self.elapsed_s
        self.spent_steps, self.progress, self.elapsed_s, self.step = self.updates, 0.0, 0.0, 0

    def updates_at(self, to: Mark | None) -> int:
        """Updates that a trainer of this branch goes on from: only on a new one it counts what was undone."""
        if to is None:
            return self.spent_steps
        return to.updates if to.updates > max(self.vitals.rollbacks, default=0) else self.updates

    def count(self, row: Row) -> None:
        """Take over how far a report says that the budget is used."""
        self.updates, self.progress, self.elapsed_s = self.spent_steps + row.updates, row.progress, row.elapsed_s

    def trace(self, lr: float | None, loss: float | None) -> None:
        """Add a point to each trace; of points closer than GAP only the first and the newest are kept."""
        p = round(self.whole_progress, 6)
        for points, value in ((self.lr, lr), (self.loss, loss)):
            if value is None:
                continue
            if len(points) > 2 and p - points[-2][0] < GAP:
                points.pop()
            points.append((p, float(f"{value:.6g}"), self.step))

    def undo(self, step: int, is_kept: bool) -> None:
        """Take the learning rates that were reported after a step out of their trace; `is_kept`: into `undone`."""
        self.undone += [(p, lr) for p, lr, at in self.lr if at > step and is_kept]
        self.lr = [one for one in self.lr if one[2] <= step]

    def final(self, metric: str, log: str) -> Final:
        """The row of a round that is over.

        Args:
            log: of its last trainer.
        """
        assert self.status
        told = summary.parse(log)
        report = {name[len(REPORT) :]: value for name, value in told.others.items() if name.startswith(REPORT)}
        return Final(
            round=self.round, arm=self.arm, seed=self.seed, status=self.status, plan=self.start.plan,
            result=self.result, metric=metric, steps=max(self.spent_steps + (told.num_steps or 0), self.updates),
            seconds=round(self.seconds, 2), num_alarms=self.num_alarms, num_rollbacks=len(self.vitals.rollbacks),
            lr=thinned(self.lr), undone=thinned(self.undone), loss=thinned(self.loss), schedule_report=report,
            memory=self.start.memory, why=self.why,
        )  # fmt: skip


def thinned(points: Sequence[tuple[float, ...]]) -> Trace:
    """At most MOST_POINTS points, evenly, the ends among them."""
    if len(points) > MOST_POINTS:
        points = [points[round(place * (len(points) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
    return [(one[0], one[1]) for one in points]


def load(folder: Path) -> State | None:
    """The state of a round that was begun; None: it was not.

    Raises:
        Damaged: the file is not what was written.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return State.model_validate_json(files.read(path))
    except ValidationError as error:
        what = f"{path} must be the state of a round but: {error.errors()[0]['msg']}"
        raise Damaged(f"{what}; `rm -r {folder}` begins the round anew") from error


def missed_s(folder: Path) -> float:
    """Seconds that a trainer went on and reported after the state was saved for the last time."""
    reports = folder / PROGRESS
    return max(0.0, reports.stat().st_mtime - (folder / NAME).stat().st_mtime) if reports.exists() else 0.0


def save(folder: Path, state: State) -> None:
    """Replace the state on disk in one step."""
    files.replace(folder / NAME, state.model_dump_json(), is_durable=True)
