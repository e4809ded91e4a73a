"""The share of questions that were answered rightly."""

import json
import sys
from pathlib import Path

answers = json.loads(Path(sys.argv[1], "answers.json").read_text())
right = json.loads(Path("answers.json").read_text())
if len(answers) != len(right) or not {*answers} <= {0, 1}:
    sys.exit(f"Invalid: there must be {len(right)} answers, each 0 or 1")
print(f"accuracy: {sum(map(int.__eq__, answers, right)) / len(right):.4f}")
