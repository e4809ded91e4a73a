"""The ring, once for each process of the tests."""

from pathlib import Path

import pytest
from ring import Ring

import prepare


@pytest.fixture(scope="session")
def ring(environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Ring:
    own = {"AUTORESEARCH_DATASET": str(prepare.DATASET_NAME), "AUTORESEARCH_TIME_BUDGET": "2"}
    variables = {name: value for name, value in environment.items() if value} | own
    return Ring(Path(tmp_path_factory.mktemp("ring")) / "repo", variables)
