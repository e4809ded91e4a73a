"""The values that every part speaks; what is stored of them is JSON, and unknown fields are refused."""

import math
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from autoresearch.verdict import Verdict


class Status(StrEnum):
    """What became of an attempt, as results.tsv spells it."""

    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"
    BACKTRACK = "backtrack"
    CANCELLED = "cancelled"


class State(StrEnum):
    """How far an attempt has come; each is on disk before the next begins."""

    STARTED = "started"
    RUNNING = "running"
    SCORED = "scored"
    DECIDED = "decided"
    CLOSED = "closed"


COLUMNS = ("commit", "val_bpb", "memory_gb", "status", "description", "reasoning")
RUN_SECONDS = "run_seconds"
"""Key of a summary in another arena: from the launch of a run to its end, by the clock of the supervisor."""
SUMMARY_KEYS = (
    *("val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent"),
    *("total_tokens_M", "num_steps", "num_params_M", "depth"),
)


class Record(BaseModel):
    """Base of what is stored; JSON has no NaN and no infinity, so neither is taken."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class Metrics(Record):
    """What a trial says about itself; None where it said nothing."""

    training_seconds: float | None = None
    """Seconds that counted against the budget."""
    total_seconds: float | None = None
    """Seconds from start to end."""
    peak_vram_mb: float | None = None
    """Peak memory in MiB."""
    mfu_percent: float | None = None
    """Share of the device's peak arithmetic."""
    total_tokens_M: float | None = None
    """Millions of tokens trained on."""
    num_steps: int | None = None
    """Updates."""
    num_params_M: float | None = None
    """Millions of parameters."""
    depth: int | None = None
    """Layers."""
    others: dict[str, str] = {}
    """Every other line of the summary, as text."""

    def number(self, name: str) -> float | None:
        """The number of a key of the summary, or `memory_gb`; None where there is none."""
        if name == "memory_gb":
            return None if self.peak_vram_mb is None else self.peak_vram_mb / 1024
        try:
            value = float(self.others[name] if name in self.others else getattr(self, name))
        except (AttributeError, TypeError, ValueError):
            return None
        return value if math.isfinite(value) else None

    def overruled(self, measured: "Metrics") -> "Metrics":
        """These, where somebody else has not measured the same."""
        ours, theirs = self.model_dump(exclude_none=True), measured.model_dump(exclude_none=True)
        return Metrics.model_validate({**ours, **theirs, "others": {**self.others, **measured.others}})


CrashKind = Literal["out of memory", "diverged", "timeout", "killed", "syntax", "interrupted", "refused", "error"]

Sealed = Literal["bubblewrap", "landlock", "open", "remote"]
Network = Literal["none", "open"]


class Crash(Record):
    """Why a trial gave no score."""

    kind: CrashKind
    """One word of the taxonomy."""
    why: str
    """One line: the signal, the deadline, the check, or the exception."""
    tail: str = ""
    """The end of the log that explains it."""


class Trial(Record):
    """One run of the training command."""

    commit: str
    """Full hash of the code that ran."""
    seed: int
    """Chosen by the tooling, never by the agent."""
    folder: str
    """Its folder, from the repository's root."""
    pid: int | None = None
    """Process group while it runs."""
    pid_started: str | None = None
    """Start time of that process, so that a reused number is not mistaken for it."""
    exit_code: int | None = None
    """None while it runs; negative for a signal."""
    score: float | None = None
    """The metric; None when there is none."""
    unrefereed: bool = False
    """The score is what the run itself printed: nobody else computed it."""
    sealed_score: float | None = None
    """The metric on the sealed split, measured by `confirm` alone."""
    metrics: Metrics = Metrics()
    crash: Crash | None = None
    """Why there is no score."""
    seconds: float | None = None
    """Wall time of training and scoring."""
    stamps: dict[str, float] = {}
    """Seconds from the launch to the `start` and `done` of the clock, by the supervisor's time."""
    sealed: Sealed = "open"
    """What confined it; `remote` where a launcher took it elsewhere."""
    network: Network = "open"
    """What it could reach."""


class Reasoning(Record):
    """The block before an experiment."""

    hypothesis: str = ""
    evidence: str = ""
    risk: str = ""


class Analysis(Record):
    """The block after an experiment."""

    result: str
    expected: Literal["better", "worse", "same"]
    why: str
    lesson: str


class Attempt(Record):
    """One idea tried: one commit, one or more trials, one verdict."""

    tag: str
    id: int
    """From 1, the baseline."""
    state: State
    commit: str
    """Full hash of the attempt."""
    parent: str
    """Champion when it began; the branch goes back there if it is discarded."""
    description: str
    reasoning: Reasoning = Reasoning()
    analysis: Analysis | None = None
    simpler: bool = False
    """Claimed to be a simplification."""
    once: bool = False
    """Decided by upstream's rule."""
    max_runs: int = 3
    device: str = ""
    """The device that it holds while it runs."""
    regime: str = ""
    """12 hex digits; only equal ones compare."""
    code: str = ""
    """sha256 of the code without comments and layout."""
    changed: list[str] = []
    """Constants and functions that it changed: the direction of the idea."""
    trials: list[Trial] = []
    """Of this commit."""
    champion_trials: list[Trial] = []
    """Of the parent, measured again to judge this attempt."""
    status: Status | None = None
    """None until it is decided."""
    reason: Literal["", "oversize", "guard"] = ""
    """What stopped a keep whatever the score: a limit or a guard of autoresearch.toml."""
    verdict: Verdict | None = None
    drift: str = ""
    """How the machine moved under the champion; then only its trials of this attempt count against it."""
    notices: list[str] = []
    """What the person should know: interruptions, limits, what was healed."""
    previous: str = ""
    """sha256 of the record before it."""
    started: str = ""
    """UTC, ISO 8601."""
    closed: str = ""

    @property
    def name(self) -> str:
        """Four digits."""
        return f"{self.id:04d}"

    def scores(self) -> list[float]:
        """Scores of its own commit."""
        return [trial.score for trial in self.trials if trial.score is not None]

    def most(self, name: str) -> float | None:
        """The largest number that its runs have for a key of the summary; None where none has it."""
        values = [value for one in self.trials if (value := one.metrics.number(name)) is not None]
        return max(values, default=None)


class Noted(Record):
    """What one kept change is worth."""

    id: int
    description: str
    effect: float | None = None
    """What is lost without it, in units of the metric; None when it could not be measured."""
    half: float | None = None
    """Half the 95% interval of the effect."""
    carries: bool | None = None
    """Whether the loss is more than noise, or every run without it breaks a limit."""
    oversize: str = ""
    """How many runs without it exceed which limit, whatever their score."""
    why: str = ""
    """Why it could not be measured."""


class Remeasurement(Record):
    """A `confirm` or an `ablate`."""

    kind: Literal["confirm", "ablate"]
    tag: str
    regime: str
    started: str
    closed: str = ""
    """When it ended; `cut off` if it was."""
    num_runs: int = 1
    """Runs of each configuration that are asked for."""
    num_planned: int = 0
    """Runs of all of them."""
    trials: dict[str, list[Trial]] = {}
    """By configuration: baseline and champion, or the number of the attempt left out."""
    oversize: str = ""
    """How many runs of the champion exceeded which limit: then nothing is confirmed, whatever the gain."""
    gains: dict[str, tuple[float, float]] = {}
    """By split: difference of champion and baseline, and half its 95% interval."""
    ratchet: float | None = None
    """Sum of the differences at which the steps were kept."""
    effects: list[Noted] = []

    @property
    def name(self) -> str:
        """Name of its record and of the folder of its trials."""
        return f"{self.kind}-{self.started.replace(':', '')}"


class Pins(Record):
    """What `setup` fixed for a tag: every attempt must match."""

    tag: str
    baseline: str
    """Commit of the baseline."""
    regime: str
    """12 hex digits."""
    frozen: dict[str, str]
    """sha256 of each frozen file."""
    tokens: dict[str, list[str]] = {}
    """Tokens and tokenizer: sha256, and by what a change shows without reading all of it."""
    settings: dict[str, str] = {}
    """Environment variables that change what is measured."""
    identity: dict[str, str] = {}
    """Data set, scale, platform, as prepare.py names them."""
    previous_tag: str = ""
    """Whose results.tsv was moved aside."""
    foreign: list[str] = []
    """Commits of strangers whose code came into this tag: its trials run confined or not at all."""
