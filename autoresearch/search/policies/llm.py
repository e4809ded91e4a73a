"""A language model chooses parameters: one question for a batch; a random draw stands in where it fails."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema, create_model

from autoresearch.chat import Message
from autoresearch.errors import ChatFailed
from autoresearch.search import prompts
from autoresearch.search.policies import Context
from autoresearch.search.policies.adviser import Adviser
from autoresearch.search.policies.untried import Untried
from autoresearch.search.proposal import History, Proposal, Result
from autoresearch.search.space import Domain, Range, Space

SYSTEM = f"""You choose the parameters of the next trials of a machine learning experiment.
Read the trials so far, with their trajectories; say to yourself what they show about each parameter.
Propose what teaches most about where the best lies: mostly near what works, sometimes far from all that was tried.
Never propose a combination that was tried or is running. {prompts.DATA}"""
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


class Batch(BaseModel):
    """What the model answers; its ideas are of a class made for the space."""

    proposals: list[Any]


class Llm:
    """Policy `llm`."""

    def __init__(self, context: Context, adviser: Adviser | None = None):
        self.config = context.config
        self.space = context.config.policy.params
        self.adviser = adviser or Adviser(context)
        self.schema = batch_of(self.space)
        self.num_draws = 0

    def propose(self, count: int, history: History) -> list[Proposal]:
        """As in Policy; where a finite space is exhausted, nothing."""
        untried = Untried(self.space, history)
        left = untried.left()
        wanted = count if left is None else min(count, left)
        if not wanted:
            return []
        sieve = Sieve(untried, wanted)
        try:
            self.adviser.ask(self._messages(wanted, history), self.schema, sieve.complaint)
        except ChatFailed as error:
            if not sieve.found:
                self.adviser.fell_back(error)
                return self._drawn(wanted, untried, error)
        self.adviser.worked()
        cost = self.adviser.tokens()
        return [
            Proposal(params=untried.take(params), source="llm", rationale=why, notes=cost if not place else {})
            for place, (params, why) in enumerate(sieve.found)
        ]

    def tell(self, result: Result) -> None:
        """Nothing to learn: all is in the history."""

    def state(self) -> dict[str, Any]:
        """As in Policy."""
        return {"num_draws": self.num_draws, "adviser": self.adviser.state()}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """As in Policy."""
        self.num_draws = state.get("num_draws", 0)
        self.adviser.restore(state.get("adviser", {}))

    def _messages(self, wanted: int, history: History) -> list[Message]:
        asked = "1 proposal" if wanted == 1 else f"{wanted} proposals that differ from each other"
        user = (
            f"{prompts.guided(self.adviser.guidance())}# Task\n{prompts.objective(self.config.objective)}\n\n"
            f"# Parameters\n{prompts.space(self.space)}\n\n"
            f"# Trials\n{prompts.history(history, self.config.objective)}\n\n"
            f"Give exactly {asked}, each with all parameters and a rationale of one sentence."
        )
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]

    def _drawn(self, wanted: int, untried: Untried, error: ChatFailed) -> list[Proposal]:
        """Random combinations, each from a seed of its own, so that nothing but their number is to be remembered."""
        found = []
        for _ in range(wanted):
            params = untried.draw(f"{self.config.policy.seed} {self.num_draws}")
            self.num_draws += 1
            if params is not None:
                why = prompts.line(f"random, for the language model failed: {error}")
                found.append(Proposal(params=params, source="llm_fallback", rationale=why))
        return found


class Sieve:
    """Keeps of each answer what can be used, and says what is wrong with the rest."""

    def __init__(self, untried: Untried, wanted: int, fewest: int | None = None):
        """Take up to `wanted` ideas of an answer, which must hold `fewest` (by default all of them)."""
        self.untried, self.wanted, self.fewest = untried, wanted, wanted if fewest is None else fewest
        self.found: list[tuple[dict[str, Any], str]] = []
        """Of the answer with most of them: usable combinations and why they were proposed."""

    def complaint(self, batch: Batch) -> str:
        """What is wrong with an answer; empty when it has all that was asked for."""
        found: list[tuple[dict[str, Any], str]] = []
        faults = []
        for place, idea in enumerate(batch.proposals[: self.wanted], 1):
            params = whole(self.untried.space, idea.params.model_dump(by_alias=True))
            fault = self.untried.fault(params)
            if not fault and any(params == other for other, _ in found):
                fault = "this stands in your answer twice"
            if fault:
                faults.append(f"proposal {place}: {fault}")
            else:
                found.append((params, prompts.line(idea.rationale)))
        if len(batch.proposals) < self.fewest:
            faults.append(f"there must be {self.fewest} proposals but there are {len(batch.proposals)}")
        if len(found) > len(self.found):
            self.found = found
        return "; ".join(faults)


def batch_of(space: Space) -> type[Batch]:
    """The class of answers about a space; values are checked by the space itself, which says more."""
    fields: dict[str, Any] = {  # by alias, for a parameter may have any name
        f"param_{place}": (Annotated[Any, WithJsonSchema(_schema(domain))], Field(alias=name))
        for place, (name, domain) in enumerate(space.items())
    }
    params = create_model("Params", **fields)
    idea: Any = create_model("Idea", rationale=(str, ...), params=(params, ...))
    return create_model("Batch", __base__=Batch, proposals=(list[idea], ...))


def _schema(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Range):
        kind = "integer" if domain.is_integer else "number"
        return {"type": kind, "minimum": domain.low, "maximum": domain.high}
    kinds = {KINDS[type(one)] for one in domain}
    return {"enum": list(domain)} | ({"type": kinds.pop()} if len(kinds) == 1 else {})


def whole(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """A combination in which 8.0 is 8 where an integer is wanted, for models write both."""
    return {name: _whole(space.root.get(name), value) for name, value in params.items()}


def _whole(domain: Domain | None, value: Any) -> Any:
    is_integer = isinstance(domain, Range) and domain.is_integer
    return int(value) if is_integer and isinstance(value, float) and value.is_integer() else value
