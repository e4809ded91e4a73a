"""A scripted agent: goes through the same ideas as every other, and leaves to them what they claimed or measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

IDEAS = (("DEPTH", "2"), ("LR", "2.0"), ("DEPTH", "1"), ("LR", "3.0"), ("LR", "0.5"))
train = Path("train.py")
for name, value in IDEAS:
    text = re.sub(rf"^{name} = .*$", f"{name} = {value}", train.read_text(), flags=re.MULTILINE)
    train.write_text(text)
    words = [sys.executable, "-m", "autoresearch", "try", "--hub", "-m", f"{name} to {value}", "--max-runs", "2"]
    done = subprocess.run(words, capture_output=True, text=True)
    print(json.dumps([f"{name} to {value}", done.returncode, done.stderr.strip()]), flush=True)
    if done.returncode:
        subprocess.run(["git", "restore", "train.py"], check=True)
