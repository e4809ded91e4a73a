"""What a campaign writes down, one JSON line each: decisions, rollbacks, final results; and what starts a round."""

from typing import Any, Literal

from pydantic import Field

from autoresearch.records import Record
from autoresearch.steer.plan import Plan

DECISIONS = "decisions_log.jsonl"
ROLLBACKS = "rollback_log.jsonl"
FINALS = "final_results_log.jsonl"
LLM = "llm_log.jsonl"
MOST_POINTS = 200  # of a trace in a final row

RoundStatus = Literal["ok", "diverged", "infra_fail", "aborted", "budget"]
Trace = list[tuple[float, float]]
"""Pairs of progress in 0..1 and a value."""


class Start(Record):
    """What the memory hands to a round."""

    plan: Plan
    brief: str = ""
    """At most 150 words for a controller that reads."""
    memory: dict[str, Any] = Field(default_factory=dict)
    """How the plan was chosen."""


BASELINE_ARMS = ("baseline:", "plain:")  # how the arms of a sweep begin: guarded, and without the guard


class Final(Record):
    """A line of final_results_log.jsonl: one round that is over, however it ended."""

    round: int
    """From 1."""
    arm: str
    """llm, rule, random, none, replay; of a baseline `baseline:` and its name, as `baseline:cosine10`."""
    seed: int
    status: RoundStatus
    """ok; diverged (lost for good, rollbacks to no avail); infra_fail (not the learning rate's fault); aborted (by the
    controller); budget (the time for one round ran out)."""
    plan: Plan
    """As the round began."""
    result: float | None = None
    """Score: less is better; None where there is none."""
    metric: str = "val_bpb"
    steps: int = 0
    """Updates, those that a rollback undid among them."""
    seconds: float = 0.0
    """From the first launch to the end, scoring left out."""
    num_alarms: int = 0
    num_rollbacks: int = 0
    lr: Trace = Field(default_factory=list)
    """As applied, of the updates that the result comes from."""
    undone: Trace = Field(default_factory=list)
    """The same of those that a rollback undid."""
    loss: Trace = Field(default_factory=list)
    """Smoothed."""
    schedule_report: dict[str, str] = Field(default_factory=dict)
    """How the trainer's schedule ended, in its words; keys without `schedule_`."""
    memory: dict[str, Any] = Field(default_factory=dict)
    """How the plan was chosen."""
    why: str = ""
    """Where the status is not ok, the reason."""


class Decision(Record):
    """A line of decisions_log.jsonl: what was asked for, what the guard let pass, what the optimizer got."""

    round: int
    arm: str
    seed: int
    branch: str
    step: int
    """At which it was asked."""
    seq: int
    """Of the command; -1 where none was sent."""
    source: str
    """controller or guard."""
    action: str
    """keep, scale, decay, abort; of the guard halve or note."""
    requested: float | None = None
    """Factor that was asked for."""
    guarded: float | None = None
    """Factor that was let pass."""
    lr_requested: float | None = None
    """Learning rate at `effective_step` if all had been granted."""
    lr_guarded: float | None = None
    """The same as it was granted."""
    lr_applied: float | None = None
    """What the optimizer had; None where it was never acknowledged."""
    effective_step: int | None = None
    applied_step: int | None = None
    latency_s: float = 0.0
    """From the question to the answer."""
    parse_status: str = "ok"
    """ok, superseded (by the guard), late (no answer in time; with an `applied_step`, the trainer read it after its
    step), or the status of the failed question, as invalid or timeout."""
    fallback: bool = False
    """Whether the plan went on because there was no usable answer."""
    why: str = ""


class Rollback(Record):
    """A line of rollback_log.jsonl: a branch that ended, and the one that took its place."""

    round: int
    arm: str
    seed: int
    number: int
    """In its round, from 1."""
    kind: Literal["numeric", "infra"]
    why: str
    step: int
    """The last one that was reported."""
    lr_before: float | None
    """At that step, in the optimizer."""
    checkpoint: str | None
    """Name of the file that the new branch begins with; None: from the start."""
    from_branch: str
    to_branch: str | None
    """None: the round was given up."""
    lr_planned: float | None = None
    """What the new branch must begin with."""
    lr_applied: float | None = None
    """What its optimizer had."""
