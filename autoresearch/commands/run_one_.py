"""run-one CONFIG."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import searching
from autoresearch.errors import BadConfig
from autoresearch.search.proposal import Proposal


def main(
    config: searching.File,
    params: Annotated[str, typer.Option(help="Parameters as a JSON object.")] = "",
    diff: Annotated[Path | None, typer.Option(help="File with a unified diff of the code.")] = None,
) -> int:
    """Run one trial of the campaign, recorded like the others."""
    if not params and diff is None:
        raise BadConfig("give --params JSON, --diff FILE, or both")
    proposal = Proposal(params=parse(params or "{}"), diff=read(diff) if diff else "", source="by_hand")
    with searching.opened(config) as campaign:
        space = campaign.config.policy.params
        if problems := [one for one in space.problems(proposal.params) if space and not one.endswith("is missing")]:
            raise BadConfig(f"--params: {'; '.join(problems)}")
        return searching.run(campaign, lambda: campaign.try_one(proposal))


def parse(text: str) -> dict[str, bool | int | float | str]:
    """The parameters.

    Raises:
        BadConfig: no JSON object of finite numbers, texts and booleans.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"--params must be JSON but: {error}") from error
    if not isinstance(found, dict) or not all(map(is_scalar, found.values())):
        raise BadConfig(f"--params must be a JSON object of finite numbers, texts and booleans but got {text[:200]!r}")
    return found


def is_scalar(one: object) -> bool:
    """Whether a parameter may have this value."""
    return isinstance(one, bool | int | str) or (isinstance(one, float) and math.isfinite(one))


def read(path: Path) -> str:
    """The diff.

    Raises:
        BadConfig: no such file, or it is no UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadConfig(f"--diff must be in UTF-8 but {path}: {error}") from error
    except OSError as error:
        raise BadConfig(f"--diff must be a readable file but {path}: {error.strerror}") from error
