#!/bin/sh
# One evening in small: a gain, a loss, a crash, a step back, and what stands up when it is measured again.
# Run it in a fresh repository that has been set up with `prepare`; here train.py is a stand-in that takes no time.
set -eu
autoresearch() { "${PYTHON:-python3}" -m autoresearch "$@"; }
edit() { sed "s/^$1 = .*/$1 = $2/" train.py > train.new && mv train.new train.py; }

echo '# measure the baseline'
autoresearch setup nov20

echo '# a gain'
edit LR 0.5
autoresearch try -m "halve LR" --hypothesis "the loss is jagged: LR is too high" --evidence "run.log" --risk "slower start"
autoresearch analyze --result "better by far" --expected better --why "LR was too high" --lesson "look at LR first"

echo '# a loss'
edit DEPTH 2
autoresearch try -m "shallower" --hypothesis "more steps in the same time"

echo '# a crash'
edit MODE '"memory"'
autoresearch try -m "twice as wide" --hypothesis "there is memory left"

echo '# another gain, and back again'
edit DEPTH 6
autoresearch try -m "deeper" --hypothesis "depth is what is missing"
autoresearch backtrack 0002 --why "to see how to go back"
autoresearch backtrack 0005 --why "and forth"

echo '# what stands up'
autoresearch log
autoresearch confirm --runs 2
autoresearch ablate
autoresearch status
