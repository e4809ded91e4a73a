"""Frozen: draws the points once, and judges predictions at places that it never shows the values of."""

import json
import os
import random
import sys
from pathlib import Path


def draw(seed: int, count: int) -> list[tuple[float, float]]:
    """Points of a curve, with noise."""
    generator = random.Random(seed)
    places = [generator.uniform(0, 10) for _ in range(count)]
    return [(x, 3 + 0.5 * x + 0.4 * (x - 5) ** 2 + generator.gauss(0, 0.5)) for x in places]


def prepare() -> None:
    """Write the points to learn from, and the places to predict at."""
    data = {"points": draw(1, 60), "places": [x for x, _ in draw(2, 30)]}
    Path("data.json").write_text(json.dumps(data))


def judge() -> None:
    """Print the mean squared error of what a trial predicts."""
    predictions = json.loads((Path(os.environ["AR_MODEL_DIR"]) / "predictions.json").read_text())
    truth = [y for _, y in draw(2, 30)]
    print("error:", sum((p - y) ** 2 for p, y in zip(predictions, truth, strict=True)) / len(truth))


if __name__ == "__main__":
    judge() if sys.argv[1:] == ["judge"] else prepare()
