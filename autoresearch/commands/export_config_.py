"""export-config [CONFIG]."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from autoresearch.commands import searching
from autoresearch.search.config import Config


def main(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="YAML file of a campaign.")] = None,
) -> None:
    """Print a whole configuration as YAML: of a file, its paths absolute, or all keys with their defaults."""
    example: dict[str, Any] = {"target": {"train_cmd": ["python3", "train.py"]}}
    found = searching.load(config) if config else Config.model_validate(example)
    print(yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120), end="")
