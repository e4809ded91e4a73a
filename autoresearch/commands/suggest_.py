"""suggest."""

from typing import Annotated

import typer

from autoresearch import knobs
from autoresearch.advice import dials, history, suggest
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal
from autoresearch.errors import Refused
from autoresearch.notes import replace

MOST_SHOWN = 8


def main(
    count: Annotated[int, typer.Option("-k", min=1, max=20, help="How many to suggest.")] = 3,
    sampler: Annotated[suggest.Sampler, typer.Option(help="What proposes: tpe or cmaes.")] = "tpe",
    only: Annotated[
        str, typer.Option(help="Constants to turn, separated by commas; all numeric ones unless told.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Write the first suggestion into train.py.")] = False,
    as_json: terminal.Json = False,
) -> None:
    """Suggest values."""
    campaign = terminal.campaign()
    attempts = campaign.attempts()
    champion = campaign.champion(attempts)
    path = campaign.arena.mutable[0]
    names = [name.strip() for name in only.split(",") if name.strip()]
    file = campaign.repo.root / path
    edited = file.read_text() if file.is_file() else ""
    turned = dials.dials_of(campaign.repo.show(champion.commit, path), campaign.scale, names, edited)
    samples = history.samples_of(campaign, turned)
    found = suggest.suggest(turned, samples, campaign.noise(attempts).sigma, count, sampler, len(attempts))
    if as_json:
        terminal.print_json(facts_of(found))
    else:
        tell(found, campaign.noise(attempts).sigma)
    if apply:
        write(campaign, path, champion.commit, found)


def facts_of(found: suggest.Advice) -> dict:
    """The advice as JSON."""
    return {
        "samples": found.num_samples,
        "importance": found.importance,
        "ranges": {dial.key: [dial.low, dial.high] for dial in found.dials},
        "suggestions": [vars(one) for one in found.suggestions],
    }


def tell(found: suggest.Advice, sigma: float) -> None:
    """At most 12 lines."""
    ranked = sorted(found.importance.items(), key=lambda item: -item[1])[:MOST_SHOWN]
    print(f"from {found.num_samples} measured combinations; noise of one run {sigma:.5f}")
    if any(share for _, share in ranked):
        print("importance: " + ", ".join(f"{key} {100 * share:.0f}%" for key, share in ranked if share >= 0.005))
    for number, one in enumerate(found.suggestions, 1):
        print(f"{number}  {words_of(found, one)}")
        print(f"   predicted gain {one.gain:+.4f} ± {one.error:.4f}; runs with probability {one.p_runs:.2f}")


def words_of(found: suggest.Advice, one: suggest.Suggestion) -> str:
    """The changes in one line."""
    before = {dial.key: dial.value for dial in found.dials}
    return ", ".join(f"{key} {before[key]:g} → {value:g}" for key, value in one.values.items())


def write(campaign: Campaign, path: str, commit: str, found: suggest.Advice) -> None:
    """Put the values of the first suggestion into the file, whatever else was edited in it.

    Raises:
        Refused: a constant that it turns has been edited already, or is gone.
    """
    if not found.suggestions:
        raise Refused("nothing new to suggest within the ranges; widen one with a comment `# range: LOW..HIGH`")
    one, file = found.suggestions[0], campaign.repo.root / path
    source = file.read_text()
    there, then = knobs.read(source), knobs.read(campaign.repo.show(commit, path))
    edited = sorted(key for key in one.values if key not in there or there[key].value != then[key].value)
    if edited:
        raise Refused(f"{', '.join(edited)} must be as in the champion but have edits; `try` those first")
    for key, value in one.values.items():
        source = knobs.edit(source, key, repr(value))
    replace(file, source)
    terminal.say(f"{path} is edited; next: `uv run -m autoresearch try -m 'suggested: {words_of(found, one)}'`")
