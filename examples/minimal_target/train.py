"""Mutable: fits a curve to the points by gradient descent, and predicts where it is asked to."""

import json
import os
from pathlib import Path

from autoresearch_rl.target.progress import emit_progress

STEPS = 200
RATE = 0.01


def features(x: float) -> list[float]:
    """What the prediction is a weighted sum of."""
    return [1.0, x]


def predict(weights: list[float], x: float) -> float:
    """The curve at one place."""
    return sum(weight * feature for weight, feature in zip(weights, features(x), strict=True))


def main() -> None:
    """Train and predict."""
    data = json.loads(Path("data.json").read_text())
    points = data["points"]
    weights = [0.0] * len(features(0.0))
    for step in range(1, STEPS + 1):
        misses = [(predict(weights, x) - y, features(x)) for x, y in points]
        slopes = [sum(miss * one[place] for miss, one in misses) / len(points) for place in range(len(weights))]
        weights = [weight - RATE * slope for weight, slope in zip(weights, slopes, strict=True)]
        emit_progress(step=step, step_target=STEPS, metrics={"loss": sum(miss**2 for miss, _ in misses) / len(points)})
    predictions = [predict(weights, x) for x in data["places"]]
    (Path(os.environ["AR_MODEL_DIR"]) / "predictions.json").write_text(json.dumps(predictions))


if __name__ == "__main__":
    main()
