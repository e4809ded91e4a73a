"""One trial: lay out its folder, run the training command, have the submission scored."""

import ast
import importlib.util
import json
import math
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from autoresearch import process, referee, summary
from autoresearch.attempt.campaign import Campaign
from autoresearch.process import Deadline, Launch
from autoresearch.records import Attempt, Crash, State, Trial

START_UP_S = 240.0
GRACE_S = 60.0
LEDGER = {"results", "results.tsv", "notes.md", "notes-archive.md"}  # no business of a trial
NEEDED = ("train.py", "prepare.py")


def lay_out(campaign: Campaign, commit: str, folder: Path) -> Path:
    """Fill `code/` of a new trial folder with the files of a commit; returns where the command runs.

    This repository's trials get train.py and prepare.py alone; those of another arena every tracked file, and links to
    what lies untracked beside them (data, mostly).
    """
    shutil.rmtree(folder, ignore_errors=True)
    code = folder / "code"
    code.mkdir(parents=True)
    paths = list(NEEDED) if campaign.arena.own else []
    campaign.repo.export(commit, paths, code)
    if not campaign.arena.own:
        for entry in campaign.repo.root.iterdir():
            if not entry.name.startswith(".") and entry.name not in LEDGER and not (code / entry.name).exists():
                (code / entry.name).symlink_to(entry)
    return code


def run(campaign: Campaign, attempt: Attempt, trial: Trial, save: Callable[[Attempt], None]) -> None:
    """Train once and score; every step is in the record before the next begins.

    Args:
        attempt: the record to which `trial` belongs.
        trial: filled in place.
        save: puts the record on disk.
    """
    folder = campaign.repo.root / trial.folder
    code = lay_out(campaign, trial.commit, folder)
    try:
        launch = Launch(command_of(campaign), code, environment_of(campaign, trial, folder), folder / "run.log")
    except (FileNotFoundError, PermissionError) as error:
        trial.crash = Crash(kind="error", why=f"could not be started: {error}")
        save(attempt)
        return
    try:
        trial.pid, trial.pid_started = launch.pid, launch.started
        attempt.state = State.RUNNING
        save(attempt)
        bar = Bar(campaign, folder, attempt.name)
        ended = launch.wait(deadlines(campaign, folder), bar.tick)
        bar.close()
        trial.exit_code, trial.seconds = ended.exit_code, round(ended.seconds, 2)
        if ended.timeout:
            trial.crash = summary.explain(read_log(folder), ended.exit_code, ended.timeout)
        save(attempt)  # from here on only the score is missing, and healing finds it
        settle(campaign, trial)
        trial.seconds = round(time.monotonic() - launch.begun, 2)
    except KeyboardInterrupt:
        launch.stop()
        trial.crash = Crash(kind="interrupted", why="stopped by the person", tail=summary.tail(read_log(folder)))
        save(attempt)
        raise
    except BaseException:
        launch.stop()
        raise
    attempt.state = State.SCORED
    save(attempt)


def settle(campaign: Campaign, trial: Trial) -> None:
    """Read the log of a trial that has ended and score it, or say why there is no score, in place.

    A trial whose exit code nobody saw, because the supervisor died first, counts as trained if it saved a submission.
    """
    folder = campaign.repo.root / trial.folder
    text = read_log(folder)
    trial.metrics = summary.parse(text)
    has_saved = (folder / "submission" / "config.json").exists()
    if trial.crash:
        return
    if trial.exit_code is None and not has_saved:
        why = "the supervisor was ended before the trial was"
        trial.crash = Crash(kind="interrupted", why=why, tail=summary.tail(text))
    elif trial.exit_code:
        trial.crash = summary.explain(text, trial.exit_code)
    elif campaign.arena.own and (ran_in := trial.metrics.others.get("regime", "")) not in ("", campaign.pins.regime):
        why = f"ran in regime {ran_in} but the tag's is {campaign.pins.regime}: another device, data or lock file?"
        trial.crash = Crash(kind="refused", why=why, tail=summary.tail(text))
    elif isinstance(result := score_of(campaign, folder, text), Crash):
        trial.crash = result
    else:
        trial.score = result
        if campaign.arena.own or campaign.arena.score_command:
            with open(folder / "run.log", "a") as file:
                file.write(f"\n{campaign.arena.metric.name}: {result:.6f}\n")


def end_remains(campaign: Campaign, trial: Trial) -> None:
    """End what is left of a trial whose supervisor is gone."""
    folder = campaign.repo.root / trial.folder
    process.end_group(trial.pid or 0, trial.pid_started or "", str(folder))  # 0: by its mark alone


def score_of(campaign: Campaign, folder: Path, text: str, split: str = "val") -> float | Crash:
    """The metric of a finished trial: by the referee here, by its own command or log in another arena."""
    arena = campaign.arena
    variables = process.environment(campaign.variables, {}, arena.sandbox.env)
    if arena.score_command:
        command = [part.format(python=sys.executable, folder=folder) for part in arena.score_command]
        return referee.run_scorer(command, folder / "code", folder, variables, arena.metric, referee.SCORING_S)
    if arena.own:
        return referee.score(campaign.repo.root, folder, variables, split)
    value = arena.metric.find(text)
    if value is None or not math.isfinite(value):
        return Crash(kind="error", why=f"the log has no finite {arena.metric.name}", tail=summary.tail(text))
    return value


def command_of(campaign: Campaign) -> list[str]:
    """The training command."""
    return [part.format(python=sys.executable) for part in campaign.arena.command]


def environment_of(campaign: Campaign, trial: Trial, folder: Path) -> dict[str, str]:
    """The trial contract's variables and a short list of others."""
    own = {"SUPERVISED": "1", "TRIAL_DIR": str(folder), "SEED": str(trial.seed)}
    extra = {f"AUTORESEARCH_{name}": value for name, value in own.items()} | {"PYTHONUNBUFFERED": "1"}
    return process.environment(campaign.variables, extra, campaign.arena.sandbox.env)


def deadlines(campaign: Campaign, folder: Path) -> list[Deadline]:
    """Start-up, budget, and the whole."""
    if campaign.arena.timeout_s:
        return [Deadline("the trial", campaign.arena.timeout_s)]
    if not campaign.arena.own:
        return [Deadline("the trial", 2 * campaign.budget_s + START_UP_S)]

    def has_begun() -> bool:
        return (folder / "progress.jsonl").exists()

    def has_trained() -> bool:
        return (folder / "submission").exists()

    return [
        Deadline("start-up", START_UP_S, has_begun),
        Deadline("training", START_UP_S + campaign.budget_s + GRACE_S, has_trained),
        Deadline("the trial", START_UP_S + 2 * campaign.budget_s + GRACE_S),
    ]


def read_log(folder: Path) -> str:
    """The run's log; empty when it never printed."""
    try:
        return (folder / "run.log").read_text(errors="replace")
    except OSError:
        return ""


class Bar:
    """A live line on a terminal: step, loss, progress, time left."""

    def __init__(self, campaign: Campaign, folder: Path, name: str):
        self.show, self.path, self.name = campaign.show, folder / "progress.jsonl", name
        self.shown_s = -1.0

    def tick(self, elapsed_s: float) -> None:
        """Show the last report, at most twice a second."""
        if not self.show or elapsed_s - self.shown_s < 0.5:
            return
        self.shown_s = elapsed_s
        self.show(describe_progress(last_report(self.path), f"attempt {self.name}", elapsed_s))

    def close(self) -> None:
        """End the line."""
        if self.show and self.shown_s >= 0:
            self.show("")


def describe_progress(report: dict, name: str, elapsed_s: float) -> str:
    """One line about a trial under way; whatever the trial reported that is no number is left out."""
    metrics = report.get("metrics")
    found = {**report, **(metrics if isinstance(metrics, dict) else {})}
    numbers = {key: value for key, value in found.items() if isinstance(value, int | float) and math.isfinite(value)}
    progress = min(1.0, max(0.0, numbers.get("progress", 0.0)))
    spent_s = numbers.get("elapsed_s", elapsed_s)
    words = [
        name,
        f"step {numbers.get('step', 0):.0f}",
        f"loss {numbers['train_loss']:.4f}" if "train_loss" in numbers else "",
        f"{numbers['tokens_per_s']:,.0f} tokens/s" if "tokens_per_s" in numbers else "",
        f"{spent_s * (1 / progress - 1):.0f} s left" if progress > 0.01 else f"{elapsed_s:.0f} s",
    ]
    return f"[{'#' * round(20 * progress):<20}] {', '.join(filter(None, words))}"


def last_report(path: Path) -> dict:
    """The last whole line of progress.jsonl that is an object, from the end of the file."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            rows = file.read().split(b"\n")
    except OSError:
        return {}
    for row in reversed(rows[:-1]):
        try:
            report = json.loads(row, parse_int=float)  # what is too large becomes infinite, and is left out
        except (ValueError, RecursionError):
            continue
        if isinstance(report, dict):
            return report
    return {}


def remove_weights(folder: Path) -> None:
    """Free what only a champion needs."""
    for name in ("submission", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)


def missing_import(source: str, local: set[str]) -> str:
    """Name of a module that a file imports unconditionally and that is not there; empty when all are.

    Imports within `try`, `if` or a function may be meant to fail, and are left to the run.

    Args:
        local: top-level modules that lie beside the file.
    """
    for node in ast.parse(source).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            try:
                found = top in local or importlib.util.find_spec(top) is not None
            except (ImportError, ValueError):
                found = False
            if not found:
                return name
    return ""
