"""What is refused too often for a line each: counted, and told of once a minute."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of what went wrong, by kind; kinds are written in the code, so that there are few."""

    say: Callable[[str], None]
    """Tells whoever runs the hub."""
    counts: dict[str, int] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, detail: str) -> None:
        """Count one more.

        Args:
            detail: where it came from, or why; the newest is told.
        """
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.newest[kind] = detail

    def tell(self) -> None:
        """Say what was counted since the last time."""
        for kind, count in self.counts.items():
            self.say(f"{kind}: {count} times within a minute, the last: {self.newest[kind]!r}")
        self.counts.clear()
