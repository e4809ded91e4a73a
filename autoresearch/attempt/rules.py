"""What autoresearch.toml demands beyond the score: limits, whatever the verdict, and guards before a keep."""

import sys
from dataclasses import dataclass
from typing import Literal

from autoresearch import process, referee
from autoresearch.attempt import layout, trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.records import Attempt, Trial


@dataclass(frozen=True)
class Broken:
    """A rule that an attempt does not keep."""

    reason: Literal["oversize", "guard"]
    why: str
    """What must hold and what was found."""


def broken(campaign: Campaign, attempt: Attempt, is_to_be_kept: bool) -> list[Broken]:
    """Limits that a run exceeds; where there are none and the attempt is to be kept, guards that do not let it pass."""
    found = [Broken("oversize", why) for why in excesses(campaign, attempt.trials)]
    if found or not is_to_be_kept:
        return found
    logs = [(guard, f"guard-{index}.log") for index, guard in enumerate(campaign.arena.guards)]
    return [Broken("guard", why) for guard, log in logs if (why := _refusal(campaign, attempt, guard, log))]


def excesses(campaign: Campaign, trials: list[Trial]) -> list[str]:
    """How runs exceed limits, in words."""
    return [why for name in campaign.arena.limits if (why := _excess(campaign, trials, name))]


def _excess(campaign: Campaign, trials: list[Trial], name: str) -> str:
    """How a run that was scored exceeds a limit, or lacks its number; empty when none does."""
    most = campaign.arena.limits[name]
    for one in trials:
        value = one.metrics.number(name)
        if one.score is not None and (value is None or value > most):
            found = "the summary has no such number" if value is None else f"is {value:.10g}"
            return f"over the limit: {name} must be at most {most:.10g} but {found}"
    return ""


def _refusal(campaign: Campaign, attempt: Attempt, guard: list[str], log: str) -> str:
    """Why a guard does not let the attempt pass; empty when it does. It runs in pristine code."""
    one = attempt.trials[-1]
    folder = campaign.repo.root / one.folder
    command = [part.format(python=sys.executable, folder=folder) for part in guard]
    env = process.environment(campaign.variables, {process.MARK: str(folder)}, campaign.arena.sandbox.env)
    if crash := trial.pins_crash(campaign):
        return crash.why
    layout.lay_again(campaign, one)
    words = f"guard `{' '.join(guard)}` must exit 0 but"
    try:
        launch = process.Launch(command, folder / "code", env, folder / log)
    except OSError as error:
        return f"{words} could not be started: {error}"
    ended = launch.wait([process.Deadline("it", referee.SCORING_S)])
    problem = ended.timeout or (f"exited {ended.exit_code}; see {folder / log}" if ended.exit_code else "")
    return f"{words} {problem}" if problem else ""
