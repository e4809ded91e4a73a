"""Draws points in the plane on two spiral arms, some with the wrong label: `uv run draw.py`, once, by a person.

How the arms are turned is drawn too and written down nowhere: there is no rule to copy, only points to learn from.
"""

import json
import math
import random
from pathlib import Path

NUM_TRAINING, NUM_QUESTIONS, WRONG_FRAC = 4000, 1000, 0.15


def main() -> None:
    """Write labelled points, questions, and the answers to them."""
    chance = random.SystemRandom()
    turned = chance.random()
    points = [(chance.uniform(-1.2, 1.2), chance.uniform(-1.2, 1.2)) for _ in range(NUM_TRAINING + NUM_QUESTIONS)]
    labels = [int((math.atan2(y, x) / math.tau - math.hypot(x, y) + turned) % 1 < 0.5) for x, y in points]
    training = [(x, y, label ^ (chance.random() < WRONG_FRAC)) for (x, y), label in zip(points, labels, strict=True)]
    Path("training.json").write_text(json.dumps(training[:NUM_TRAINING]))
    Path("questions.json").write_text(json.dumps(points[NUM_TRAINING:]))
    Path("answers.json").write_text(json.dumps(labels[NUM_TRAINING:]))


if __name__ == "__main__":
    main()
