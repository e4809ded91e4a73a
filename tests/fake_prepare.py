"""Stands in for prepare.py in the tests of the verbs: names a regime, and scores what fake_train.py saved."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--identity", action="store_true")
parser.add_argument("--score", type=Path)
parser.add_argument("--split", default="val")
options = parser.parse_args()
data = Path(os.environ.get("AUTORESEARCH_CACHE", ".")) / "rules.txt"
if options.identity:
    if not data.exists():
        sys.exit(f"PrepareError: no data in {data.parent}; run `uv run prepare.py`")
    print("a line that is no JSON")
    named = {"dataset": "fake", "scale": "tiny", "platform": "fakex1", "regime": "0123456789ab", "seed": 42}
    print(json.dumps({**named, "data": str(data.absolute())}))
else:
    time.sleep(float(os.environ.get("AUTORESEARCH_FAKE_SCORING_S", "0")))
    score = json.loads((options.score / "submission" / "config.json").read_text())["score"]
    print(f"{options.split}_bpb: {score + (options.split == 'sealed')}")
