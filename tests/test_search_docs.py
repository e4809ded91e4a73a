"""docs/search.md says what the search does: keys and defaults, policies, variables, statuses, reasons, files."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pages import ROOT, fenced, inline_code, named, read, table_rows
from pydantic import BaseModel

from autoresearch.search import config, configfile, guards
from autoresearch.search.config import Config, Section
from autoresearch.search.exports import COLUMNS
from autoresearch.search.proposal import Proposal, TrialStatus
from autoresearch.search.store import Entry
from autoresearch.search.trial import Bench

PAGE = "docs/search.md"
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/config.yaml"))
SECTIONS: dict[str, type[BaseModel]] = {
    "key at the top": Config,
    "key of `objective`": config.Objective,
    "key of `target`": config.Target,
    "key of `target.basilica`": config.Basilica,
    "key of `policy`": config.Policy,
    "key of `controller`": config.Controller,
    "key of `controller.intra_iteration_cancel`": config.Cancel,
    "key of `controller.parallel`": config.Parallel,
    "key of `telemetry`": config.Telemetry,
    "key of `comparability`": config.Comparability,
}


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Keys of a section with their defaults, as JSON spells them."""
    fields = {name: field for name, field in model.model_fields.items() if not is_section(field.annotation)}
    bare = model.model_construct(**{name: field.default for name, field in fields.items()})
    return {name: bare.model_dump(mode="json")[name] for name in fields}


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


@pytest.mark.parametrize("heading", SECTIONS)
def test_search_page_lists_keys_and_defaults(heading: str) -> None:
    rows = {named(row[0])[0]: json.loads(row[2].strip("`")) for row in table_rows(read(PAGE), heading)}
    expected = defaults(SECTIONS[heading])
    assert list(rows) == list(expected) and rows == expected


def test_search_page_leaves_no_section_out() -> None:
    inner = {field.annotation for model in SECTIONS.values() for field in model.model_fields.values()}
    assert {kind for kind in inner if is_section(kind)} == set(SECTIONS.values()) - {Config}


def test_search_page_names_other_spellings_and_keys_without_effect() -> None:
    text = read(PAGE)
    for name, field in config.Policy.model_fields.items():
        for spelling in getattr(field.validation_alias, "choices", []):
            assert f"`{spelling}`" in text, name
    line = next(line for line in text.splitlines() if line.startswith("Keys of old files"))
    ignored = [f"{section}.{name}".strip(".") for section, names in configfile.WITHOUT_EFFECT.items() for name in names]
    assert named(line) == ignored


def test_search_page_shows_a_configuration_that_reads(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("".join(fenced(read(PAGE), "yaml")))
    found = configfile.load(tmp_path / "config.yaml", tmp_path, pytest.fail)
    assert found.policy.type == "hybrid" and found.policy.params.size() is None


def test_search_page_lists_policies_and_targets() -> None:
    listed = {named(row[0])[0] for row in table_rows(read(PAGE), "policy")}
    assert listed == set(get_args(config.PolicyType))
    targets = [named(row[0])[0] for row in table_rows(read(PAGE), "`target.type`")]
    assert targets == list(get_args(config.Target.model_fields["type"].annotation))


def test_search_page_lists_the_variables_of_a_trial(tmp_path: Path) -> None:
    bench = Bench(Config.model_validate({"target": {"train_cmd": ["true"]}}), {})
    given = set(bench.contract(Entry(number=1, proposal=Proposal(source="x", params={"x": 1}))))
    listed = {name for row in table_rows(read(PAGE), "variable of a trial") for name in named(row[0])}
    assert listed == given - {"AR_PARAM_X"}
    assert {"AR_PARAM_<NAME>", "CUDA_VISIBLE_DEVICES"} <= set(inline_code(read(PAGE)))


def test_search_page_lists_statuses_and_reasons() -> None:
    assert [named(row[0])[0] for row in table_rows(read(PAGE), "status")] == list(TrialStatus)
    code = "".join(path.read_text() for path in Path(guards.__file__).parent.rglob("*.py"))
    reasons = set(re.findall(r'\bStop\("(\w+)"', code)) | {"SIGINT", "SIGTERM", "SIGHUP"}
    listed = {name for row in table_rows(read(PAGE), "why a campaign stopped") for name in named(row[0])}
    assert listed == reasons


def test_search_page_lists_columns() -> None:
    line = next(line for line in read(PAGE).splitlines() if line.startswith("The columns of results.tsv"))
    assert tuple(named(line)[: len(COLUMNS)]) == COLUMNS


def test_search_page_runs_an_example_first() -> None:
    commands = fenced(read(PAGE), "bash")[0].split()
    assert {word for word in commands if word.endswith(".yaml")} == {"examples/parallel_cancel/config.yaml"}
    rows = [re.search(r"\((.*)\)", row[0]) for row in table_rows(read(PAGE), "example")]
    assert {(ROOT / "docs" / row[1]).resolve().parent for row in rows if row} == set(EXAMPLES)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_search_page_names_the_policy_of_each_example(folder: Path) -> None:
    text = yaml.load((folder / "config.yaml").read_text(), configfile.Loader)
    [row] = [row for row in table_rows(read(PAGE), "example") if f"[{folder.name}]" in row[0]]
    assert named(row[1]) == [text["policy"]["type"]]
    assert f"examples/{folder.name}/config.yaml" in (folder / "README.md").read_text()
