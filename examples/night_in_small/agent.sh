#!/bin/sh
# The smallest agent that does some good: it takes what the optimiser suggests, tries it, says what came of it, and ends.
# `drive` starts it again; $1 is the prompt, which it does not read.
set -eu
run() { ${RUN:-uv run --extra search} "$@"; }
if git diff --quiet -- train.py; then run -m autoresearch suggest --apply; fi # else an edit is left that nobody judged
WHAT=$(git diff -U0 -- train.py | sed -n 's/^+ *\([A-Z][A-Z_]* = [^ #]*\).*/\1/p' | tr '\n' ' ')
run -m autoresearch try -m "suggested: $WHAT" --hypothesis "the predicted gain of suggest" --evidence "the history of this tag"
run -m autoresearch analyze --result "see the verdict" --expected same --why "numbers" --lesson "in the next suggestion"
