"""One trial: lay out its folder, run the training command, have the submission scored."""

import contextlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

from autoresearch import process, referee, sandbox, summary
from autoresearch.attempt import confine, layout, stamps
from autoresearch.attempt.campaign import Campaign
from autoresearch.attempt.stamps import Stamps
from autoresearch.errors import Refused
from autoresearch.process import Deadline, Launch
from autoresearch.records import RUN_SECONDS, Attempt, Crash, Metrics, State, Trial
from autoresearch.sandbox import files

START_UP_S = 240.0
GRACE_S = 60.0


def run(campaign: Campaign, attempt: Attempt, trial: Trial, save: Callable[[Attempt], None]) -> None:
    """Train once and score; every step is in the record before the next begins.

    Args:
        attempt: the record to which `trial` belongs.
        trial: filled in place.
        save: puts the record on disk.
    """
    folder, clock = campaign.repo.root / trial.folder, Stamps()
    try:
        launch = start(campaign, trial, layout.lay_out(campaign, trial.commit, folder), clock)
    except (FileNotFoundError, PermissionError) as error:
        trial.crash = Crash(kind="error", why=f"could not be started: {error}")
        save(attempt)
        return
    finally:
        clock.listen()
    try:
        trial.pid, trial.pid_started = launch.pid, launch.started
        if trial.sealed == "open" and (notice := str(campaign.confinement)) not in attempt.notices:
            attempt.notices.append(notice)
        attempt.state = State.RUNNING
        save(attempt)
        bar = Bar(campaign, folder, attempt.name)
        ended = launch.wait(deadlines(campaign, clock), bar.tick)
        bar.close()
        clock.close()
        trial.exit_code, trial.seconds = ended.exit_code, round(ended.seconds, 2)
        trial.stamps = clock.since(launch.begun)
        if ended.timeout:
            trial.crash = summary.explain(read_log(folder), ended.exit_code, ended.timeout)
        save(attempt)  # from here on only the score is missing, and healing finds it
        settle(campaign, trial, lambda: save_scored(attempt, save))
        trial.seconds = round(launch.age_s(), 2)
    except KeyboardInterrupt:
        launch.stop()
        trial.crash = Crash(kind="interrupted", why="stopped by the person", tail=summary.tail(read_log(folder)))
        save(attempt)
        raise
    except BaseException:
        launch.stop()
        raise
    save_scored(attempt, save)


def save_scored(attempt: Attempt, save: Callable[[Attempt], None]) -> None:
    """Write down that a trial has its score, or none."""
    attempt.state = State.SCORED
    save(attempt)


def start(campaign: Campaign, trial: Trial, code: Path, clock: Stamps) -> Launch:
    """Begin the training command, confined."""
    inherited = clock.inherited.fileno()
    variables = environment_of(campaign, trial, code.parent) | {"AUTORESEARCH_STAMPS": str(inherited)}
    seat = confine.of_trial(campaign, code.parent, variables)
    trial.sealed, trial.network = seat.confinement.kind, seat.confinement.network
    command = sandbox.command(seat.confinement, seat.view, command_of(campaign))
    launch = Launch(command, code, seat.view.env, code.parent / "run.log", [inherited])
    if seat.confinement.kind == "remote":
        launch.grace_s = process.REMOTE_GRACE_S
    return launch


def settle(campaign: Campaign, trial: Trial, save: Callable[[], None]) -> None:
    """Read the log of a trial that has ended and score it, or say why there is no score, in place.

    A trial whose exit code nobody saw, because the supervisor died first, was not watched to its end and has no score.

    Args:
        save: puts the record on disk, which the log is added to only after, so that it is never read with its addition.
    """
    folder = campaign.repo.root / trial.folder
    text = read_log(folder)
    trial.metrics = summary.parse(text)
    if trial.crash:
        return
    if trial.exit_code is None:
        why = "the supervisor was ended before the trial was"
        trial.crash = Crash(kind="interrupted", why=why, tail=summary.tail(text))
    elif trial.exit_code:
        trial.crash = summary.explain(text, trial.exit_code, is_remote=trial.sealed == "remote")
    elif campaign.arena.own and (ran_in := trial.metrics.others.get("regime", "")) not in ("", campaign.pins.regime):
        why = f"ran in regime {ran_in} but the tag's is {campaign.pins.regime}: another device, data or lock file?"
        trial.crash = Crash(kind="refused", why=why, tail=summary.tail(text))
    elif crash := clock_crash(campaign, trial):
        trial.crash = crash
    elif isinstance(result := score_of(campaign, trial, text), Crash):
        trial.crash = result
    else:
        trial.score, told = result, ""
        if campaign.arena.score_command:  # what the scorer measured counts, whatever the run said of itself
            scored = files.read_text(folder / "score.log")
            trial.metrics = trial.metrics.overruled(summary.parse(f"---\n{scored}"))
            told = f"{summary.tail(scored)}\n"
        if not campaign.arena.own:  # by the clock here, whatever the run said of itself
            measured = Metrics(others={RUN_SECONDS: f"{trial.seconds:.2f}"})
            trial.metrics = trial.metrics.overruled(measured)
        trial.unrefereed = campaign.arena.unrefereed
        save()
        if not trial.unrefereed:
            files.append(folder / "run.log", f"\n{told}{campaign.arena.metric.name}: {result:.6f}\n")
            files.write(folder / "score.json", json.dumps({campaign.arena.metric.name: result}) + "\n")


def clock_crash(campaign: Campaign, trial: Trial) -> Crash | None:
    """Why the clock of a trial does not stand."""
    if not campaign.arena.own:
        return None
    seconds, num_steps = trial.metrics.training_seconds or 0.0, trial.metrics.num_steps or 1
    limits = stamps.Limits(start_up_s(campaign), campaign.budget_s, seconds / num_steps)
    return stamps.judge(trial.stamps, trial.seconds or 0.0, limits)


def start_up_s(campaign: Campaign) -> float:
    """The longest from the launch of a trial to clock.start(), which the runs of the baseline may raise."""
    baseline = next(iter(campaign.attempts()), None)
    if baseline is None or baseline.state != State.CLOSED:
        return stamps.start_up_s(campaign.scale, None)
    return stamps.start_up_s(campaign.scale, max((one.stamps.get("start", 0.0) for one in baseline.trials), default=0))


def end_remains(campaign: Campaign, trial: Trial) -> None:
    """End what is left of a trial whose supervisor is gone."""
    folder = campaign.repo.root / trial.folder
    grace_s = process.REMOTE_GRACE_S if trial.sealed == "remote" else process.GRACE_S
    process.end_group(trial.pid or 0, trial.pid_started or "", str(folder), grace_s)  # 0: by its mark alone
    process.end_group(0, "", referee.mark_of(folder))


def score_of(campaign: Campaign, trial: Trial, text: str, split: str = "val") -> float | Crash:
    """The metric of a finished trial: by the referee here, by its own command or log in another arena."""
    arena, folder = campaign.arena, campaign.repo.root / trial.folder
    variables = environment_of(campaign, trial, folder)
    if arena.unrefereed:
        value = arena.metric.find(text)
        if value is None or not math.isfinite(value):
            return Crash(kind="error", why=f"the log has no finite {arena.metric.name}", tail=summary.tail(text))
        return value
    if crash := pins_crash(campaign):
        return crash
    layout.lay_again(campaign, trial)
    if arena.score_command:
        if odd := files.first_odd(folder, folder / "code"):  # a scorer, who sees more, would follow it or wait for it
            why = f"the trial's folder must hold neither links nor pipes when it is scored but {odd}"
            return Crash(kind="refused", why=why[:300])
        command = [part.format(python=sys.executable, folder=folder) for part in arena.score_command]
        is_remote, deadline_s = trial.sealed == "remote", arena.score_timeout_s
        found = referee.run_scorer(command, folder, variables, arena.metric, is_remote, deadline_s)
        return pins_crash(campaign) or found  # what it read is what was pinned, before and after
    if (seat := confine.of_scoring(campaign, trial)).kind == "open":
        trial.sealed, trial.network = seat.kind, seat.network
    return referee.score(
        campaign.repo.root, folder, variables, lambda own: confine.of_player(campaign, trial, own, variables), split
    )


def pins_crash(campaign: Campaign) -> Crash | None:
    """Why nothing is to be scored: what is pinned is not what it was."""
    try:
        campaign.check_pins()
    except Refused as error:
        return Crash(kind="refused", why=f"changed while the trial ran: {error}"[:300])
    return None


def command_of(campaign: Campaign) -> list[str]:
    """The training command."""
    return [part.format(python=sys.executable) for part in campaign.arena.command]


def environment_of(campaign: Campaign, trial: Trial, folder: Path) -> dict[str, str]:
    """The trial contract's variables and a short list of others."""
    own = {"SUPERVISED": "1", "TRIAL_DIR": str(folder), "SEED": str(trial.seed)}
    extra = {f"AUTORESEARCH_{name}": value for name, value in own.items()} | {"PYTHONUNBUFFERED": "1"}
    return process.environment(campaign.variables, extra, campaign.arena.sandbox.env)


def deadlines(campaign: Campaign, clock: Stamps) -> list[Deadline]:
    """Start-up, budget, and the whole."""
    if campaign.arena.timeout_s:
        return [Deadline("the trial", campaign.arena.timeout_s)]
    budget_s, started_s = campaign.budget_s, start_up_s(campaign)
    if not campaign.arena.own:
        return [Deadline("the trial", 2 * budget_s + START_UP_S)]
    trained_s = started_s + budget_s + stamps.excess_s(budget_s)
    return [
        Deadline("start-up", started_s, lambda: "start" in clock.times),
        Deadline("training", trained_s, lambda: "done" in clock.times),
        Deadline("the trial", started_s + 2 * budget_s + GRACE_S),
    ]


def read_log(folder: Path) -> str:
    """The run's log; empty when it never printed."""
    return files.read_text(folder / "run.log")


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
    for row in reversed(files.read(path, 4096).split(b"\n")[:-1]):
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
        with contextlib.suppress(OSError):
            files.remove(folder / name)
