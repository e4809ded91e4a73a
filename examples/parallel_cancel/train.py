"""Mutable: logistic regression by stochastic gradient descent, with a report after every step.

A pause at every step stands for the work of a larger model.
"""

import json
import math
import os
import random
import time
from pathlib import Path

from autoresearch_rl.target.progress import emit_progress

STEPS = 40
BATCH = 16
PAUSE_S = 0.04


def chance(weights: list[float], x: list[float]) -> float:
    """That an example is of the second kind."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, sum(w * one for w, one in zip(weights, x, strict=True))))))


def loss(weights: list[float], examples: list[tuple[list[float], int]]) -> float:
    """Mean surprise in nats."""
    return -sum(math.log(chance(weights, x) if y else 1 - chance(weights, x)) for x, y in examples) / len(examples)


def main() -> None:
    """Train with the parameters of the trial."""
    params = json.loads(os.environ.get("AR_PARAMS_JSON", "{}"))
    rate, momentum = params.get("rate", 0.1), params.get("momentum", 0.0)
    data, source = json.loads(Path("data.json").read_text()), random.Random(int(os.environ.get("AR_SEED", "1")))
    weights = [0.0] * len(data["train"][0][0])
    speed = list(weights)
    for step in range(1, STEPS + 1):
        misses = [(chance(weights, x) - y, x) for x, y in source.sample(data["train"], BATCH)]
        for place, before in enumerate(speed):
            speed[place] = momentum * before - rate * sum(miss * x[place] for miss, x in misses) / BATCH
        weights = [weight + one for weight, one in zip(weights, speed, strict=True)]
        time.sleep(PAUSE_S)
        emit_progress(step=step, step_target=STEPS, metrics={"loss": loss(weights, data["held"])})
    print("loss:", loss(weights, data["held"]))


if __name__ == "__main__":
    main()
