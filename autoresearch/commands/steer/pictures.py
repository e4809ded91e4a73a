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
    names = [name for group in tags for name in group.split(",")]
    finals = [one for name in names for one in finals_of(name)]
    first = RESULTS / names[0]
    folder = out or (first if first.is_dir() else Path(names[0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.draw(finals, title or ", ".join(tags)).items():
        (folder / name).write_bytes(data)
        print(folder / name)
