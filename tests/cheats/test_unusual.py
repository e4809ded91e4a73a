"""Honest models that are unlike the usual one pass, with the score of one process."""

from pathlib import Path

import pytest
import torch
import unusual
from ring import Ring, in_process

import prepare

SOURCE = Path(unusual.__file__).read_text()
TRAINED = "tied weights"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in unusual.MODELS if kind != TRAINED])
def test_unusual_model_passes_with_the_score_of_one_process(
    ring: Ring, tokenizer: prepare.Tokenizer, kind: str
) -> None:
    entry, model = ring.submit(SOURCE, {"kind": kind})
    assert ring.score(entry) == pytest.approx(in_process(model, tokenizer), abs=1e-6)


@pytest.mark.slow
def test_unusual_model_trains_and_is_scored_with_the_score_of_one_process(
    ring: Ring, tokenizer: prepare.Tokenizer
) -> None:
    """Two names for one tensor go into a submission and come out of it; the weights are those that were trained."""
    assert SOURCE.count('KIND = "fp32"') == 1
    entry = ring.run(ring.enter(SOURCE.replace('KIND = "fp32"', f'KIND = "{TRAINED}"')))
    assert entry.crash is None and entry.score and entry.score < 5, entry
    model = unusual.build_model({"kind": TRAINED})
    weights = torch.load(ring.path(entry) / "submission" / "weights.pt", weights_only=True)
    model.load_state_dict(weights)
    assert entry.score == pytest.approx(in_process(model, tokenizer), abs=1e-6)
