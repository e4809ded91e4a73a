"""Stands in for prepare.py in the tests of the verbs: names a regime, and scores what fake_train.py saved."""

import argparse
import colorsys  # noqa: F401  stands for a library: a file of that name beside this one must not take its place
import json
import os
import runpy
import socket
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--identity", action="store_true")
parser.add_argument("--play", type=Path)
parser.add_argument("--referee", action="store_true")
parser.add_argument("--descriptors", type=int, nargs="+")
parser.add_argument("--split", default="val")
options = parser.parse_args()
cache = Path(os.environ.get("AUTORESEARCH_CACHE", "."))
data = next(iter(cache.glob("fake/train/*/data.json")), cache / "rules.txt")
if options.identity:
    if not data.exists():
        sys.exit(f"PrepareError: no data in {data.parent}; run `uv run prepare.py`")
    print("a line that is no JSON")
    named = {"dataset": "fake", "scale": "tiny", "platform": "fakex1", "regime": "0123456789ab", "seed": 42}
    print(json.dumps({**named, "data": str(data.absolute())}))
elif options.play:
    channel = socket.socket(fileno=options.descriptors[0])
    config = (options.play / "submission" / "config.json").read_bytes()
    if (train := options.play / "code" / "train.py").exists():
        runpy.run_path(str(train))["build_model"](json.loads(config))  # where a candidate's code may do its tricks
    channel.sendall(config)
else:
    channel, _, result = options.descriptors
    time.sleep(float(os.environ.get("AUTORESEARCH_CHECKPOINT_STEPS", "0")))  # passed on to trials, and free here
    if said := socket.socket(fileno=channel).recv(1000):
        score = json.loads(said)["score"] + (options.split == "sealed")
        answer = {f"{options.split}_bpb": score}
    else:
        answer = {"refused": "PlayerFailed", "why": "the player must answer every batch but ended"}
    os.write(result, json.dumps(answer).encode())
