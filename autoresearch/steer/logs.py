"""The files of a campaign: JSON lines that are appended once, whatever happens in between."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from autoresearch.errors import Damaged
from autoresearch.records import Record
from autoresearch.sandbox import files
from autoresearch.steer.rows import DECISIONS, FINALS, ROLLBACKS, Decision, Final, Rollback

Row = TypeVar("Row", bound=Record)
NAMES: dict[type[Record], str] = {Decision: DECISIONS, Rollback: ROLLBACKS, Final: FINALS}


class Logs:
    """The logs in one folder."""

    def __init__(self, folder: Path):
        """Take a folder, and take away from its logs what a kill left of a last line."""
        self.folder = folder
        self.known: dict[str, set[str]] = {}
        for name in NAMES.values():
            text = files.read(folder / name)
            if text and not text.endswith(b"\n"):
                with open(folder / name, "r+b") as file:
                    file.truncate(text.rfind(b"\n") + 1)
            self.known[name] = {*lines(folder / name)}

    def add(self, row: Record) -> None:
        """Append a row and wait for the disk; one that stands there already is not repeated."""
        name, line = NAMES[type(row)], row.model_dump_json()
        path = self.folder / name
        if line in self.known[name]:
            return
        files.append(path, line + "\n")
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self.known[name].add(line)

    def finals(self) -> list[Final]:
        """The rounds that are over, in order."""
        return read(self.folder / FINALS, Final)


def lines(path: Path) -> list[str]:
    """The lines of a log; what stands after the last end of one is still being written, or was never finished.

    JSON leaves characters in them that `splitlines` takes for ends.
    """
    return [line for line in files.read_text(path).split("\n")[:-1] if line]


def read(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a log; none where it is missing.

    Raises:
        Damaged: a line is none.
    """
    found = []
    for number, line in enumerate(lines(path), 1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise Damaged(
                f"{path}, line {number}, must be a {kind.__name__} but {place}: {error.errors()[0]['msg']}"
            ) from error
    return found
