"""show ID."""

from typing import Annotated

import typer

from autoresearch.attempt import closing
from autoresearch.commands import terminal


def main(
    number: Annotated[int, typer.Argument(metavar="ID", help="Number of the attempt.")],
    as_json: terminal.Json = False,
) -> None:
    """Print all about one attempt."""
    campaign = terminal.campaign()
    attempt = campaign.ledger.read(number)
    diff = campaign.repo.diff(attempt.parent, attempt.commit)
    if as_json:
        terminal.print_json({**attempt.model_dump(), "diff": diff})
        return
    print(f"attempt {attempt.name} {attempt.commit} on {attempt.parent[:7]}: {attempt.description}")
    print(f"{closing.outcome(attempt)}  (state {attempt.state}, regime {attempt.regime})")
    for name, text in attempt.reasoning.model_dump().items():
        if text:
            print(f"{name}: {text}")
    if attempt.analysis:
        for name, text in attempt.analysis.model_dump().items():
            print(f"analysis, {name}: {text}")
    if attempt.verdict:
        print(f"verdict: {attempt.verdict.why}")
    for one in (*attempt.trials, *attempt.champion_trials):
        what = "champion again" if one.commit != attempt.commit else "run"
        said = one.crash.why if one.crash else "no score yet" if one.score is None else f"{one.score:.6f}"
        said += ", unrefereed" if one.unrefereed else ""
        print(f"{what}, seed {one.seed}: {said}")
        facts = one.metrics.model_dump(exclude={"others"}, exclude_none=True)
        if facts:
            print("  " + ", ".join(f"{name} {value:g}" for name, value in facts.items()))
        if one.crash and one.crash.tail:
            print(one.crash.tail)
    for notice in attempt.notices:
        print(f"note: {notice}")
    print(diff)
