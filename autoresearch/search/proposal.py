"""The values that policies, engine, executors and store exchange; all of them are JSON."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from autoresearch.records import Record
from autoresearch.search.space import Scalar

BASELINE = "baseline"
Decision = Literal["keep", "discard"]


class TrialStatus(StrEnum):
    """How a trial ended, as results.tsv spells it."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OOM = "oom"
    KILLED = "killed"
    CANCELLED = "cancelled"
    """Asked to leave because it was hopeless; no failure."""
    INVALID_METRIC = "invalid_metric"
    """Ended well, but without a finite number."""
    REJECTED = "rejected"
    """A diff that never ran."""


FAILURES = frozenset(TrialStatus) - {TrialStatus.OK, TrialStatus.CANCELLED}


class Proposal(Record):
    """One idea: parameters, a diff, or both."""

    params: dict[str, Scalar] = Field(default_factory=dict)
    """Empty: the target's own defaults."""
    diff: str = ""
    """Unified diff against the commit `History.tip`; empty: the code as it is there."""
    source: str
    """Who proposed it: `baseline`, the policy's type, or how it came to be, as in `llm_fallback`."""
    rationale: str = ""
    """Why, in a line or two; becomes the description."""
    rejected: str = ""
    """Why it must not run; such a proposal is recorded and counts as a failure."""
    notes: dict[str, object] = Field(default_factory=dict)
    """What its policy wants to find again in `tell`: draws, probabilities, tokens."""

    @property
    def description(self) -> str:
        """One line."""
        said = self.rationale or ", ".join(f"{name}={value}" for name, value in self.params.items()) or self.source
        return " ".join(said.split())


class Report(Record):
    """One call of emit_progress."""

    step: float
    step_target: float | None = None
    elapsed_s: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    """The finite ones."""


class Result(Record):
    """A trial that is over."""

    number: int
    """From 1, in order of submission."""
    proposal: Proposal
    status: TrialStatus
    metric: float | None = None
    """The objective; None unless the status is ok."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """All numbers that it told."""
    decision: Decision = "discard"
    reason: str = ""
    """Why it failed, was cancelled, or is not kept."""
    seconds: float = 0.0
    reports: list[Report] = Field(default_factory=list)
    """Its progress, thinned; the last report is always there."""
    tail: str = ""
    """The end of its log; of a failed trial, what explains it."""
    commit: str = ""
    """Hash of the code that ran; empty outside a repository."""


class History(Record):
    """What a policy may look at when it proposes."""

    results: list[Result] = Field(default_factory=list)
    """Trials that are over, in order of submission."""
    running: list[Proposal] = Field(default_factory=list)
    """Trials that were proposed and are not over."""
    best: Result | None = None
    """The last one kept."""
    tip: str = ""
    """Commit that diffs are made against: the base of the campaign with the diff that was kept last."""
    source: str = ""
    """Text of the mutable file at `tip`; empty where there is none."""
