"""Rows of steering as tests need them."""

from typing import Any

from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Final
from autoresearch.steer.space import Space

SPACE = Space(1e-4, 3e-2, lr_start=3e-4)


def plan(lr_peak: float = 3e-3, **changed: Any) -> Plan:
    """A good plan, changed."""
    usual = {"warmup": 0.05, "ramp": 0.1, "lr_start": min(3e-4, lr_peak), "decay": 0.5, "final": 0.1}
    return Plan.model_validate({**usual, "lr_peak": lr_peak, **changed})


def row(result: float | None = 1.2, number: int = 1, like: Plan | None = None, **changed: Any) -> Final:
    """A round that kept to its plan; one without a result diverged halfway."""
    made = like or plan()
    trace = [(place / 100, made.lr(place / 100)) for place in range(1, 101)]
    usual = {"arm": "none", "seed": number, "seconds": 10.0, "steps": 100}
    usual |= {"status": "ok", "lr": trace} if result is not None else {"status": "diverged", "lr": trace[:50]}
    return Final.model_validate({"round": number, "plan": made, "result": result, **usual, **changed})


def no_decay(lr_peak: float = 3e-3) -> Plan:
    """A plan that holds its peak almost to the end, and ends high."""
    return plan(lr_peak, shape="constant", final=0.5)
