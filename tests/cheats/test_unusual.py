"""Honest models that are unlike the usual one pass, with the score of one process."""

from pathlib import Path

import pytest
import unusual
from ring import Ring, in_process

import prepare

SOURCE = Path(unusual.__file__).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", unusual.MODELS)
def test_unusual_model_passes_with_the_score_of_one_process(
    ring: Ring, tokenizer: prepare.Tokenizer, kind: str
) -> None:
    entry, model = ring.submit(SOURCE, {"kind": kind})
    assert ring.score(entry) == pytest.approx(in_process(model, tokenizer), abs=1e-6)
