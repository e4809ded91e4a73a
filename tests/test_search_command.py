"""Trials as processes of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from executors import ExecutorContract, Run
from searching import running_in

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

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_executor_ends_a_trial_that_it_can_follow_no_more(self, run: Run) -> None:
        run.begin(1, "wait", timeout_s=None)  # type: ignore[arg-type]
        outcome = run.wait()[1]
        assert outcome.end == "lost" and "TypeError" in outcome.why
        assert not running_in(run.bench.config.target.workdir)
