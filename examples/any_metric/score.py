"""The share of questions that were answered rightly."""

import json
import os
import sys
from pathlib import Path

PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a link leads elsewhere, a pipe makes one wait
with open(os.open(Path(sys.argv[1], "answers.json"), PLAIN)) as file:
    answers = json.load(file)
right = json.loads(Path("answers.json").read_text())
if len(answers) != len(right) or not {*answers} <= {0, 1}:
    sys.exit(f"Invalid: there must be {len(right)} answers, each 0 or 1")
print(f"accuracy: {sum(map(int.__eq__, answers, right)) / len(right):.4f}")
