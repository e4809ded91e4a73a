"""A plan that may come next, with what is expected of it."""

from dataclasses import dataclass
from typing import Literal

from autoresearch.steer.plan import Plan

Kind = Literal["fill", "improve", "contrast", "explore", "repeat", "retreat"]


@dataclass(frozen=True)
class Choice:
    """A plan that may come next."""

    kind: Kind
    """fill the space evenly; improve on the best; contrast: the best plan changed in one dimension alone; explore what
    is least known; repeat a plan that will be reported; retreat from peaks that all diverged."""
    plan: Plan
    why: str
    mean: float | None = None
    """Expected result; None where nothing is known."""
    error: float | None = None
    """Standard deviation of that."""
    p_diverge: float | None = None
