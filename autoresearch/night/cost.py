"""What the agent has cost, as a command of the person tells."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoresearch.process import Deadline, Launch

PERIOD_S = 60.0
LIMIT_S = 10.0


class Meter:
    """Asks a command from time to time; what it prints counts from the night's first answer on."""

    def __init__(self, command: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]):
        self.command, self.folder, self.log, self.variables = list(command), folder, log, variables
        self.before: float | None = None
        """The first answer of the night."""
        self.last = 0.0
        self.spent: float | None = None
        """Since the night began; None: unknown or not watched."""
        self.num_failures = 0
        """On end."""
        self.asked = -math.inf

    def watch(self, now: float, say: Callable[[str], None], at_once: bool = False) -> float | None:
        """Ask, if there is a command and it is time; returns an answer that is news, to be kept for `take`."""
        if not self.command or (now - self.asked < PERIOD_S and not at_once):
            return None
        self.asked = now
        found = self.ask(say)
        self.num_failures = 0 if found is not None else self.num_failures + 1
        return None if self.before is not None and found == self.last else found

    def take(self, found: float) -> None:
        """Count an answer, each in its turn; one below the last means that the command began to count anew."""
        self.before = found if self.before is None else self.before
        if found < self.last:
            self.before -= self.last
        self.last, self.spent = found, found - self.before

    def ask(self, say: Callable[[str], None]) -> float | None:
        """The number that the command prints; None when it fails or prints none."""
        if not self.command:
            return None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            ended = Launch(self.command, self.folder, self.variables, self.log).wait([Deadline("it", LIMIT_S)])
        except OSError as error:
            say(f"the cost command could not be started: {error}")
            return None
        found = number_in(self.log.read_text(errors="replace"))
        if ended.exit_code or found is None:
            say(f"the cost command must exit 0 and print a number but exited {ended.exit_code}; see {self.log}")
            return None
        return found


def number_in(text: str) -> float | None:
    """The last number of a text; of a JSON object, its `cost`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        text = str(found.get("cost", ""))
    for word in reversed(text.replace("$", " ").replace(",", "").split()):
        try:
            number = float(word)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return None
