"""The parameters that are searched: by name a list of choices, or a range of floats or integers."""

import math
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, field_validator, model_validator

Scalar = bool | int | float | str
NO_NAME = re.compile(r"|.*[=\0].*", re.DOTALL)  # what no variable can be called


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; integers where both bounds and the step are."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    low: int | float
    high: int | float
    log: bool = False
    """Whether it is searched by orders of magnitude."""
    step: int | float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high but got {self.low!r} and {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 where log is true but got {self.low!r}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step must be above 0 and at most high - low but got {self.step!r}")
        return self

    def __str__(self) -> str:
        """What a value of it is, in words."""
        steps = f" in steps of {self.step}" if self.step is not None else ""
        return f"{'an integer' if self.is_integer else 'a number'} from {self.low} to {self.high}{steps}"

    @property
    def is_integer(self) -> bool:
        """Whether its values are integers."""
        return all(isinstance(bound, int) for bound in (self.low, self.high, self.step or 1))

    def count(self) -> int | None:
        """How many values it has; None where there are too many to count."""
        if self.step is None and (self.log or not self.is_integer):
            return None
        if self.is_integer:
            return (int(self.high) - int(self.low)) // int(self.step or 1) + 1
        return int((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def nth(self, number: int) -> Scalar:
        """A value of those that can be counted, 0 to count - 1."""
        found = self.low + number * (self.step or 1)
        return found if self.is_integer else float(found)

    def at(self, share: float) -> Scalar:
        """The value at a share of the range, 0 to 1."""
        share = min(1.0, max(0.0, share))
        if self.step is not None and (count := self.count()):
            return self.nth(min(count - 1, int(share * count)))
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(float(self.high), max(float(self.low), value))
        return round(value) if self.is_integer else value

    def nearest(self, value: float) -> Scalar:
        """The value of a stepped range that is nearest to a number."""
        number = round((value - self.low) / (self.step or 1))
        return self.nth(min((self.count() or 1) - 1, max(0, number)))

    def holds(self, value: Any) -> bool:
        """Whether a value lies within it, has its kind, and is some steps from `low`."""
        if isinstance(value, bool) or not isinstance(value, int if self.is_integer else int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        return self.step is None or abs(float(self.nearest(value)) - value) <= 1e-9 * self.step


Domain = Range | tuple[Scalar, ...]
"""A range, or choices."""


class Space(RootModel[dict[str, Domain]]):
    """All parameters by name, in the order of the file."""

    model_config = ConfigDict(frozen=True, strict=True)

    root: dict[str, Domain] = {}

    @field_validator("root", mode="before")
    @classmethod
    def _reads(cls, raw: Any) -> Any:
        """A list is a choice, a mapping a range, a single value a choice of one."""
        if not isinstance(raw, Mapping):
            raise ValueError("must map names to lists or ranges")
        if wrong := [name for name in raw if isinstance(name, str) and NO_NAME.fullmatch(name)]:
            raise ValueError(f"names must not be empty nor hold '=', for they name variables, but got {wrong[0]!r}")
        return {name: _domain(name, one) for name, one in raw.items()}

    def __bool__(self) -> bool:
        return bool(self.root)

    def items(self) -> Iterator[tuple[str, Domain]]:
        """Names with their domains."""
        return iter(self.root.items())

    def size(self) -> int | None:
        """Number of cells; None where a range has no countable values."""
        counts = [count_of(domain) for _, domain in self.items()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def check_is_finite(self) -> None:
        """Raise ValueError, naming the parameters, unless every one of them can be counted."""
        endless = [name for name, domain in self.items() if count_of(domain) is None]
        if endless:
            raise ValueError(f"grid needs lists, or ranges with a step, but {', '.join(endless)} has no end")

    def cell(self, number: int) -> dict[str, Scalar]:
        """One combination of a finite space, 0 to size - 1; the last name varies fastest."""
        found: dict[str, Scalar] = {}
        for name, domain in reversed(self.root.items()):
            count = count_of(domain)
            assert count is not None
            number, place = divmod(number, count)
            found[name] = nth(domain, place)
        return dict(reversed(found.items()))

    def first(self) -> dict[str, Scalar]:
        """The first choice, or the lower bound, of each."""
        return {name: domain.low if isinstance(domain, Range) else domain[0] for name, domain in self.items()}

    def draw(self, generator: random.Random) -> dict[str, Scalar]:
        """A uniform draw; over orders of magnitude where a range is searched by those."""
        return {name: _draw(domain, generator) for name, domain in self.items()}

    def problems(self, params: Mapping[str, Any]) -> list[str]:
        """What is wrong with a combination, in words; empty where it lies in the space."""
        found = [f"{name} is no parameter; known: {', '.join(self.root)}" for name in params if name not in self.root]
        for name, domain in self.items():
            if name not in params:
                found.append(f"{name} is missing")
            elif isinstance(domain, Range):
                if not domain.holds(params[name]):
                    found.append(f"{name} must be {domain} but got {params[name]!r}")
            elif not any(same(params[name], one) for one in domain):
                found.append(f"{name} must be one of {', '.join(map(repr, domain))} but got {params[name]!r}")
        return found


def _draw(domain: Domain, generator: random.Random) -> Scalar:
    if (count := count_of(domain)) is None:
        assert isinstance(domain, Range)
        return domain.at(generator.random())
    return nth(domain, generator.randrange(count))


def count_of(domain: Domain) -> int | None:
    """Number of values of a domain; None where there are too many to count."""
    return domain.count() if isinstance(domain, Range) else len(domain)


def nth(domain: Domain, number: int) -> Scalar:
    """A value of a domain that can be counted."""
    return domain.nth(number) if isinstance(domain, Range) else domain[number]


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same choice: 1 and 1.0 are, 1 and True are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _domain(name: Any, raw: Any) -> Any:
    if isinstance(raw, Range | tuple):
        return raw
    if isinstance(raw, Mapping):
        try:
            return Range.model_validate(dict(raw))
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors()]
            raise ValueError(f"{name} must be {{low, high, log, step}} but: {'; '.join(faults)}") from error
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        raise ValueError(f"{name} must have at least one choice")
    if wrong := [one for one in values if not isinstance(one, Scalar) or one in (math.inf, -math.inf) or one != one]:
        raise ValueError(f"{name} must hold finite numbers, texts, true or false but got {wrong[0]!r}")
    return tuple(one for place, one in enumerate(values) if not any(same(one, other) for other in values[:place]))
