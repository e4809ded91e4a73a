"""What a row of the table unfolds to, as plain values for the page, each kind of text within its budget."""

from collections.abc import Sequence
from typing import Any

from autoresearch.records import Attempt, Trial
from autoresearch.report import text
from autoresearch.report.entries import Entry
from autoresearch.report.evidence import Evidence
from autoresearch.report.story import moment, outcome_of

BUDGETS = {"diff": 550_000, "tail": 200_000, "words": 500_000}
"""Bytes of the page that all diffs, all ends of logs and all words of the agent may take."""
MOST_CHARS = {"diff": 40_000, "tail": 6_000, "words": 4_000}
"""Of one text."""
CURVE_POINTS = 20_000
"""Of all curves together."""
METRICS = ("training_seconds", "num_steps", "total_tokens_M", "mfu_percent", "peak_vram_mb", "num_params_M", "depth")


def points_per_curve(num_attempts: int) -> int:
    """How many points a curve may have for the page to stay small."""
    return max(20, min(150, CURVE_POINTS // max(1, num_attempts)))


def of_entries(entries: Sequence[Entry], evidence: dict[int, Evidence]) -> list[dict[str, Any]]:
    """One value for each entry, in order; what is empty is left out."""
    details = [_of_entry(entry, evidence.get(entry.attempt.id) if entry.attempt else None) for entry in entries]
    for kind, budget in BUDGETS.items():
        places = [(place, key) for place, one in enumerate(details) for key in one if _kind_of(key) == kind]
        texts = [text.clean(details[place][key]) for place, key in places]
        short = [one[: MOST_CHARS[kind]] for one in texts]
        for (place, key), whole, (kept, _) in zip(places, texts, text.fit(short, budget), strict=True):
            details[place][key] = kept
            if num_cut := len(whole) - len(kept):
                details[place].setdefault("cut", {})[key] = num_cut
    return [{key: value for key, value in one.items() if value not in ("", None, [], {})} for one in details]


def _kind_of(key: str) -> str:
    return key if key in ("diff", "tail") else "words" if key.startswith(("why_", "learnt_", "note_", "cell_")) else ""


def _of_entry(entry: Entry, evidence: Evidence | None) -> dict[str, Any]:
    value: dict[str, Any] = {"outcome": outcome_of(entry), "commit": entry.commit}
    value |= {f"cell_{text.line(name, 40)}": words for name, words in entry.cells.items() if not entry.attempt}
    if entry.reasoning:
        value["why_reasoning"] = entry.reasoning
    if len(entry.description) > 100:
        value["note_description"] = entry.description
    if entry.attempt:
        value |= _of_attempt(entry.attempt)
    if evidence:
        value |= {"diff": evidence.diff, "tail": evidence.tail, "curves": [_flat(one) for one in evidence.curves]}
    return value


def _of_attempt(attempt: Attempt) -> dict[str, Any]:
    value: dict[str, Any] = {f"why_{name}": words for name, words in attempt.reasoning.model_dump().items()}
    if attempt.analysis:
        value |= {f"learnt_{name}": words for name, words in attempt.analysis.model_dump().items()}
    found = attempt.verdict
    runs = [_of_trial(one, "run") for one in attempt.trials]
    runs += [_of_trial(one, "champion again") for one in attempt.champion_trials]
    return value | {
        "verdict": text.line(found.why, 400) if found else "",
        "parent": attempt.parent[:12],
        **_times(attempt),
        "changed": [text.line(part, 60) for part in attempt.changed[:12]],
        "terms": [name for name in ("simpler", "once") if getattr(attempt, name)],
        "note_notices": "\n".join(attempt.notices),
        "note_drift": attempt.drift,
        "runs": runs,
    }


def _times(attempt: Attempt) -> dict[str, str]:
    """When it began, in UTC, and how long it took."""
    begun, ended = moment(attempt.started), moment(attempt.closed)
    if not begun:
        return {}
    told = {"started": f"{begun:%Y-%m-%d %H:%M} UTC"}
    return told | ({"took": f"{(ended - begun).total_seconds() / 60:.1f} min"} if ended else {})


def _of_trial(one: Trial, what: str) -> dict[str, Any]:
    """A run: what it is, its seed, its score or why there is none, and what it said about itself."""
    crash = f"{one.crash.kind}: {one.crash.why}" if one.crash else ""
    value = {"what": what, "seed": one.seed, "score": one.score, "crash": text.line(crash, 300), "seconds": one.seconds}
    value |= {name: getattr(one.metrics, name) for name in METRICS}
    return {key: value for key, value in value.items() if value not in (None, "")}


def _flat(curve: Sequence[tuple[float, float]]) -> list[float]:
    """x and y by turns, whole numbers without a point."""
    return [int(one) if one == int(one) else one for point in curve for one in point]
