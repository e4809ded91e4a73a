#!/bin/sh
# A night in small: twenty attempts of ten seconds by the agent beside this file, half an hour on a CPU.
# Run it in a fresh clone of this repository: `sh examples/night_in_small/night.sh`.
set -eu
run() { ${RUN:-uv run --extra search} "$@"; }
AUTORESEARCH_TIME_BUDGET=${BUDGET_S:-10} run -m autoresearch setup "${TAG:-small}"
run -m autoresearch drive --hours 2 --max-attempts "${ATTEMPTS:-20}" -- sh examples/night_in_small/agent.sh
