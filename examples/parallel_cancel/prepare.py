"""Frozen: draws the examples once, and measures how well weights tell them apart."""

import json
import math
import random
from pathlib import Path

TRUTH = (2.0, -1.5, 1.0, 0.5, -0.25, 0.0, 0.0, 0.0)


def draw(generator: random.Random, count: int) -> list[tuple[list[float], int]]:
    """Examples of two kinds that overlap."""
    found = []
    for _ in range(count):
        x = [generator.gauss(0, 1 / (1 + place)) for place in range(len(TRUTH))]
        chance = 1 / (1 + math.exp(-3 * sum(one * weight for one, weight in zip(x, TRUTH, strict=True))))
        found.append((x, int(generator.random() < chance)))
    return found


if __name__ == "__main__":
    random_source = random.Random(1)
    Path("data.json").write_text(json.dumps({"train": draw(random_source, 400), "held": draw(random_source, 200)}))
