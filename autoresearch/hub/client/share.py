"""What an attempt tells a hub: the idea that it claims, then each run as a line and as a structured result, its commit.

The hub hears of an attempt and decides nothing about one. Every message is made from the record alone, so that it is
the same message whenever it is made.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch import knobs, signals
from autoresearch.hub.client.queue import PROMISE, Item
from autoresearch.hub.result_line import ResultLine, format_line, mark, platform_name
from autoresearch.ledger import Ledger
from autoresearch.records import Attempt, Crash, Status, Trial

METRIC = "val_bpb"
TOLD = (Status.KEEP, Status.DISCARD, Status.CRASH)
KEY_CHARS = 160
DESCRIPTION_CHARS = 2000  # a hub takes no more
WHY_CHARS = 80


def short_platform(platform: str) -> str:
    """The platform of prepare.py as posts name it: H100 for H100x1, M4-Max for M4-Maxx16, EPYCx2 as it is."""
    name, _, count = platform.rpartition("x")
    is_one = count == "1" or re.fullmatch(r"M\d+(-\w+)?", name)  # of Apple's chips, the name tells the cores
    return platform_name(name if name and count.isdecimal() and is_one else platform)


def claim_key(before: str, after: str, description: str, base: str) -> str:
    """What makes two ideas one: the same constants at the same values, or the same words, on the same train.py.

    Args:
        before: train.py of the champion.
        after: train.py of the attempt.
        base: object name of `before`.
    """
    changed = knobs.changed_parts(before, after)
    found = knobs.read(after) if changed else {}
    if changed and all(part in found for part in changed):
        idea = ", ".join(f"{part}={found[part].value!r}" for part in changed)
    else:
        idea = " ".join(re.findall(r"[^\W_]+", description.casefold()))
    if len(idea) > KEY_CHARS:
        idea = f"{idea[: KEY_CHARS - 13]} {knobs.text_digest(idea)[:12]}"
    return f"{idea} on {base[:12]}"


def promise(tag: str, after: int, claim: int | None) -> Item:
    """The promise to tell of the first attempt beyond a number, once it is closed; `Item.to` says whom."""
    return Item(key=f"{tag} after {after:04d}", kind=PROMISE, data={"tag": tag, "after": after, "claim": claim})


def fulfil(ledger: Ledger, after: int, claim: int | None) -> list[Item] | None:
    """What such a promise becomes; None before the attempt is closed."""
    number = next((one for one in ledger.numbers() if one > after), None)
    if number is None:
        return None
    attempt = ledger.read(number)
    return messages(ledger, attempt, claim) if attempt.closed else None


def messages(ledger: Ledger, attempt: Attempt, claim: int | None) -> list[Item]:
    """All that a hub is told of a closed attempt; of one that nobody judged, only that its claim is free."""
    name = f"{attempt.tag}/{attempt.name}/{attempt.commit}"
    if attempt.status not in TOLD or signals.is_cut_off(attempt):
        return [] if claim is None else [Item(key=f"{name} release", kind="release", data={"claim": claim})]
    platform = short_platform(ledger.pins().identity.get("platform", ""))
    runs = told_runs(attempt)
    told = [result_of(attempt, one, platform) for one in runs]
    keys = [f"{name}/{place}" for place in range(1, len(runs) + 1)]
    items = [
        Item(key=key, kind="result", data={**body, "idempotency_key": key, **({"claim": claim} if claim else {})})
        for key, body in zip(keys, told, strict=True)
    ]
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    why = why_of(crash) if crash and attempt.status == Status.CRASH else ""
    content = "\n".join(line_of(body, why) for body in told)
    items.append(Item(key=f"{name} line", kind="post", data={"channel": "results", "content": content}))
    if attempt.status == Status.KEEP:
        items.append(Item(key=f"{name} push", kind="push", data={"commit": attempt.commit}))
    return items


def told_runs(attempt: Attempt) -> Sequence[Trial]:
    """The runs that have a score; of a crash, the one that crashed."""
    scored = [one for one in attempt.trials if one.score is not None]
    return scored or [one for one in attempt.trials if one.crash][:1]


def result_of(attempt: Attempt, run: Trial, platform: str) -> dict[str, Any]:
    """One run as the hub stores it."""
    metrics = run.metrics
    return {
        "commit": attempt.commit,
        "platform": platform,
        "metric": METRIC,
        "value": run.score,
        "status": str(attempt.status),
        "vram_gb": None if metrics.peak_vram_mb is None else round(metrics.peak_vram_mb / 1024, 2),
        "seconds": metrics.training_seconds,
        "steps": metrics.num_steps,
        "tokens_m": metrics.total_tokens_M,
        "seed": run.seed if run.folder else None,  # what was refused unread never ran
        "description": attempt.description[:DESCRIPTION_CHARS],
        "regime": attempt.regime,
    }


def line_of(result: Mapping[str, Any], why: str = "") -> str:
    """The same as the line that agents read.

    Args:
        why: of a crash, in few words.
    """
    return format_line(
        ResultLine(
            commit=result["commit"][:7],
            platform=result["platform"],
            val_bpb=result["value"],
            vram_gb=None if result["value"] is None else result["vram_gb"],
            description=mark(result["description"], Status(result["status"]), why),
        )
    )


def why_of(crash: Crash) -> str:
    """A crash in few words, which close no bracket."""
    why = crash.why if crash.kind in ("error", "refused", "syntax") else crash.kind
    return " ".join(why.replace("(", " ").replace(")", " ").split())[:WHY_CHARS]
