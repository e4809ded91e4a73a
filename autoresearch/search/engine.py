"""The loop: propose, run, score, keep or discard; one thread, which waits for its inbox and nothing else."""

import queue
import threading
import time
from dataclasses import dataclass, field

from autoresearch.errors import AutoresearchError
from autoresearch.search import guards
from autoresearch.search.config import Config
from autoresearch.search.executors import SIGNALLED, Outcome
from autoresearch.search.guards import Stop
from autoresearch.search.journal import Journal
from autoresearch.search.proposal import BASELINE, History, Proposal
from autoresearch.search.proposer import Proposed, Proposer, Request
from autoresearch.search.trials import Trials

HOLD_S = 0.5  # before a trial that was ended from outside is judged


@dataclass(frozen=True)
class Ended:
    """A trial is over."""

    number: int
    outcome: Outcome
    is_late: bool = False
    """Whether it was held back for a while."""


Message = Ended | Proposed | Stop


@dataclass
class Engine:
    """One campaign under way."""

    config: Config
    journal: Journal
    trials: Trials
    stopping: threading.Event
    """Set at the end, for whoever waits in the policy."""
    inbox: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    is_asking: bool = False
    """Whether the policy is at work."""
    asked_from: str = ""
    """The tip that it was shown."""
    last: Stop | None = None
    """Set for good: a hard limit, told to stop, exhausted, or the policy failed."""
    is_ending: bool = False
    """Whether what runs was told to end."""
    error: BaseException | None = None
    """What the policy raised; for the caller of `run` to raise again."""
    is_looping: bool = False
    """Whether the inbox is read."""
    looked_s: float = 0.0
    """When reports were read last, by the monotonic clock."""

    def run(self, proposer: Proposer | None) -> Stop:
        """Search until a limit is reached; whatever happens, no trial is left running.

        Args:
            proposer: None where `last` is set from the start, so that only what is queued is run.
        """
        try:
            self.is_looping = True
            self.trials.take_over(self.done)
            while (stop := self.advance(proposer)) is None:
                self.handle(self.receive())
        except BaseException:
            self.trials.stop(hard=True)
            raise
        finally:
            self.stopping.set()
        return stop

    def done(self, number: int, outcome: Outcome) -> None:
        """Called by the executor, from any thread."""
        self.inbox.put(Ended(number, outcome))

    def answer(self, answer: Proposed) -> None:
        """Called by the proposer, from its thread."""
        self.inbox.put(answer)

    def interrupt(self, stop: Stop) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self.inbox.put(stop)

    def advance(self, proposer: Proposer | None) -> Stop | None:
        """Begin what can be begun; returns why it is over when it is."""
        stop = self.last or self.limit()
        if stop and stop.is_hard:
            self.last = stop
            if not self.is_ending:
                self.is_ending = True
                self.trials.stop()
            return None if self.trials.running else stop
        if not self.journal.entries and self.config.policy.has_baseline and proposer:
            self.journal.admit([Proposal(source=BASELINE, rationale="the untouched target")], self.trials.tip)
        self.trials.begin_queued(self.done)
        stop = self.last or self.limit()
        if stop is None and proposer:
            self.ask(proposer)
        return None if self.trials.running or self.journal.queued() else stop

    def limit(self) -> Stop | None:
        """The limit that was reached, if any; a soft one may be left again, by an improvement of what still runs."""
        return guards.reached(self.config.controller, self.journal.tally())

    def ask(self, proposer: Proposer) -> None:
        """Ask the policy for as many trials as there is room for."""
        count, most = self.trials.pool.room(self.journal.cost()), self.config.controller.max_iterations
        if most is not None:
            count = min(count, most - len(self.journal.entries))
        if count <= 0 or self.is_asking:
            return
        best, code = self.journal.best, self.trials.code
        history = History.model_construct(
            results=self.journal.results(),
            running=[one.proposal for one in self.journal.pending()],
            best=best.result if best else None,
            tip=self.trials.tip,
            source=code.source() if code and self.config.policy.diffs else "",
        )
        self.is_asking, self.asked_from = True, self.trials.tip
        proposer.ask(Request(self.journal.untold(), count, history))

    def receive(self) -> Message | None:
        """The next message; None when it is time to look around."""
        wakes = [self.looked_s + self.config.controller.intra_iteration_cancel.poll_interval_s]
        if not self.trials.running:
            wakes.clear()
        if (most_s := self.config.controller.max_wall_time_s) is not None and not self.is_ending:
            wakes.append(time.monotonic() + most_s - self.journal.spent_s())
        try:
            return self.inbox.get(timeout=max(0.0, min(wakes) - time.monotonic()) if wakes else None)
        except queue.Empty:
            return None

    def handle(self, message: Message | None) -> None:
        """Act on a message, and read reports when it is time."""
        match message:
            case Ended(number, outcome) if number in self.trials.running:  # once, whatever an executor says
                if outcome.exit_code in SIGNALLED and not (message.is_late or self.last):
                    # a signal to all processes may be on its way to this one
                    threading.Timer(HOLD_S, self.inbox.put, [Ended(number, outcome, is_late=True)]).start()
                    return
                self.trials.end(number, outcome, self.last)
            case Proposed():
                self.take(message)
            case Stop():
                self.last = message
        if message is not None:
            self.journal.note_spans(self.trials.spans)
        if time.monotonic() - self.looked_s >= self.config.controller.intra_iteration_cancel.poll_interval_s:
            self.looked_s = time.monotonic()
            self.journal.save_time(durable=False)
            self.trials.look()

    def take(self, answer: Proposed) -> None:
        """Put what was proposed in the queue; nothing of an answer that comes too late."""
        self.is_asking = False
        if self.last:
            return
        if answer.error:
            self.error = answer.error
            is_ours = not isinstance(answer.error, AutoresearchError)
            said = f"{type(answer.error).__name__}: {answer.error}"
            self.last = Stop("policy_failed", said, is_hard=is_ours, is_resumable=True)
        elif answer.proposals:
            self.journal.admit(answer.proposals, self.asked_from, answer.state, answer.told)
        else:
            self.last = Stop("exhausted", "the policy has nothing more to propose")
