"""Which dimension of a round earned its result: a regression on finished rounds, and a logistic model of divergence.

Both are Bayesian with normal priors: a campaign has hardly more rounds than a quadratic in four dimensions has terms,
and with a prior every effect has an interval from the first round on, wide where nothing was tried. A quadratic is the
smallest model with an optimum inside the ranges, and its products keep a high peak without decay apart from others; a
smooth rest beside it follows what is no quadratic. How much each dimension matters is learned, so that one that does
not matter stops looking unknown. Lost rounds have no result that compares, so they speak through the model of
divergence alone.

What it does not cover: an effect is of what was tried, over the ranges of the campaign; results far from the best count
less, so there it is only a trend.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.steer.features import Coordinates, Features

DIMENSIONS = ("log_peak", "log_ramp_rate", "decay_start", "tail_ratio")
ALL = (0, 1, 2, 3)
MISFIT = 0.25  # of the distance to the best result: standard deviation of what the regression need not follow
SLOPE, REST = 0.5, 0.2  # of the spread of the results: prior sd of a slope, and of what is no quadratic
SQUARES, PRODUCTS = 0.7, 0.5  # prior sd of a curvature and of an interaction, in slopes
ROLLBACK = 0.5  # prior sd of what a rollback costs, in slopes
LEVEL = 1.5  # prior sd of the level, in spreads
LENGTH = 0.7  # half ranges over which the rest changes
DOUBLINGS = 0.75  # prior sd of slope, rest and how much a dimension matters: each may turn out larger or smaller
SWEEPS = 3  # over these, until they fit
JITTER = 1e-6  # of the spread: least noise, so that absurd results can be solved for
LEAST_SPREAD = 1e-12  # where all results are 0
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
    """What the finished rounds say about results: a Gaussian process around a quadratic of the dimensions."""

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
        self.spread = max(self.middle - self.best, float(y.std()) / 2, 3 * sigma, LEAST_SPREAD)
        self.noise = sigma**2 + (MISFIT * (y - self.best)) ** 2 + (JITTER * self.spread) ** 2
        self.y = y - self.middle
        self.ran = self._columns([one.coordinates for one in told], [one.rollbacks for one in told])
        self.scales = np.array([SLOPE, REST, *[1.0] * len(self.dims)])
        self._settle()

    def _columns(self, rows: Sequence[Coordinates], rollbacks: Sequence[int] = ()) -> Any:
        """Coordinates within the ranges, and rollbacks: (N, dims + 1)."""
        import numpy as np

        z = np.array([self.frame.scale(row) for row in rows])[:, self.dims]
        cost = np.array(list(rollbacks) or [0] * len(z), dtype=float)
        return np.column_stack([z, np.minimum(cost, 3)])

    def _settle(self) -> None:
        """Find the most probable scales, by doubling and halving one at a time."""
        import numpy as np

        start, best = self.scales, self._fit()
        for place in [*range(len(start))] * SWEEPS:
            for factor in (2.0, 0.5):
                kept, self.scales = self.scales, self.scales.copy()
                self.scales[place] *= factor
                doublings = np.log2(self.scales / start) / DOUBLINGS
                fit = self._fit() - 0.5 * float(doublings @ doublings)
                best, self.scales = (fit, self.scales) if fit > best else (best, kept)
        self._fit()

    def _fit(self) -> float:
        """Log marginal likelihood of the scales; leaves what predictions need (Rasmussen and Williams 2006, 2.2)."""
        import numpy as np

        self.factor = np.linalg.cholesky(self._kernel(self.ran[:, None], self.ran) + np.diag(self.noise))
        self.left = np.linalg.solve(self.factor, self.y)
        return -0.5 * float(self.left @ self.left) - float(np.log(np.diag(self.factor)).sum())

    def _kernel(self, a: Any, b: Any) -> Any:
        """Prior covariance of the expected results of rows, which broadcast: (N, 1, dims + 1) and (M, dims + 1).

        The quadratic's part is that of independent normal priors on level, slopes, squares, products and rollbacks.
        """
        import numpy as np

        slope, rest, *matters = self.scales
        both, apart = (a * b)[..., :-1] * np.square(matters), (a - b)[..., :-1] * matters
        slopes, squares = both.sum(-1), (both**2).sum(-1)
        products = (slopes**2 - squares) / 2
        quadratic = slopes + SQUARES**2 * squares + PRODUCTS**2 * products + ROLLBACK**2 * (a * b)[..., -1]
        smooth = np.exp(-(apart**2).sum(-1) / (2 * LENGTH**2))
        return self.spread**2 * (LEVEL**2 + slope**2 * quadratic + rest**2 * smooth)

    def predict(self, rows: Sequence[Coordinates]) -> tuple[Any, Any]:
        """Mean and standard deviation of the expected result at places, without rollbacks: two arrays."""
        import numpy as np

        x = self._columns(rows)
        half = np.linalg.solve(self.factor, self._kernel(self.ran[:, None], x))
        variance = self._kernel(x, x) - (half**2).sum(0)
        return self.middle + half.T @ self.left, np.sqrt(np.maximum(variance, 0.0))

    def difference(self, here: Coordinates, there: Coordinates) -> tuple[float, float]:
        """By how much the expected result rises from one place to another, and the standard deviation of that."""
        import numpy as np

        x, step = self._columns([here, there]), np.array([-1.0, 1.0])
        half = np.linalg.solve(self.factor, self._kernel(self.ran[:, None], x)) @ step
        variance = step @ self._kernel(x[:, None], x) @ step - half @ half
        return float(half @ self.left), float(np.sqrt(max(0.0, variance)))


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
