"""The campaign as it stands: every change goes to the store first, then to memory, then to the exports."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoresearch.search.config import Config
from autoresearch.search.exports import Exports
from autoresearch.search.guards import Tally
from autoresearch.search.pool import GPU
from autoresearch.search.proposal import FAILURES, Proposal, Report, Result, TrialStatus
from autoresearch.search.spans import Spans
from autoresearch.search.store import Entry, Event, Store

MOST_REPORTS = 128  # of one trial, in the store
DURABLE_S = 1.0  # to wait for the disk costs milliseconds; a shorter trial is sooner run again after a loss of power


class Journal:
    """Trials of a campaign, what came of them, and what was spent."""

    def __init__(self, config: Config, store: Store, exports: Exports, now: Callable[[], float], shift_s: float):
        """Read the store.

        Args:
            now: seconds since 1970.
            shift_s: what turns readings of the monotonic clock into those.
        """
        self.config, self.store, self.exports, self.now, self.shift_s = config, store, exports, now, shift_s
        self.entries: dict[int, Entry] = {entry.number: entry for entry in store.entries()}
        self.over = sorted((one for one in self.entries.values() if one.place), key=lambda one: one.place or 0)
        self.told: int = store.fact("told", 0)
        self.earlier_s: float = store.fact("spent_s", 0.0)
        self.gpu_s: float = store.fact("gpu_s", 0.0)
        self.kept_diff: int = store.fact("kept_diff", 0)
        self.opened_s = now()

    # --- what is known

    @property
    def best(self) -> Entry | None:
        """The trial that was kept last."""
        return next((one for one in reversed(self.over) if one.version), None)

    def best_value(self) -> float | None:
        """The number to beat."""
        return self.best.result.metric if self.best and self.best.result else None

    def queued(self) -> list[Entry]:
        """Admitted and not begun, in order."""
        return [one for one in self.entries.values() if one.state == "queued"]

    def running(self) -> list[Entry]:
        """Begun and not over."""
        return [one for one in self.entries.values() if one.state == "running"]

    def pending(self) -> list[Entry]:
        """Admitted and not over."""
        return [one for one in self.entries.values() if one.state != "over"]

    def good(self) -> list[Result]:
        """Of trials that ended well, in order of their end."""
        return [one.result for one in self.over if one.result and one.result.status == TrialStatus.OK]

    def next_version(self) -> int:
        """Number of the version that is kept next."""
        return (self.best.version or 0) + 1 if self.best else 1

    def results(self) -> list[Result]:
        """Of trials that are over, in order of submission."""
        return [one.result for one in self.entries.values() if one.result]

    def untold(self) -> list[Result]:
        """Results that the policy may be told next: what comes before each of them is over too."""
        found = []
        for number in range(self.told + 1, len(self.entries) + 1):
            if (result := self.entries[number].result) is None:
                break
            found.append(result)
        return found

    def spent_s(self) -> float:
        """Wall time of all runs of the campaign."""
        return self.earlier_s + self.now() - self.opened_s

    def tally(self) -> Tally:
        """What the guards look at."""
        kept = max((place for place, one in enumerate(self.over, 1) if one.version), default=0)
        going = sum(self._cost(one) * (self.now() - one.begun) for one in self.running())
        recent = self.over[-self.config.controller.failure_window :]
        return Tally(
            iterations=len(self.entries),
            seconds=self.spent_s(),
            gpu_seconds=self.gpu_s + going,
            streak=len(self.over) - kept,
            failures=tuple(one.result.status in FAILURES for one in recent if one.result),
        )

    def cost(self) -> dict[str, float]:
        """What one trial takes."""
        return self.config.cost

    def _cost(self, entry: Entry) -> float:
        return self.cost().get(GPU, float(max(1, len(entry.devices))))

    # --- what happens

    def admit(
        self, proposals: Sequence[Proposal], base: str, policy: Mapping[str, Any] | None = None, told: int = 0
    ) -> list[Entry]:
        """Put proposals in the queue, with the state of the policy that made them, all or none.

        Args:
            base: commit that their diffs are made against.
            policy: None leaves the stored state as it is.
            told: how many results that state knows.
        """
        first = len(self.entries) + 1
        new = [Entry(number=number, proposal=one, base=base) for number, one in enumerate(proposals, first)]
        with self.store.transaction():
            for entry in new:
                self.store.put(entry)
            if policy is not None:
                self.store.set_fact("policy", policy)
                self.store.set_fact("told", told)
            events = [
                self._event("proposal", one.number, one.proposal.model_dump(exclude_defaults=True)) for one in new
            ]
        self.entries |= {entry.number: entry for entry in new}
        self.told = told if policy is not None else self.told
        self.exports.add_events(events)
        return new

    def begin(self, entry: Entry, **changes: Any) -> Entry:
        """Note that a trial runs, and by what it is found again."""
        running = entry.model_copy(update={"state": "running", "begun": entry.begun or self.now(), **changes})
        with self.store.transaction():
            self.store.put(running)
        self.entries[entry.number] = running
        return running

    def requeue(self, entry: Entry, why: str, **changes: Any) -> None:
        """Put a trial that was cut off back into the queue."""
        back = entry.model_copy(update={"state": "queued", "handle": {}, "devices": [], "begun": 0.0, **changes})
        until = self.now() if entry.begun >= self.opened_s else self.store.fact("seen_s", entry.begun)
        gpu_s = self.gpu_s + self._cost(entry) * max(0.0, until - entry.begun)
        with self.store.transaction():
            self.store.put(back)
            self.store.set_fact("gpu_s", gpu_s)
            event = self._event("requeue", entry.number, {"reason": why})
        self.gpu_s = gpu_s
        self.entries[entry.number] = back
        self.exports.add_events([event])

    def finish(self, entry: Entry, result: Result, **changes: Any) -> Entry:
        """Write down a trial that is over; of one that took time it is on the disk when this returns."""
        result.reports = thinned(result.reports)
        place = len(self.over) + 1
        over = entry.model_copy(update={"state": "over", "handle": {}, "result": result, "place": place, **changes})
        spent_s, gpu_s = self.spent_s(), self.gpu_s + self._cost(entry) * result.seconds
        body = result.model_dump(mode="json", exclude={"proposal", "reports", "number"}) | {"version": over.version}
        with self.store.transaction(durable=result.seconds > DURABLE_S):
            self.store.put(over)
            self.store.put_reports(entry.number, result.reports)
            self.store.set_fact("spent_s", spent_s)
            self.store.set_fact("gpu_s", gpu_s)
            event = self._event("iteration", entry.number, body)
        self.gpu_s = gpu_s
        self.entries[entry.number] = over
        self.over.append(over)
        self.exports.add_result(over)
        self.exports.add_events([event])
        return over

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write down an event."""
        with self.store.transaction():
            event = self.store.add_event(self.now(), kind, body)
        self.exports.add_events([event])

    def note_spans(self, spans: Spans) -> None:
        """Write down what took time since the last call."""
        found = [one.model_copy(update={"begun_s": one.begun_s + self.shift_s}) for one in spans.drain()]
        if found:
            with self.store.transaction():
                self.store.add_spans(found)
            self.exports.add_spans(found)

    def save_code(self, state: Mapping[str, str], kept: int) -> None:
        """Note where the code stands.

        Args:
            kept: number of the trial whose diff was kept last.
        """
        with self.store.transaction(durable=True):
            self.store.set_fact("code", dict(state))
            self.store.set_fact("kept_diff", kept)
        self.kept_diff = kept

    def save_time(self, *, durable: bool = True) -> None:
        """Note the time that was spent, and when that was."""
        with self.store.transaction(durable=durable):
            self.store.set_fact("spent_s", self.spent_s())
            self.store.set_fact("seen_s", self.now())

    def _event(self, kind: str, number: int, body: Mapping[str, Any]) -> Event:
        return self.store.add_event(self.now(), kind, {"iter": number, **body})


def thinned(reports: Sequence[Report], most: int = MOST_REPORTS) -> list[Report]:
    """At most so many reports, evenly, the last one among them."""
    if len(reports) <= most:
        return list(reports)
    return [reports[round(place * (len(reports) - 1) / (most - 1))] for place in range(most)]
