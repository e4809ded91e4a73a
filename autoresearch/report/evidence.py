"""What explains one attempt beyond its record: the diff, the training curves, the end of the log."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.attempt.trial import describe_progress, last_report
from autoresearch.errors import AutoresearchError
from autoresearch.records import Trial
from autoresearch.report import text
from autoresearch.report.sources import Found
from autoresearch.summary import tail

LINE_BYTES = 4096
TAIL_BYTES = 1 << 14
TAIL_LINES = 14
DIFF_BYTES = 1 << 18
DECODER = json.JSONDecoder(parse_int=float)  # what is too large becomes infinite, and is left out
HEADERS = ("diff --git ", "index ")
Curve = list[tuple[float, float]]
"""Seconds or steps, and the loss."""


@dataclass
class Evidence:
    """Of one attempt; any part may be empty."""

    diff: str = ""
    curves: list[Curve] = field(default_factory=list)
    """One for each trial of its own."""
    tail: str = ""


def gather(found: Found, points: int) -> dict[int, Evidence]:
    """The evidence of all attempts by number.

    Args:
        points: of a curve, about.
    """
    gathered = {attempt.id: Evidence() for attempt in found.attempts}
    with ThreadPoolExecutor(1) as beside:  # git has its own process, and the files are many
        told = beside.submit(diffs, found)
        _read_folders(found, gathered, points)
        for number, diff in told.result().items():
            gathered[number].diff = diff
    return gathered


def _read_folders(found: Found, gathered: dict[int, Evidence], points: int) -> None:
    """Curves and ends of logs of all trials."""
    for attempt in found.attempts:
        folders = [folder_of(found, attempt.name, one) for one in attempt.trials]
        gathered[attempt.id].curves = [curve(folder / "progress.jsonl", points) for folder in folders]
        crash = next((one.crash for one in attempt.trials if one.crash), None)
        if crash and crash.tail:
            gathered[attempt.id].tail = text.clean(crash.tail)
        elif folders:
            gathered[attempt.id].tail = text.clean(tail(_end(folders[-1] / "run.log"), TAIL_LINES))


def diffs(found: Found) -> dict[int, str]:
    """What each attempt changed: NNNN.diff beside its record, else from git."""
    known: dict[int, str] = {}
    for attempt in found.attempts:
        path = found.source.records / f"{attempt.name}.diff"
        if path.exists():
            with open(path, "rb") as file:
                known[attempt.id] = file.read(DIFF_BYTES).decode(errors="replace")
    asked = [one for one in found.attempts if one.id not in known]
    if found.source.repo and asked:
        try:
            pieces = found.source.repo.diffs([(one.parent, one.commit) for one in asked])
        except AutoresearchError as error:
            found.problems.append(f"no diffs: {text.line(str(error))}")
            pieces = [""] * len(asked)
        known |= {one.id: piece[:DIFF_BYTES] for one, piece in zip(asked, pieces, strict=True)}
    return {one.id: _without_headers(text.clean(known.get(one.id, ""))) for one in found.attempts}


def _without_headers(diff: str) -> str:
    return "\n".join(line for line in diff.split("\n") if not line.startswith(HEADERS)).strip("\n")


def folder_of(found: Found, name: str, trial: Trial) -> Path:
    """A trial's folder below the records, wherever those were copied to."""
    run = Path(trial.folder).name
    return found.source.records / name / (run if run.isdigit() else "0")


def curve(path: Path, points: int) -> Curve:
    """Loss over training seconds, or over steps: some lines of progress.jsonl, evenly spaced, and the last."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            places = sorted({size * number // points for number in range(points)} | {max(0, size - LINE_BYTES)})
            chunks = [os.pread(file.fileno(), LINE_BYTES, place) for place in places]
    except OSError:
        return []
    rows = [row for place, chunk in zip(places, chunks, strict=True) if (row := _whole_line(chunk, place == 0))]
    if chunks and b"\n" in chunks[-1]:
        rows.append(chunks[-1][: chunks[-1].rindex(b"\n")].rpartition(b"\n")[2])
    found = {point[0]: point for row in rows if (point := _point(row))}
    return [found[x] for x in sorted(found)]


def _whole_line(chunk: bytes, is_first: bool) -> bytes:
    """The first line of a chunk that is certainly whole."""
    begin = 0 if is_first else chunk.find(b"\n") + 1
    end = chunk.find(b"\n", begin)
    return chunk[begin:end] if end > 0 and (is_first or begin) else b""


def _point(row: bytes) -> tuple[float, float] | None:
    """Where a report stands and what it measured."""
    try:
        report = DECODER.decode(row.decode(errors="replace"))
        metrics = report.get("metrics") or {}
        x = report.get("elapsed_s", report.get("step"))
        y = metrics.get("train_loss", next(iter(metrics.values()), None))
        point = float(f"{float(x):.5g}"), float(f"{float(y):.4g}")  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return point if all(map(math.isfinite, point)) else None


def _end(path: Path) -> str:
    """The last bytes of a file; empty when it is not there."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def under_way(found: Found) -> dict | None:
    """How far the trial has come that ran last, of an attempt or of what is measured again; None: none is open."""
    attempt = found.attempts[-1] if found.attempts else None
    again = found.again[-1] if found.again and not found.again[-1].closed else None
    if again:
        runs = [one for trials in again.trials.values() for one in trials]
        name, what = again.name, f"{again.kind}: run {len(runs)} of {again.num_planned}"
    elif attempt and attempt.state in ("started", "running", "scored"):
        runs = [*attempt.trials, *attempt.champion_trials]
        name, what = attempt.name, f"attempt {attempt.name}, run {len(runs)}: {text.line(attempt.description, 120)}"
    else:
        return None
    if not runs:
        return {"what": what, "line": "", "progress": 0.0, "curve": []}
    latest = next((one for one in reversed(runs) if one.score is None and not one.crash), runs[-1])
    path = folder_of(found, name, latest) / "progress.jsonl"
    report = last_report(path)
    share = report.get("progress")
    share = float(share) if isinstance(share, int | float) and math.isfinite(share) else 0.0
    line = describe_progress(report, "", 0.0).partition("]")[2].strip() if report else "starting"
    return {"what": what, "line": line, "progress": min(1.0, max(0.0, share)), "curve": curve(path, 80)}
