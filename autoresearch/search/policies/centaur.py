"""CMA-ES with a language model beside it, which sees where the search stands and may choose 30% of the points.

CMA-ES takes those for its own: they move its mean as any other point does. The method is that of arXiv 2603.24647.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoresearch.chat import Message
from autoresearch.errors import ChatFailed
from autoresearch.search import prompts
from autoresearch.search.policies import Context
from autoresearch.search.policies.adviser import Adviser
from autoresearch.search.policies.llm import Sieve, batch_of
from autoresearch.search.policies.sampled import KEY, Cmaes
from autoresearch.search.policies.untried import Params, Untried
from autoresearch.search.proposal import History, Proposal, Result

SHARE = 0.3
CHOSEN, FALLBACK = "centaur_llm", "centaur_fallback"
SYSTEM = f"""You stand beside CMA-ES, an optimiser that searches the parameters of a machine learning experiment.
It knows numbers alone; you know what the parameters mean. You see its mean, its step size and its covariance.
Choose points where you know better: where it looks in vain, has not looked, or cannot see what a failure means.
Where you do not know better, leave the point to it. {prompts.DATA}"""

Advise = Callable[[Mapping[str, Any], History, int], list[tuple[Params, str]]]
"""Given the state of CMA-ES, the history and a number: up to that many points, each with the reason."""


class Centaur(Cmaes):
    """Policy `centaur`."""

    source = "centaur_cmaes"

    def __init__(self, context: Context, advise: Advise | None = None):
        """Take the configured language model, or `advise` in its place."""
        super().__init__(context)
        self.config = context.config
        self.adviser = None if advise else Adviser(context)
        self.advise = advise or self._ask
        self.num_offered = 0
        """Points that were up for choice, chosen or not."""

    def propose(self, count: int, history: History) -> list[Proposal]:
        """As in Policy; the chosen points come first."""
        room = int(SHARE * (self.num_drawn + count) + 1e-9) - self.num_offered
        points: list[tuple[Params, str]] = []
        failure = ""
        if room > 0:
            try:
                points = self.advise(self.describe(), history, room)[:room]
            except ChatFailed as error:
                assert self.adviser
                self.adviser.fell_back(error)
                failure = prompts.line(f"left to CMA-ES, for the language model failed: {error}")
            self.num_offered += room
        self.chosen |= {self.num_drawn + place: params for place, (params, _) in enumerate(points)}
        found = super().propose(count, history)
        for proposal, (_, why) in zip(found, points, strict=False):
            proposal.source, proposal.rationale = CHOSEN, why
        for proposal in found[:room] if failure else []:
            proposal.source, proposal.rationale = FALLBACK, failure
        return found

    def state(self) -> dict[str, Any]:
        """As in Policy."""
        own = {"num_offered": self.num_offered, "adviser": self.adviser.state() if self.adviser else {}}
        return super().state() | own

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """As in Policy; what was chosen is in the proposals."""
        for proposal in (*(result.proposal for result in told), *pending):
            key = proposal.notes.get(KEY)
            if proposal.source == CHOSEN and isinstance(key, int) and not self.space.problems(proposal.params):
                self.chosen[key] = proposal.params
        super().restore(state, told, pending)
        self.num_offered = state.get("num_offered", 0)
        if self.adviser:
            self.adviser.restore(state.get("adviser", {}))

    def _ask(self, state: Mapping[str, Any], history: History, room: int) -> list[tuple[Params, str]]:
        """The language model's choice.

        Raises:
            ChatFailed: there is none.
        """
        assert self.adviser
        untried = Untried(self.space, history)
        sieve = Sieve(untried, room, fewest=0)
        try:
            self.adviser.ask(self._messages(state, history, room), batch_of(self.space), sieve.complaint)
        except ChatFailed:
            if not sieve.found:
                raise
        self.adviser.worked()
        return [(untried.take(params), why) for params, why in sieve.found]

    def _messages(self, state: Mapping[str, Any], history: History, room: int) -> list[Message]:
        assert self.adviser
        stands = prompts.numbered(state) if state else "Its first generation is not complete."
        user = (
            f"{prompts.guided(self.adviser.guidance())}# Task\n{prompts.objective(self.config.objective)}\n\n"
            f"# Parameters\n{prompts.space(self.space)}\n\n"
            "# Where CMA-ES stands (sigma and covariance in coordinates of which each range is 0 to 1)\n"
            f"{stands}\n\n# Trials\n{prompts.history(history, self.config.objective)}\n\n"
            f"Choose up to {room} of the next points, each with all parameters and a rationale of one sentence; leave "
            "`proposals` empty to leave them all to CMA-ES."
        )
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]
