"""What is said to an agent when it is started: where things stand, and that it is to go on."""

from collections.abc import Sequence

from autoresearch.attempt import closing
from autoresearch.attempt.campaign import Campaign
from autoresearch.night.rules import Life
from autoresearch.records import State, Status

PLACE = "{prompt}"
NAMED_ATTEMPTS = 5


def write(campaign: Campaign, lives: Sequence[Life]) -> str:
    """The prompt.

    Args:
        lives: earlier starts of this night, oldest first.
    """
    attempts = campaign.attempts()
    lines = [
        f"Read program.md and go on with the run on branch {campaign.branch}: setup is done, so start at the loop. "
        "You work alone and unattended: never stop, never ask, never push.",
        f"Attempts so far: {len(attempts)}. {closing.champion_line(campaign, attempts)}.",
    ]
    closed = [one for one in attempts if one.state == State.CLOSED]
    lines += [f"{one.name} {closing.outcome(one)}: {one.description}" for one in closed[-NAMED_ATTEMPTS:]]
    last = closed[-1] if closed else None
    if last and last.id > 1 and not last.analysis and last.status != Status.BACKTRACK:
        lines.append(f"Attempt {last.name} has no analysis yet: write it first, with `analyze`.")
    lines += closing.directives(campaign, attempts)
    if lives and not lives[-1].num_attempts and not lives[-1].is_limited:
        lines.append("The last start ended without an attempt: begin one within minutes.")
    return "\n".join(lines)


def insert(command: Sequence[str], prompt: str) -> list[str]:
    """The command line of an agent with the prompt in its place, or at its end."""
    if any(PLACE in word for word in command):
        return [word.replace(PLACE, prompt) for word in command]
    return [*command, prompt]
