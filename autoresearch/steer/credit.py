"""Which dimension of a round earned its result: a regression on finished rounds, and a logistic model of divergence.

Both are Bayesian with normal priors: a campaign has hardly more rounds than a quadratic in four dimensions has terms,
and with a prior every effect has an interval from the first round on, wide where nothing was tried. A quadratic is the
smallest model with an optimum inside the ranges, and its products keep a high peak without decay apart from others.
Lost rounds have no result that compares, so they speak through the model of divergence alone.

What it does not cover: an effect is of what was tried, over the ranges of the campaign; far from the best result the
quadratic is only a trend, so such results count less.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.steer.features import Coordinates, Features

DIMENSIONS = ("log_peak", "log_ramp_rate", "decay_start", "tail_ratio")
ALL = (0, 1, 2, 3)
MISFIT = 0.25  # of the distance to the best result: standard deviation of what the quadratic cannot follow
AMPLITUDES = (0.1, 0.2, 0.4, 0.8)  # of the spread of the results: prior sd of a slope, by marginal likelihood
SQUARES, PRODUCTS = 0.7, 0.5  # prior sd of a curvature and of an interaction, in slopes
ROLLBACK = 0.5  # prior sd of what a rollback costs, in slopes
LEVEL = 1.5  # prior sd of the level, in spreads
BEYOND = 1.5  # half ranges from the middle: what lies further out counts as being there
LOGIT = (-3.0, 3.0)  # prior mean and sd of the log odds to diverge in the middle of the ranges
SLOPES = ((12.0, 6.0), (2.0, 2.0), (0.5, 1.0))  # the same for peak, ramp rate and time near the peak, per half range
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Frame:
    """The ranges of a campaign: what the dimensions are scaled by, so that no column depends on what was tried."""

    low: Coordinates
    high: Coordinates

    def scale(self, at: Coordinates) -> list[float]:
        """-1 to 1 within the ranges; a dimension without a range is 0."""
        return [
            min(BEYOND, max(-BEYOND, (2 * x - low - high) / (high - low))) if high > low else 0.0
            for x, low, high in zip(at, self.low, self.high, strict=True)
        ]


class Credit:
    """What the finished rounds say about results: Bayesian linear regression on a quadratic of the dimensions."""

    def __init__(self, rounds: Sequence[Features], frame: Frame, sigma: float, dims: Sequence[int] = ALL):
        """Fit.

        Args:
            rounds: those without a result are left out; one at least must have one.
            sigma: standard deviation of one result.
            dims: numbers of the dimensions that are looked at.
        """
        import numpy as np

        told = [one for one in rounds if one.result is not None]
        self.frame, self.dims, self.sigma = frame, tuple(dims), sigma
        y = np.array([one.result for one in told], dtype=float)
        self.best = float(y.min())
        self.middle = float(np.median(y))
        x = self._columns([one.coordinates for one in told], [one.rollbacks for one in told])
        self.noise = sigma**2 + (MISFIT * (y - self.best)) ** 2
        spread = max(self.middle - self.best, float(y.std()) / 2, 3 * sigma)
        fits = [self._solve(x, y - self.middle, spread, amplitude) for amplitude in AMPLITUDES]
        _, self.mean, self.covariance = max(fits, key=lambda fit: fit[0])

    def _columns(self, rows: Sequence[Coordinates], rollbacks: Sequence[int] = ()) -> Any:
        """Level, slopes, squares, products, rollbacks: (N, terms)."""
        import numpy as np

        z = np.array([self.frame.scale(row) for row in rows])[:, self.dims]
        num = z.shape[1]
        products = [z[:, a] * z[:, b] for a in range(num) for b in range(a)]
        cost = np.array(list(rollbacks) or [0] * len(z), dtype=float)
        return np.column_stack([np.ones(len(z)), z, z**2, *products, np.minimum(cost, 3)])

    def _solve(self, x: Any, y: Any, spread: float, amplitude: float) -> tuple[float, Any, Any]:
        """Log marginal likelihood, mean and covariance of the coefficients (Bishop 2006, 3.3 and 3.5)."""
        import numpy as np

        num = len(self.dims)
        parts = [1.0] * num + [SQUARES] * num + [PRODUCTS] * (num * (num - 1) // 2) + [ROLLBACK]
        prior = np.array([LEVEL * spread, *(amplitude * spread * part for part in parts)]) ** 2
        whole = (x * prior) @ x.T + np.diag(self.noise)  # covariance of the results
        factor = np.linalg.cholesky(whole)
        half = np.linalg.solve(factor, x * prior)  # (N, terms)
        left = np.linalg.solve(factor, y)
        fit = -0.5 * float(left @ left) - float(np.log(np.diag(factor)).sum())
        return fit, half.T @ left, np.diag(prior) - half.T @ half

    def predict(self, rows: Sequence[Coordinates]) -> tuple[Any, Any]:
        """Mean and standard deviation of the expected result at places, without rollbacks: two arrays."""
        import numpy as np

        x = self._columns(rows)
        variance = ((x @ self.covariance) * x).sum(1)
        return self.middle + x @ self.mean, np.sqrt(np.maximum(variance, 0.0))

    def difference(self, here: Coordinates, there: Coordinates) -> tuple[float, float]:
        """By how much the expected result rises from one place to another, and the standard deviation of that."""
        import numpy as np

        x = self._columns([here, there])
        step = x[1] - x[0]
        return float(step @ self.mean), float(np.sqrt(max(0.0, step @ self.covariance @ step)))


class Risk:
    """The probability that a round diverges: logistic regression, its uncertainty by Laplace's approximation."""

    def __init__(self, rounds: Sequence[Features], frame: Frame):
        import numpy as np

        self.frame = frame
        prior = [LOGIT, *SLOPES]
        self.mean = np.array([one for one, _ in prior])
        inverse = np.diag([sd**-2.0 for _, sd in prior])
        self.covariance = np.linalg.inv(inverse)
        if not rounds:
            return
        x, y = self._columns(rounds), np.array([float(one.diverged) for one in rounds])
        start = self.mean
        for _ in range(NEWTON_STEPS):
            p = _logistic(x @ self.mean)
            curvature = (x.T * (p * (1 - p))) @ x + inverse
            step = np.linalg.solve(curvature, x.T @ (y - p) - inverse @ (self.mean - start))
            self.mean = self.mean + step / max(1.0, float(np.abs(step).max()))
            if np.abs(step).max() < 1e-6:
                break
        p = _logistic(x @ self.mean)
        self.covariance = np.linalg.inv((x.T * (p * (1 - p))) @ x + inverse)

    def _columns(self, rounds: Sequence[Features]) -> Any:
        import numpy as np

        z = [self.frame.scale(one.coordinates)[:2] for one in rounds]
        near = [2 * min(1.0, one.near_peak) - 1 for one in rounds]
        return np.column_stack([np.ones(len(z)), np.array(z), near])

    def predict(self, rounds: Sequence[Features]) -> Any:
        """The probability of each, averaged over what the model does not know (MacKay 1992)."""
        import numpy as np

        x = self._columns(rounds)
        variance = ((x @ self.covariance) * x).sum(1)
        return _logistic((x @ self.mean) / np.sqrt(1 + math.pi * variance / 8))


def _logistic(x: Any) -> Any:
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
