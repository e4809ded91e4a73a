"""One trial: lay out its folder, run the training command, have the submission scored."""

import ast
import importlib.util
import json
import math
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from autoresearch import process, referee, summary
from autoresearch.attempt.campaign import Campaign
from autoresearch.process import Deadline, Ended, Launch
from autoresearch.records import Attempt, Crash, State, Trial

START_UP_S = 240.0
GRACE_S = 60.0
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
    with tempfile.TemporaryFile() as archive:
        campaign.repo.archive(commit, paths, archive)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(code, filter="data")
    if not campaign.arena.own:
        for entry in campaign.repo.root.iterdir():
            if not entry.name.startswith(".") and entry.name != "results" and not (code / entry.name).exists():
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
    try:
        code = lay_out(campaign, trial.commit, folder)
        launch = Launch(command_of(campaign), code, environment_of(campaign, trial, folder), folder / "run.log")
    except OSError as error:
        trial.crash = Crash(kind="error", why=f"could not be started: {error}")
        save(attempt)
        return
    trial.pid, trial.pid_started = launch.pid, launch.started
    attempt.state = State.RUNNING
    try:
        save(attempt)
        bar = Bar(campaign, folder, attempt.name)
        ended = launch.wait(deadlines(campaign, folder), bar.tick)
        bar.close()
    except KeyboardInterrupt:
        launch.stop()
        trial.crash = Crash(kind="interrupted", why="stopped by the person", tail=log_tail(folder))
        save(attempt)
        raise
    except BaseException:
        launch.stop()
        raise
    finish(campaign, trial, ended)
    attempt.state = State.SCORED
    save(attempt)


def finish(campaign: Campaign, trial: Trial, ended: Ended | None) -> None:
    """Read the log of a trial that has ended and score its submission, in place.

    Args:
        ended: None when the supervisor died meanwhile: then a saved submission counts as the end of training.
    """
    folder = campaign.repo.root / trial.folder
    text = read_log(folder)
    trial.metrics = summary.parse(text)
    exit_code = ended.exit_code if ended else None
    trial.exit_code, trial.seconds = exit_code, round(ended.seconds, 2) if ended else None
    trained = exit_code == 0 or (ended is None and (folder / "submission" / "config.json").exists())
    if not trained or (ended and ended.timeout):
        known = ended is not None
        lost = Crash(kind="interrupted", why="the supervisor was ended before the trial was", tail=summary.tail(text))
        trial.crash = summary.explain(text, exit_code, ended.timeout if ended else "") if known else lost
    else:
        result = score_of(campaign, folder, text)
        if isinstance(result, Crash):
            trial.crash = result
        else:
            trial.score = result
            with open(folder / "run.log", "a") as file:
                file.write(f"\n{campaign.arena.metric.name}: {result:.6f}\n")


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


def log_tail(folder: Path) -> str:
    """The end of the run's log."""
    return summary.tail(read_log(folder))


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
        report = last_report(self.path)
        progress = report.get("progress") or 0.0
        left = f"{report['elapsed_s'] * (1 / progress - 1):.0f} s left" if progress > 0.01 else f"{elapsed_s:.0f} s"
        loss = report.get("metrics", {}).get("train_loss")
        words = [f"attempt {self.name}", f"step {report.get('step', 0)}", f"loss {loss:.4f}" if loss else "", left]
        bar = "#" * round(20 * progress)
        self.show(f"[{bar:<20}] {', '.join(filter(None, words))}")

    def close(self) -> None:
        """End the line."""
        if self.show and self.shown_s >= 0:
            self.show("")


def last_report(path: Path) -> dict:
    """The last whole line of progress.jsonl, from the end of the file."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            rows = file.read().split(b"\n")
    except OSError:
        return {}
    for row in reversed(rows[:-1]):
        try:
            return json.loads(row)
        except ValueError:
            continue
    return {}


def remove_weights(folder: Path) -> None:
    """Free what only a champion needs."""
    for name in ("submission", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)


def has_imports(source: str) -> str:
    """Name of a top-level module that a train.py imports and that is not there; empty when all are."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            try:
                found = top == "prepare" or importlib.util.find_spec(top) is not None
            except (ImportError, ValueError):
                found = False
            if not found:
                return name
    return ""
