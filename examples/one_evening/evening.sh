#!/bin/sh
# One evening in small: a gain, a loss, a crash, a step back, and what stands up when it is measured again.
# Run it in a fresh clone of this repository: `sh examples/one_evening/evening.sh`, a few minutes on two cores.
set -eu
run() { ${RUN:-uv run} "$@"; }
autoresearch() { run -m autoresearch "$@"; }
edit() { sed "s/^$1 = .*/$1 = $2/" train.py > train.new && mv train.new train.py; }
small() { AUTORESEARCH_SCALE=tiny AUTORESEARCH_MAX_STEPS=90 "$@"; } # setup remembers both

echo '# make the data, measure the baseline'
small run prepare.py > run.log
small autoresearch setup nov20

echo '# a gain'
edit COPY_ORDERS 2
autoresearch try -m "embed what followed before" --hypothesis "-0.1: identifiers repeat within a row" \
  --evidence "docs/log.md" --risk "slower steps"
autoresearch analyze --result "better by far" --expected better --why "rows repeat themselves" --lesson "look at the data"

echo '# a loss'
edit EMBEDDING_LR 0.001
autoresearch try -m "slow embeddings" --hypothesis "less noise"

echo '# a crash'
edit LOGIT_CAP 0.0
autoresearch try -m "no logits" --hypothesis "none"

echo '# a step back, and forth again'
autoresearch backtrack 1 --why "to see how to go back"
autoresearch backtrack 2 --why "and forth"

echo '# what stands up'
autoresearch log
autoresearch confirm --runs 1
autoresearch ablate
autoresearch status
