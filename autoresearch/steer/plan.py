"""The plan of a round: the learning rate as a pure function of progress, and the edits that a round may make."""

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from autoresearch.records import Record

LEAST_DECAY = 0.05  # of the run: the cool-down that every round is committed to
MOST_FINAL = 0.5  # of the peak: a run that ends above it has not decayed

Shape = Literal["linear", "cosine", "sqrt", "constant"]


class Plan(Record):
    """Warm up to `lr_start`, ramp to `lr_peak`, hold, decay; fractions are of the whole run.

    Shape `constant` holds the peak until the cool-down, which is linear and as short as may be; it ends at `final` too.
    """

    warmup: float = Field(default=0.0, ge=0, le=0.9)
    """Fraction that rises from 0 to `lr_start`."""
    ramp: float = Field(default=0.0, ge=0, le=0.9)
    """Fraction that goes from `lr_start` to `lr_peak`; 0: the warmup goes to the peak."""
    lr_start: float = Field(gt=0)
    """Learning rate at the end of the warmup; not above the peak."""
    lr_peak: float = Field(gt=0)
    """Highest learning rate."""
    decay: float = Field(default=0.5, ge=LEAST_DECAY, le=1)
    """Fraction at the end that falls from `lr_peak` to `lr_peak * final`; what is left before it is held."""
    shape: Shape = "linear"
    final: float = Field(default=0.0, ge=0, le=MOST_FINAL)
    """What is left of the peak at the end."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup + self.ramp + self.decay > 1 + 1e-9:
            raise ValueError(f"warmup + ramp + decay must be at most 1 but got {self.warmup + self.ramp + self.decay}")
        if self.lr_start > self.lr_peak:
            raise ValueError(f"lr_start must be at most lr_peak but got {self.lr_start} and {self.lr_peak}")
        return self

    @property
    def hold(self) -> float:
        """Fraction that stays at the peak."""
        return max(0.0, 1 - self.warmup - self.ramp - self.cooldown)

    @property
    def cooldown(self) -> float:
        """Fraction that really falls."""
        return LEAST_DECAY if self.shape == "constant" else self.decay

    @property
    def words(self) -> str:
        """It in a line, for readers."""
        rise, fall = (
            f"peak {self.lr_peak:.3g} ramp {self.ramp:.2g}",
            f"decay {self.cooldown:.2g} final {self.final:.2g}",
        )
        return f"{rise} {self.shape} {fall}"

    def lr(self, p: float) -> float:
        """Learning rate at progress `p` in 0..1, as the trainer computes it."""
        p, start = min(max(p, 0.0), 1.0), self.lr_start if self.ramp else self.lr_peak
        if p < self.warmup:
            return start * p / self.warmup
        if p < self.warmup + self.ramp:
            return start + (self.lr_peak - start) * (p - self.warmup) / self.ramp
        if p <= 1 - self.cooldown:
            return self.lr_peak
        x = (p - (1 - self.cooldown)) / self.cooldown
        falls = {"cosine": (1 + math.cos(math.pi * x)) / 2, "sqrt": 1 - math.sqrt(x)}
        return self.lr_peak * (self.final + (1 - self.final) * falls.get(self.shape, 1 - x))

    def schedule(self, lr_unit: float) -> dict[str, Any]:
        """The `plan` of control.json; `lr_unit` is the learning rate that the trainer calls scale 1."""
        return {
            "warmup": self.warmup,
            "ramp": self.ramp,
            "start": self.lr_start / lr_unit,
            "peak": self.lr_peak / lr_unit,
            "decay": self.cooldown,
            "shape": "linear" if self.shape == "constant" else self.shape,
            "final": self.final,
        }

    def ahead(self, p: float) -> float:
        """Highest learning rate from progress `p` on."""
        return self.lr_peak if p <= 1 - self.cooldown else self.lr(p)

    def scaled(self, factor: float) -> "Plan":
        """The plan with every learning rate multiplied."""
        return self.model_copy(update={"lr_start": self.lr_start * factor, "lr_peak": self.lr_peak * factor})

    def decaying_from(self, p: float) -> "Plan":
        """The plan that begins its decay at `p`, without a jump; itself where it has begun, or nothing has."""
        if p <= 0 or p >= 1 - self.cooldown or self.lr(p) <= 0:
            return self
        warmup, lr_peak = min(self.warmup, p), self.lr(p)
        return Plan(
            warmup=warmup,
            ramp=min(self.ramp, p - warmup),
            lr_start=min(self.lr_start, lr_peak),
            lr_peak=lr_peak,
            decay=1 - p,
            shape="linear" if self.shape == "constant" else self.shape,
            final=self.final,
        )
