"""steer compare: campaigns side by side."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from autoresearch.commands import terminal
from autoresearch.commands.steer.rounds import RESULTS
from autoresearch.errors import BadConfig
from autoresearch.sandbox import files
from autoresearch.steer import compare as comparing
from autoresearch.steer import logs, standing
from autoresearch.steer.rows import FINALS, Final

Tags = Annotated[
    list[str],
    typer.Argument(
        metavar="TAG...",
        help="Campaigns below results/steer, or folders; TAG,TAG for those that differ in their seeds alone.",
    ),
]

Of = Annotated[
    str,
    typer.Option(
        "--of",
        help="Arm that is held against the others, or ARM@TAG (ARM@TAG,TAG) where two ran it on one seed; "
        "the first one unless told.",
    ),
]


def compare(
    tags: Tags,
    of: Of = "",
    as_json: terminal.Json = False,
) -> None:
    """Compare campaigns."""
    tracks = comparing.tracks_of({tag: finals_of(tag) for group in tags for tag in group.split(",")}, tags)
    sides = comparing.sides_of(tracks)
    if of and of not in sides:
        raise BadConfig(f"--of must be an arm of these campaigns but got {of!r}; known: {', '.join(sides)}")
    seconds = comparing.common_seconds(tracks)
    contrasts = comparing.contrasts_of(tracks, of or next(iter(sides), ""))
    plans = {f"{one.tag} {one.arm}": standing.reported(one.finals) for one in tracks}
    if as_json:
        terminal.print_json(
            {
                "seconds": seconds,
                "tracks": [facts_of(one, seconds) for one in tracks],
                "contrasts": [
                    vars(one) | {"mean": one.mean, "error": one.error, "p_better": one.p_better} for one in contrasts
                ],
                "confirmed": {name: [plan_facts(one) for one in found] for name, found in plans.items()},
            }
        )
        return
    at = f"best at {seconds:.0f} s"
    print(f"{'campaign':<20} {'arm':<20} {'seed':>5} {'rounds':>6} {'lost':>5} {'seconds':>9} {'best':>10} {at:>16}")
    for one in tracks:
        facts = facts_of(one, seconds)
        print(
            f"{one.tag[-20:]:<20} {one.arm:<20} {one.seed:>5} {facts['rounds']:>6} {one.num_diverged:>5} "
            f"{one.spent:>9.1f} {number(facts['best']):>10} {number(facts['best_at']):>16}"
        )
    for against in contrasts:
        print(words_of(against))
    tell_confirmed(plans)


def finals_of(name: str) -> list[Final]:
    """The rounds of a campaign that are over.

    Raises:
        BadConfig: there is no such campaign.
    """
    folder = next((one for one in (RESULTS / name, Path(name)) if files.read(one / FINALS)), None)
    if folder is None:
        raise BadConfig(
            f"{RESULTS / name} must be a campaign with finished rounds; run `autoresearch steer CONFIG` first"
        )
    return logs.read(folder / FINALS, Final)


def facts_of(track: comparing.Track, seconds: float) -> dict[str, Any]:
    """A track as JSON; infinity is None there."""
    way = [(spent, best if math.isfinite(best) else None) for spent, best in track.way]
    best, at = track.best_at(math.inf), track.best_at(seconds)
    return {
        "campaign": track.tag, "arm": track.arm, "seed": track.seed, "rounds": len(track.finals),
        "diverged": track.num_diverged, "seconds": track.spent, "best": best if math.isfinite(best) else None,
        "best_at": at if math.isfinite(at) else None, "way": way,
    }  # fmt: skip


def plan_facts(one: standing.Standing) -> dict[str, Any]:
    """A confirmed plan as JSON."""
    numbers = {"mean": one.mean, "sd": one.sd, "score": one.score, "p_diverge": one.p_diverge}
    return numbers | {"runs": one.num_runs, "diverged": one.num_diverged, "plan": one.plan.model_dump()}


def words_of(against: comparing.Contrast) -> str:
    """A contrast in a line."""
    doubt = f" ± {against.error:.2g}" if against.error else ""
    doubt += f", P(better) {against.p_better:.2f}" if against.p_better is not None else ""
    mean = f" {against.mean:+.5f}{doubt}," if against.mean is not None else ""
    seeds = f"better in {against.num_won} of {against.num_seeds} seeds"
    lost = [
        f"{arm} found nothing in {num}"
        for arm, num in ((against.arm, against.num_lost), (against.other, against.num_other_lost))
        if num
    ]
    return f"{against.arm} against {against.other}:{mean} {', '.join([seeds, *lost])}"


def tell_confirmed(plans: Mapping[str, Sequence[standing.Standing]]) -> None:
    """The plans that may be reported, by mean + 1 sd."""
    for name, found in plans.items():
        for one in found:
            runs = f"{one.mean:.5f} + {one.sd:.5f} sd, {len(one.results)} of {one.num_runs} runs came through"
            print(f"{name}: {one.plan.words}: {runs}, P(diverge) {one.p_diverge:.2f}")
    if not any(plans.values()):
        print(f"no plan ran {standing.REPEATS} times yet, so none is reported")


def number(value: float | None) -> str:
    """A result, or a dash."""
    return "-" if value is None else f"{value:.5f}"
