"""What is known of a round that runs; on disk before anything is done that depends on it."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from autoresearch.errors import Damaged
from autoresearch.records import Record
from autoresearch.sandbox import files
from autoresearch.steer.guard import Vitals
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import MOST_POINTS, Decision, Rollback, RoundStatus, Start, Trace
from autoresearch.steer.wire import Row

NAME = "state.json"
GAP = 1 / (4 * MOST_POINTS)  # of the run: points of a trace, evenly, however many updates a round has

Points = list[tuple[float, float, int]]
"""A trace as it grows: progress, a value, and the step that it was reported at."""


class State(Record):
    """A round, from its start to its final row."""

    round: int
    arm: str
    seed: int
    is_guarded: bool
    start: Start
    plan: Plan
    """What the next launch begins with."""
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
    sent: dict[int, Plan] = Field(default_factory=dict)
    """Commands to the running trainer, by seq."""
    open: list[Decision] = Field(default_factory=list)
    """Sent, and not yet acknowledged."""
    rollback: Rollback | None = None
    """Begun, and not yet acknowledged."""
    lr: Points = Field(default_factory=list)
    loss: Points = Field(default_factory=list)
    undone: Trace = Field(default_factory=list)
    """Learning rates of updates that a rollback undid."""
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


def save(folder: Path, state: State) -> None:
    """Replace the state on disk in one step."""
    files.replace(folder / NAME, state.model_dump_json(), is_durable=True)
