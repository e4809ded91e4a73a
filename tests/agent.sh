#!/bin/sh
# A scripted agent: edits constants and tries each, twenty times, and obeys nothing but exit codes.
set -eu
edit() { sed "s/^$1 = .*/$1 = $2/" train.py > train.new && mv train.new train.py; }
count=0
while read -r name value; do
    count=$((count + 1))
    edit "$name" "$value"
    "$PYTHON" -m autoresearch try -m "$name to $value" --hypothesis "attempt $count" --max-runs 2
done <<'EDITS'
LR 0.9
LR 1.5
LR 0.7
DEPTH 3
DEPTH 5
MODE "memory"
LR 0.5
LR 0.3
MODE "diverge"
DEPTH 6
DEPTH 7
DEPTH 8
DEPTH 12
MODE "exit"
LR 0.1
MODE "fault"
LR 0.8
LR 1.2
DEPTH 1
DEPTH 9
EDITS
