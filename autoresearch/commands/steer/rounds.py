"""steer CONFIG and steer baseline CONFIG: rounds of real training."""

import dataclasses
import gc
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.chat import Call, Chat
from autoresearch.commands import terminal
from autoresearch.errors import NoGoodTrial
from autoresearch.sandbox import files
from autoresearch.steer import campaign, config, controllers, memory
from autoresearch.steer.campaign import BASELINES, Memory
from autoresearch.steer.chooser import chooser
from autoresearch.steer.config import Config
from autoresearch.steer.rows import LLM, Final

File = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the campaign.")]
Plain = Annotated[bool, typer.Option("--plain", help="Without the guard: what happens to each decay alone.")]
Only = Annotated[str, typer.Option("--only", help=f"Of {', '.join(BASELINES)}: one, or several with commas.")]
ALL = ",".join(BASELINES)
RESULTS = Path("results/steer")


def run(path: File) -> int:
    """Run the rounds that are missing; the same command goes on with what was cut off."""
    settings = load(path)
    log = Path.cwd() / RESULTS / settings.tag / LLM

    def record(who: str, call: Call) -> None:
        files.append(log, json.dumps({"at": terminal.now(), "asked_by": who} | dataclasses.asdict(call)) + "\n")

    controller = controllers.make(settings, os.environ, partial(record, "controller"))
    remember = memory_of(settings, partial(record, "memory"))
    with campaign.opened(settings, os.environ, Path.cwd() / RESULTS, terminal.say) as found:
        return close(found.steer(controller, remember))


def memory_of(settings: Config, record: Callable[[Call], None]) -> Memory:
    """Where rounds begin: as the configuration says, as the memory says, or as a model chooses of what it offers."""
    if not settings.memory:
        return campaign.always(settings)
    if not settings.llm.memory:
        return memory.remember(settings)
    endpoint = controllers.endpoint(settings.llm.memory, os.environ)
    return memory.remember(settings, chooser(Chat(endpoint, record=record)))


def baseline(path: File, plain: Plain = False, only: Only = ALL) -> int:
    """Run the peaks and decays that are missing of the sweep."""
    kinds = [one.strip() for one in only.split(",")]
    if unknown := [one for one in kinds if one not in BASELINES]:
        raise typer.BadParameter(f"{unknown[0]!r} is no decay; known: {', '.join(BASELINES)}", param_hint="--only")
    with campaign.opened(load(path), os.environ, Path.cwd() / RESULTS, terminal.say) as found:
        return close(found.baselines(kinds, is_guarded=not plain))


def load(path: Path) -> Config:
    """The configuration, and signals that end a round orderly."""
    gc.enable()  # the command line turns it off, for verbs that end at once
    terminal.end_orderly()
    return config.load(path, os.environ)


def close(finals: Sequence[Final]) -> int:
    """Print the closing line.

    Raises:
        NoGoodTrial: no round has a result.
    """
    good = [one for one in finals if one.result is not None and one.status == "ok"]
    counts = {status: sum(one.status == status for one in finals) for status in sorted({one.status for one in finals})}
    best = min(good, key=lambda one: one.result or 0.0, default=None)
    facts = {"rounds": len(finals), "counts": counts, "best": best and best.result, "best_round": best and best.round}
    print(json.dumps(facts), flush=True)
    if not good:
        raise NoGoodTrial("no round ended well; the reasons are in final_results_log.jsonl")
    return 0
