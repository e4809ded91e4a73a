"""Policies that need neither results nor chance: the same parameters again, every cell of a grid once."""

from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch.search.policies import Context
from autoresearch.search.proposal import History, Proposal, Result


class Static:
    """The first choice of every parameter, again and again: what the same code gives twice is its noise."""

    def __init__(self, context: Context):
        self.params = context.config.policy.params.first()

    def propose(self, count: int, history: History) -> list[Proposal]:
        """The same for each."""
        return [Proposal(params=self.params, source="static") for _ in range(count)]

    def tell(self, result: Result) -> None:
        """Nothing is learned."""

    def state(self) -> dict[str, Any]:
        """None is needed."""
        return {}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """None is needed."""


class Grid(Static):
    """Every combination once, the last parameter fastest; then it is exhausted."""

    def __init__(self, context: Context):
        super().__init__(context)
        self.space, self.cursor = context.config.policy.params, 0
        self.size = self.space.size() or 0

    def propose(self, count: int, history: History) -> list[Proposal]:
        """The next cells."""
        first, self.cursor = self.cursor, min(self.size, self.cursor + count)
        return [Proposal(params=self.space.cell(number), source="grid") for number in range(first, self.cursor)]

    def state(self) -> dict[str, Any]:
        """How many cells were proposed."""
        return {"cursor": self.cursor}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """Go on after the last cell."""
        self.cursor = state.get("cursor", 0)
