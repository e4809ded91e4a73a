"""The combinations of a space that were not tried yet on the code as it now is."""

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

from autoresearch.search.proposal import History, Result, TrialStatus
from autoresearch.search.space import Domain, Range, Scalar, Space, same
from autoresearch.search.store import DIRTY

DRAWS = 200  # random ones, before a finite space is searched from its beginning

Params = dict[str, Scalar]


class Untried:
    """What is left of a space; taking a combination makes it tried."""

    def __init__(self, space: Space, history: History):
        self.space = space
        ran = [one.proposal.params for one in history.results if is_of_this_code(one, history)]
        running = [one.params for one in history.running if not one.diff]
        self.tried = {key(settled(space, one)) for one in (*ran, *running) if not space.problems(one)}

    def left(self) -> int | None:
        """How many there are; None where they cannot be counted."""
        size = self.space.size()
        return None if size is None else max(0, size - len(self.tried))

    def fault(self, params: Mapping[str, Any]) -> str:
        """Why a combination cannot be taken, in words for who proposed it; empty where it can."""
        if problems := self.space.problems(params):
            return "; ".join(problems)
        return "this was tried, or is being tried" if key(settled(self.space, params)) in self.tried else ""

    def take(self, params: Mapping[str, Any]) -> Params:
        """Make a combination tried, and spell it as the space does."""
        found = settled(self.space, params)
        self.tried.add(key(found))
        return found

    def draw(self, seed: str) -> Params | None:
        """Take a random one, always the same for a seed; None where nothing is left."""
        generator = random.Random(seed)
        drawn = (self.space.draw(generator) for _ in range(DRAWS))
        found = next((one for one in itertools.chain(drawn, self._cells()) if key(one) not in self.tried), None)
        return found and self.take(found)

    def _cells(self) -> Iterator[Params]:
        """All combinations of a finite space, in order."""
        return map(self.space.cell, range(self.space.size() or 0))


def is_of_this_code(result: Result, history: History) -> bool:
    """Whether a trial ran the code that the next one will run; true where no code changes."""
    ran = result.status != TrialStatus.REJECTED
    return ran and (not history.tip or not result.commit or result.commit.removesuffix(DIRTY) == history.tip)


def settled(space: Space, params: Mapping[str, Any]) -> Params:
    """A combination that lies in the space, with values of the very types that the space has."""
    return {name: _settled(domain, params[name]) for name, domain in space.items()}


def key(params: Mapping[str, Scalar]) -> str:
    """Text that is equal for equal combinations."""
    return json.dumps(params, sort_keys=True)


def _settled(domain: Domain, value: Scalar) -> Scalar:
    if isinstance(domain, Range) and domain.step is not None:
        return domain.nearest(float(value))
    if isinstance(domain, Range):
        return value if domain.is_integer else float(value)
    return next(one for one in domain if same(one, value))
