"""Where a campaign stands, as one JSON value: for status, checkpoint.json and the closing line of a run."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from autoresearch.search.config import Config
from autoresearch.search.guards import Stop
from autoresearch.search.spans import CALL, Span
from autoresearch.search.store import Entry

Facts = dict[str, Any]
COUNTED = ("attempts", "prompt_tokens", "completion_tokens", "cost_usd")


def overview(config: Config, entries: Sequence[Entry], spent_s: float, spans: Iterable[Span]) -> Facts:
    """Counts, the best trial, and where the rest is found."""
    results = [one.result for one in entries if one.result]
    counts = Counter(str(result.status) for result in results)
    best = max((one for one in entries if one.version), key=lambda one: one.version or 0, default=None)
    return {
        "name": config.name,
        "policy": config.policy.type,
        "objective": config.objective.model_dump(),
        "trials": len(results),
        "running": sum(one.state == "running" for one in entries),
        "queued": sum(one.state == "queued" for one in entries),
        "counts": dict(sorted(counts.items())),
        "kept": sum(result.decision == "keep" for result in results),
        "best": best and describe(best),
        "seconds": round(spent_s, 3),
        "llm": bill([one for one in spans if one.name == CALL]),
        "store": str(config.store_path),
    }


def bill(calls: Sequence[Span]) -> Facts | None:
    """What the questions to a language model cost, the failed ones too, as its server counts; None without any."""
    if not calls:
        return None
    counted = {name: sum(one.args.get(name, 0) for one in calls) for name in COUNTED}
    failures = sum(one.args.get("status") != "ok" for one in calls)
    seconds = round(sum(one.seconds for one in calls), 3)
    return {"calls": len(calls), "failures": failures, **counted, "seconds": seconds}


def describe(entry: Entry) -> Facts:
    """One trial in short."""
    result = entry.result
    facts: Facts = {"trial": entry.number, "state": entry.state, "source": entry.proposal.source}
    facts |= {"params": entry.proposal.params, "description": entry.proposal.description[:200]}
    facts |= {"has_diff": bool(entry.proposal.diff), "commit": entry.short_commit(12)}
    if result:
        facts |= {"status": result.status, "decision": result.decision, "metric": result.metric}
        facts |= {"reason": result.reason, "seconds": result.seconds, "version": entry.version}
    return facts


def closing(config: Config, entries: Sequence[Entry], spent_s: float, spans: Iterable[Span], stop: Stop) -> Facts:
    """The closing line of a run."""
    return {"stop_reason": stop.reason, "detail": stop.detail, **overview(config, entries, spent_s, spans)}


def live(entries: Sequence[Entry], last_report: Callable[[int], Facts], now: float) -> list[Facts]:
    """Trials that run, with what they last reported."""
    return [
        {
            **describe(one),
            "for_s": round(now - one.begun, 1),
            "devices": one.devices,
            "progress": last_report(one.number),
        }
        for one in entries
        if one.state == "running"
    ]
