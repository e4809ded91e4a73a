"""The thread in which a policy lives, so that a slow one holds up nothing else."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.search.policies import Policy
from autoresearch.search.proposal import History, Proposal, Result
from autoresearch.search.spans import Spans


@dataclass(frozen=True)
class Request:
    """What the policy is asked for."""

    untold: Sequence[Result]
    """To be told first."""
    count: int
    history: History


@dataclass(frozen=True)
class Proposed:
    """Its answer."""

    proposals: Sequence[Proposal] = ()
    state: Mapping[str, Any] | None = None
    told: int = 0
    """How many results were told before this state was taken."""
    error: BaseException | None = None
    """Raised by the policy; then there is nothing else."""


class Proposer:
    """Hands requests to a policy, one at a time."""

    def __init__(self, make: Callable[[], Policy], spans: Spans, answer: Callable[[Proposed], None], told: int):
        """Start the thread; the policy is made and restored by `make` in it, when it is first needed.

        Args:
            answer: called from the thread.
            told: number of results that the restored policy knows.
        """
        self.make, self.spans, self.answer, self.told = make, spans, answer, told
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="policy", daemon=True).start()

    def ask(self, request: Request) -> None:
        """Ask for proposals; `answer` follows."""
        self.requests.put(request)

    def _serve(self) -> None:
        policy: Policy | None = None
        while True:
            request = self.requests.get()
            try:
                policy = policy or self.make()
                for result in request.untold:
                    policy.tell(result)
                    self.told += 1
                with self.spans.span("policy.propose_batch", asked=request.count) as args:
                    proposals = [written(one) for one in policy.propose(request.count, request.history)]
                    args["proposed"] = len(proposals)
                self.answer(Proposed(proposals, policy.state(), self.told))
            except BaseException as error:  # the engine's thread raises it
                self.answer(Proposed(error=error))


def written(proposal: Proposal) -> Proposal:
    """The proposal if it can be written down, else a rejected one that says why."""
    try:
        proposal.model_dump_json()
    except ValueError as error:  # half a character, as in "\\ud800"
        why = str(error).encode(errors="replace").decode()
        return Proposal(source=proposal.source, rejected=f"the proposal cannot be written down: {why}")
    return proposal
