"""Where a controller is asked: in a thread of its own, so that neither run nor guard ever waits for it."""

import threading
import time
from dataclasses import dataclass, field

from autoresearch.errors import ChatFailed
from autoresearch.steer.controllers import KEEP, Answer, Controller, View

MOST_FAILURES = 3  # in a row: then the circuit opens
REST = 5  # questions that are not asked while it is open


@dataclass
class Said:
    """What came of a question."""

    view: View
    answer: Answer = KEEP
    status: str = "ok"
    """ok, busy (the question before is still open), circuit open, or how it failed."""
    latency_s: float = 0.0
    why: str = ""
    is_there: threading.Event = field(default_factory=threading.Event)
    begun: float = field(default_factory=time.monotonic)

    def age_s(self) -> float:
        """Seconds since it was asked."""
        return round(time.monotonic() - self.begun, 3)

    @property
    def is_usable(self) -> bool:
        """Whether it is an answer."""
        return self.status == "ok"


class Desk:
    """Asks one controller; at most one question is open."""

    def __init__(self, controller: Controller):
        """Take a controller; nothing is asked yet."""
        self.controller = controller
        self.thread: threading.Thread | None = None
        self.failures = self.resting = 0

    def ask(self, view: View) -> Said:
        """Begin a question; the answer is there once `is_there` is set."""
        said = Said(view)
        if self.resting:
            self.resting -= 1
            said.status = "circuit open"
        elif self.thread and self.thread.is_alive():
            said.status = "busy"
        if said.status != "ok":
            said.is_there.set()
            return said
        self.thread = threading.Thread(target=self._decide, args=(said,), daemon=True)
        self.thread.start()
        return said

    def _decide(self, said: Said) -> None:
        try:
            said.answer = self.controller.decide(said.view)
            self.failures = 0
        except ChatFailed as error:
            said.status, said.why = error.status, str(error)
            self._fail(for_good=error.lasting)
        except Exception as error:  # whatever a controller may raise: the plan goes on
            said.status, said.why = "failed", f"{type(error).__name__}: {error}"
            self._fail()
        said.latency_s = said.age_s()
        said.is_there.set()

    def _fail(self, for_good: bool = False) -> None:
        """Count a failure; after some in a row, or one that lasts, rest for a while."""
        self.failures += 1
        if for_good or self.failures >= MOST_FAILURES:
            self.failures, self.resting = 0, REST
