"""Trials as processes of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from executors import ExecutorContract, Run

from autoresearch.search.config import Config
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.spans import Spans


class TestCommandExecutor(ExecutorContract):
    """The contract."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[Run]:
        config = Config.model_validate({"target": {"train_cmd": ["true"]}})
        executor = CommandExecutor(config, Spans(), {})
        yield Run(executor, tmp_path)
        executor.close()
