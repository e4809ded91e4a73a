#!/usr/bin/env bash
# Measure this repository on a bare GPU machine: python3 >= 3.11, torch >= 2.11, no uv, no network.
#
#   benchmarks/gpu.sh smoke|full --out DIR [--wheels DIR]
#
# smoke trains for 60 s (at most 2 minutes in all), full for 300 s (at most 9); what time is left, two processes score
# the submission once more.
# Missing packages come from the wheels in --wheels; the text is `pysource`, made from this machine's own packages, so
# the score is of many epochs over little text and compares with nothing but itself.
set -euo pipefail

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

mode=${1:-}; shift || usage
out='' wheels=''
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
    *) echo "unknown argument: $1" >&2; usage ;;
  esac
done
case $mode in smoke) budget=60 limit=120 ;; full) budget=300 limit=540 ;; *) usage ;; esac
[ -n "$out" ] || usage
begun=$SECONDS
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "$wheels" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$wheels"/*.whl
  export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
fi
python3 - <<'PY'
import sys

try:
    import torch
except ImportError:
    sys.exit("python3 must have torch >= 2.11")
version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
problems = []
if sys.version_info < (3, 11):
    problems.append(f"python must be >= 3.11 but is {sys.version.split()[0]}")
if version < (2, 11):
    problems.append(f"torch must be >= 2.11 but is {torch.__version__}")
if not torch.cuda.is_available():
    problems.append("torch must see a CUDA device")
for name in ("filelock", "numpy", "pyarrow", "requests", "rustbpe", "tiktoken", "tqdm"):
    try:
        __import__(name)
    except ImportError:
        problems.append(f"{name} is missing: put its wheel into the folder given with --wheels")
if problems:
    sys.exit("\n".join(problems))
PY

export AUTORESEARCH_CACHE="$work/cache" AUTORESEARCH_DATASET=pysource AUTORESEARCH_TIME_BUDGET=$budget
export AUTORESEARCH_TRIAL_DIR="$work/trial" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
cd "$root"
status=0
timeout $((limit - budget)) python3 prepare.py >"$out/prepare.log" 2>&1 || status=$?
prepared=$((SECONDS - begun))
cp "$out/prepare.log" "$out/train.log"
if [ "$status" -eq 0 ]; then
  timeout $((limit - prepared)) python3 train.py >"$out/train.log" 2>&1 || status=$?
fi
tail -n 40 "$out/train.log"

wall=$((SECONDS - begun))
scored=none
if [ "$status" -eq 0 ] && [ "$wall" -lt "$limit" ]; then
  scored=0
  timeout $((limit - wall)) python3 prepare.py --score "$work/trial" >"$out/score.log" 2>&1 || scored=$?
  tail -n 5 "$out/score.log"
fi

python3 - "$mode" "$status" "$prepared" "$wall" "$out" "$scored" "$((SECONDS - begun - wall))" <<'PY'
import json
import math
import pathlib
import sys

import torch

mode, status, prepared_s, wall_s, out, scored, scored_s = sys.argv[1:]
summary = {}
log = pathlib.Path(out, "train.log").read_text(errors="replace")
_, rule, tail = log.rpartition("\n---\n")
for line in tail.splitlines() if rule else []:
    key, colon, value = line.partition(": ")
    if colon and " " not in key:
        try:
            number = float(value)
        except ValueError:
            summary[key] = value.strip()
        else:
            summary[key] = number if math.isfinite(number) else None
trained_s, tokens_m = (summary.get(key) for key in ("training_seconds", "total_tokens_M"))
report = {
    "mode": mode,
    "exit": int(status),
    "device": torch.cuda.get_device_name(),
    "torch": torch.__version__,
    "text": "pysource of this machine, many epochs: val_bpb compares with nothing else",
    "tokens_per_second": round(tokens_m * 1e6 / trained_s) if tokens_m and trained_s else None,
    "train_share_of_run": round(trained_s / (int(wall_s) - int(prepared_s)), 4) if trained_s else None,
    "prepare_seconds": int(prepared_s),
    "wall_seconds": int(wall_s),
    "two_processes": {
        "exit": scored,
        "seconds": int(scored_s),
        "log": pathlib.Path(out, "score.log").read_text(errors="replace").splitlines()[-5:] if scored != "none" else [],
    },
    "summary": summary,
} if summary else {"mode": mode, "exit": int(status), "tail": log.splitlines()[-50:]}
pathlib.Path(out, f"gpu-{mode}.json").write_text(json.dumps(report, indent=1))
print(json.dumps(report, indent=1))
sys.exit(int(status) or (0 if summary else 1))
PY
