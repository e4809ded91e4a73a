"""How the next trial is chosen: one interface, and the table of policies.

A policy lives in one thread: the engine calls `restore`, `tell`, `propose` and `state` there and nowhere else, so a
slow `propose` (an LLM) holds up neither records nor other trials. It touches no files of the campaign, prints nothing
and reads neither clock nor environment; what it needs it is given in `Context`.
"""

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from autoresearch.search.config import Config
from autoresearch.search.proposal import History, Proposal, Result
from autoresearch.search.spans import Spans

POLICIES = {
    "static": ("fixed", "Static"),
    "grid": ("fixed", "Grid"),
    "random": ("sampled", "Random"),
    "tpe": ("sampled", "Tpe"),
    "cmaes": ("sampled", "Cmaes"),
    "learned": ("learned", "Learned"),
    "llm": ("llm", "Llm"),
    "llm_diff": ("llm_diff", "LlmDiff"),
    "hybrid": ("hybrid", "Hybrid"),
    "centaur": ("centaur", "Centaur"),
}
"""By type: module of this package and class, made by `Class(context)`."""


@dataclass(frozen=True)
class Context:
    """What a policy is made from."""

    config: Config
    spans: Spans = field(default_factory=Spans)
    """Where long calls are noted: `with spans.span("llm.chat_completion", attempts=2): ...`."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the campaign is to end; every wait must be on it (`stop.wait(seconds)`), never a plain sleep."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment, for the API key that `policy.llm_api_key_env` names."""
    check_diff: Callable[[str, str], str] = lambda tip, diff: ""
    """Of diffs.py: why a diff cannot be applied to a commit, in words for the LLM; empty where it can."""


class Policy(Protocol):
    """Proposes trials and learns from them."""

    def propose(self, count: int, history: History) -> list[Proposal]:
        """Propose up to `count` trials at once.

        Fewer is allowed. None at all means that the policy has nothing more to propose: the campaign ends with the
        reason `exhausted` when what is running is over. After `context.stop` is set the answer is thrown away.

        Raises:
            AutoresearchError: the campaign must end, with this as its reason (no key, too many fallbacks).
        """

    def tell(self, result: Result) -> None:
        """Learn from a trial; called in order of submission, each once, whoever proposed it.

        The baseline, trials by hand and rejected diffs come here too.
        """

    def state(self) -> dict[str, Any]:
        """What the results do not tell, as JSON: random generator, cursor, weights, conversation, costs.

        Saved in the same transaction as the proposals that `propose` just returned.
        """

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """Become the policy that gave `state`; called once, on a fresh object, before anything else.

        Args:
            state: what `state()` returned when the store last saw it; empty for a new campaign.
            told: results that were told before that, in order; they are not told again.
            pending: proposals that were admitted by then and are not told; their results come by `tell`.
        """


def make(context: Context) -> Policy:
    """The policy that the configuration names."""
    module, name = POLICIES[context.config.policy.type]
    made: Policy = getattr(importlib.import_module(f"{__name__}.{module}"), name)(context)
    return made
