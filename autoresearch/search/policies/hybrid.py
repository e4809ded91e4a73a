"""Parameters first, code when they stall; whose turn it is follows from the trials alone, also after a restart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.search.config import Policy as Settings
from autoresearch.search.policies import Context
from autoresearch.search.policies.adviser import Adviser
from autoresearch.search.policies.llm import Llm
from autoresearch.search.policies.llm_diff import SOURCE, LlmDiff
from autoresearch.search.proposal import BASELINE, FAILURES, History, Proposal, Result, TrialStatus

MOST_DOUBLINGS = 4


@dataclass
class Standing:
    """Where a campaign stands between parameters and code."""

    num_explored: int = 0
    """Trials of parameters, running ones included."""
    streak: int = 0
    """Trials over since the last one that was kept."""
    failures: int = 0
    """Changes of code in a row that failed."""
    locked: int = 0
    """Trials of parameters that must be over before code may be changed again."""
    lockouts: int = 0
    """Times in a row that changes of code were locked out, without one that ran in between."""

    @classmethod
    def of(cls, history: History, settings: Settings) -> "Standing":
        """Go through all trials."""
        standing = cls()
        for result in history.results:
            standing._tell(result, settings)
        standing.num_explored += sum(not is_code(one) and one.source != BASELINE for one in history.running)
        return standing

    def _tell(self, result: Result, settings: Settings) -> None:
        self.streak = 0 if result.decision == "keep" else self.streak + 1
        if not is_code(result.proposal):
            self.num_explored += result.proposal.source != BASELINE
            self.locked = max(0, self.locked - 1)
        elif result.status in FAILURES:
            self.failures += 1
            if self.failures >= settings.hybrid_diff_failure_limit:
                self.locked = settings.hybrid_stall_threshold << min(self.lockouts, MOST_DOUBLINGS)
                self.failures, self.lockouts = 0, self.lockouts + 1
        elif result.status == TrialStatus.OK:
            self.failures = self.lockouts = 0

    def wants_code(self, settings: Settings) -> bool:
        """Whether the next proposal is a change of code."""
        is_explored = self.num_explored >= settings.hybrid_param_explore_iters
        return is_explored and not self.locked and self.streak >= settings.hybrid_stall_threshold


class Hybrid:
    """Policy `hybrid`."""

    def __init__(self, context: Context):
        self.settings = context.config.policy
        self.adviser = Adviser(context)
        self.params, self.code = Llm(context, self.adviser), LlmDiff(context, self.adviser)

    def propose(self, count: int, history: History) -> list[Proposal]:
        """As in Policy; a finite space that is exhausted leaves the code, unless that is locked out."""
        standing = Standing.of(history, self.settings)
        if standing.wants_code(self.settings):
            return self.code.propose(count, history)
        found = self.params.propose(count, history)
        return found or ([] if standing.locked else self.code.propose(count, history))

    def tell(self, result: Result) -> None:
        """Nothing to learn: all is in the history."""

    def state(self) -> dict[str, Any]:
        """As in Policy; the adviser is in the state of `params`."""
        return self.params.state()

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """As in Policy."""
        self.params.restore(state, told, pending)


def is_code(proposal: Proposal) -> bool:
    """Whether a proposal changes code, or was meant to."""
    return bool(proposal.diff) or proposal.source == SOURCE
