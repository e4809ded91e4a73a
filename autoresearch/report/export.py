"""A folder that tells the whole night without its repository: table, notes, records, diffs, curves, ends of logs."""

import json
import shutil
from pathlib import Path

from autoresearch.report import evidence
from autoresearch.report.sources import Found

CURVE_POINTS = 150


def copy(found: Found, folder: Path) -> int:
    """Write what `report --ledger FOLDER/results.tsv` needs to make the same page anywhere.

    Records are copied as they are; progress.jsonl is thinned and run.log cut to its end.

    Returns:
        How many records were copied.
    """
    source, records = found.source, folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for path, target in ((source.table, folder / "results.tsv"), (source.notes, folder / "notes.md")):
        if path.exists() and path.absolute() != target.absolute():
            shutil.copyfile(path, target)
    paths = [path for path in source.records.glob("*.json") if path.stem.isdigit() or path.stem == "pins"]
    paths += [source.records / f"{one.name}.json" for one in found.again]
    for path in paths:
        if path.absolute() != (records / path.name).absolute():
            shutil.copyfile(path, records / path.name)
    gathered = evidence.gather(found, CURVE_POINTS)
    for attempt in found.attempts:
        one = gathered[attempt.id]
        if one.diff:
            (records / f"{attempt.name}.diff").write_text(one.diff + "\n")
        for trial, curve in zip(attempt.trials, one.curves, strict=True):
            if curve:
                into = records / attempt.name / evidence.folder_of(found, attempt.name, trial).name
                into.mkdir(parents=True, exist_ok=True)
                rows = [json.dumps({"elapsed_s": x, "metrics": {"train_loss": y}}) for x, y in curve]
                (into / "progress.jsonl").write_text("\n".join(rows) + "\n")
        if one.tail and attempt.trials:
            into = records / attempt.name / evidence.folder_of(found, attempt.name, attempt.trials[-1]).name
            into.mkdir(parents=True, exist_ok=True)
            (into / "run.log").write_text(one.tail + "\n")
    return len(paths)
