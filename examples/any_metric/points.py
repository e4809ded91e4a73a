"""Points in the plane, some with the wrong label: what the classifier learns from, and what it is asked."""

import math
import random

Point = tuple[float, float]
NUM_TRAINING, NUM_QUESTIONS = 400, 1000
WRONG_FRAC = 0.15


def label_of(point: Point) -> int:
    """Which of two spiral arms a point lies on."""
    turns = math.atan2(point[1], point[0]) / math.tau - math.hypot(*point)
    return int(turns % 1 < 0.5)


def draw(count: int, seed: int) -> list[Point]:
    """Points of a square."""
    chance = random.Random(seed)
    return [(chance.uniform(-1.2, 1.2), chance.uniform(-1.2, 1.2)) for _ in range(count)]


def training(seed: int) -> list[tuple[Point, int]]:
    """Labelled points, other ones for each seed."""
    chance = random.Random(seed + 1)
    return [(point, label_of(point) ^ (chance.random() < WRONG_FRAC)) for point in draw(NUM_TRAINING, seed)]


def questions() -> list[Point]:
    """The points that count, always the same."""
    return draw(NUM_QUESTIONS, -1)
