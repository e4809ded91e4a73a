"""Has a submission scored by a process of its own, after the trial has ended.

Today that process runs the candidate's model without a sandbox: it proves that the number belongs to the saved weights,
and not that the candidate's code left the scorer alone.
"""

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoresearch import process, summary
from autoresearch.arena import Metric
from autoresearch.records import Crash

SCORING_S = 600.0


def score(
    root: Path, folder: Path, variables: Mapping[str, str], split: str = "val", deadline_s: float = SCORING_S
) -> float | Crash:
    """Score the submission in a trial's folder with the pristine prepare.py of the repository.

    Returns:
        Bits per byte; or why there is none.
    """
    command = [sys.executable, "prepare.py", "--score", str(folder), "--split", split]
    return run_scorer(command, root, folder, variables, Metric(name=f"{split}_bpb"), deadline_s)


def run_scorer(
    command: Sequence[str], cwd: Path, folder: Path, variables: Mapping[str, str], metric: Metric, deadline_s: float
) -> float | Crash:
    """Run a command that prints the metric, its output in score.log of the trial's folder."""
    log = folder / "score.log"
    log.unlink(missing_ok=True)
    env = {**variables, "AUTORESEARCH_SUPERVISED": "", process.MARK: str(folder)}
    try:
        ended = process.Launch(command, cwd, env, log).wait([process.Deadline("scoring", deadline_s)])
    except (OSError, subprocess.SubprocessError) as error:
        return Crash(kind="error", why=f"{command[0]}: {error}")
    text = log.read_text(errors="replace")
    value = metric.find(text)
    if ended.exit_code == 0 and value is not None and math.isfinite(value):
        return value
    crash = summary.explain(text, ended.exit_code, ended.timeout)
    return crash.model_copy(update={"why": f"scoring: {crash.why}"})
