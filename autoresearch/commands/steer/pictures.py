"""steer plot: four pictures of a campaign."""

from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands.steer.comparison import Tags, finals_of
from autoresearch.commands.steer.rounds import RESULTS
from autoresearch.steer import pictures


def plot(
    tags: Tags,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; that of the first campaign unless told.")
    ] = None,
    title: Annotated[str, typer.Option(help="Words at the top; the tags unless told.")] = "",
) -> None:
    """Draw campaigns: rounds.png, traces.png, landscape.png and head_to_head.png."""
    finals = [one for tag in tags for one in finals_of(tag)]
    first = RESULTS / tags[0]
    folder = out or (first if first.is_dir() else Path(tags[0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.draw(finals, title or ", ".join(tags)).items():
        (folder / name).write_bytes(data)
        print(folder / name)
