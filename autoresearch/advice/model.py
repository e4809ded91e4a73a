"""A Gaussian process over the dials: what a combination would score, and how sure that is.

Squared exponential, a length for each dial by marginal likelihood (Rasmussen and Williams 2006, algorithm 2.1), and the
noise of a run as it was measured.
"""

import math
from collections.abc import Sequence
from typing import Any

from autoresearch.advice.history import Sample

LENGTHS = (0.2, 0.4, 0.8, 1.6, 5.0)
FIRST_LENGTH = 0.8
SWEEPS = 2
LEAST_AMPLITUDES = 3.0  # the scores vary over the ranges by this many times the noise at least, until shown otherwise
GRID = 9


class Model:
    """Losses by place (D dials, each 0 to 1), from N samples that ran."""

    def __init__(
        self, samples: Sequence[Sample], sigma: float, lengths: Any = None, level: tuple[float, float] | None = None
    ):
        import numpy as np

        self.samples, self.sigma = list(samples), sigma
        self.x = np.array([one.places for one in samples], dtype=float)  # (N, D)
        y = np.array([one.loss for one in samples], dtype=float)
        self.noise = np.array([sigma**2 / one.num_runs for one in samples])
        spread = float(y.std()) if len(y) > 2 else 0.0
        self.mean, self.amplitude = level or (float(np.median(y)), max(spread, LEAST_AMPLITUDES * sigma, 1e-9))
        self.y = y - self.mean
        self.lengths = self._fit() if lengths is None else lengths
        self.factor, self.weights, _ = self._solve(self.lengths)

    def with_sample(self, sample: Sample) -> "Model":
        """The same with one sample more, its lengths kept."""
        return Model([*self.samples, sample], self.sigma, self.lengths, (self.mean, self.amplitude))

    def _kernel(self, a: Any, b: Any, lengths: Any) -> Any:
        import numpy as np

        distance = ((a[:, None, :] - b[None, :, :]) / lengths) ** 2
        return self.amplitude**2 * np.exp(-0.5 * distance.sum(-1))

    def _solve(self, lengths: Any) -> tuple[Any, Any, float]:
        """Cholesky factor, weights, and the log marginal likelihood."""
        import numpy as np

        covariance = self._kernel(self.x, self.x, lengths) + np.diag(self.noise + 1e-6 * self.amplitude**2)
        factor = np.linalg.cholesky(covariance)
        weights = np.linalg.solve(factor.T, np.linalg.solve(factor, self.y))
        fit = -0.5 * float(self.y @ weights) - float(np.log(np.diag(factor)).sum())
        return factor, weights, fit

    def _fit(self) -> Any:
        """The length of each dial, one after the other, with a mild preference for the first guess."""
        import numpy as np

        lengths = np.full(self.x.shape[1], FIRST_LENGTH)
        if len(self.samples) < 4:
            return lengths
        best = self._score(lengths)
        for _ in range(SWEEPS):
            for dial in range(len(lengths)):
                for length in LENGTHS:
                    tried = lengths.copy()
                    tried[dial] = length
                    if (score := self._score(tried)) > best:
                        best, lengths = score, tried
        return lengths

    def _score(self, lengths: Any) -> float:
        import numpy as np

        return self._solve(lengths)[2] - 0.25 * float((np.log(lengths / FIRST_LENGTH) ** 2).sum())

    def predict(self, places: Any) -> tuple[Any, Any]:
        """Mean and standard deviation of the true loss at places (M, D): two arrays (M,)."""
        import numpy as np

        cross = self._kernel(places, self.x, self.lengths)  # (M, N)
        half = np.linalg.solve(self.factor, cross.T)  # (N, M)
        variance = self.amplitude**2 - (half**2).sum(0)
        return self.mean + cross @ self.weights, np.sqrt(np.maximum(variance, 0.0))

    def difference(self, start: Any, end: Any) -> tuple[float, float]:
        """By how much the loss falls from one place (D,) to another, and the standard deviation of that."""
        import numpy as np

        places = np.stack([start, end])
        cross = self._kernel(places, self.x, self.lengths)
        half = np.linalg.solve(self.factor, cross.T)
        covariance = self._kernel(places, places, self.lengths) - half.T @ half
        mean = cross @ self.weights
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        return float(mean[0] - mean[1]), math.sqrt(max(0.0, float(variance)))

    def importance(self, place: Any) -> list[float]:
        """Share of each dial in how far the predicted loss moves when that dial alone goes through its range."""
        import numpy as np

        spreads = []
        for dial in range(len(place)):
            line = np.repeat(place[None, :], GRID, axis=0)
            line[:, dial] = np.linspace(0, 1, GRID)
            spreads.append(float(self.predict(line)[0].std()))
        total = sum(spreads)
        return [spread / total if total > 0 else 0.0 for spread in spreads]
