"""docs/steer.md and examples/steer say what the code does."""

import pytest
from pages import ROOT, named, read, table_rows

from autoresearch.steer import config
from autoresearch.steer.memory import RESERVED
from autoresearch.steer.standing import PATIENCE, REPEATS

EXAMPLES = sorted((ROOT / "examples" / "steer").glob("*.yaml"))


def test_docs_name_every_key_of_the_configuration_once():
    keys = [key for row in table_rows(read("docs/steer.md"), "key") for key in named(row[0])]
    assert sorted(keys) == sorted(config.Config.model_fields)


def test_docs_tell_the_numbers_of_the_code():
    text = read("docs/steer.md")
    words = ("zero", "one", "two", "three", "four", "five", "six")
    assert f"ran at least {words[REPEATS]} times" in text
    assert f"The last {words[RESERVED]} rounds" in text
    assert f"A plateau is {words[PATIENCE]} rounds" in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_configurations_of_this_repository(path):
    found = config.load(path, {})
    assert found.workdir.resolve() == ROOT and found.rounds * (found.total_steps or 10**6) <= 200
    if found.replay:
        assert found.replay.parent.name in {config.load(one, {}).tag for one in EXAMPLES}
