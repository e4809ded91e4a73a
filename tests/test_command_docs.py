"""The command line and autoresearch.toml as documented are those of the code, in both directions."""

import importlib
import json
import re
from pathlib import Path

import pytest
import typer
from pages import ROOT, fenced, inline_code, markdown_files, named, read, table_rows
from pydantic import BaseModel

from autoresearch import errors
from autoresearch.arena import Arena
from autoresearch.cli import VERBS
from autoresearch.commands import hub_, steer_
from autoresearch.commands.lazy import Table

COMMAND = r"uv run (?:--extra [a-z]+ |--all-extras )?-m autoresearch"
SEARCHING = {"run", "validate", "run-one", "upload", "export-config", "steer"}
"""Verbs for people who search without an agent."""
STEERING = "|".join(steer_.VERBS)
DEFAULTS_IN_WORDS = {"timeout_s", "limits", "score_command", "guards"}


def options(verb: str, table: Table = VERBS) -> set[str]:
    """Visible options of a verb, every spelling of each."""
    module = importlib.import_module(f"autoresearch.commands.{table[verb][0]}")
    if hasattr(module, "app"):
        return set()
    one = typer.Typer(add_completion=False)
    one.command(verb)(getattr(module, "main", None) or getattr(module, verb.replace("-", "_")))
    command = typer.main.get_command(one)
    visible = [each for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]
    return {word for each in visible for word in (*each.opts, *each.secondary_opts) if word.startswith("-")}


def documented(heading: str = "verb") -> dict[str, set[str]]:
    """Options by verb, as a table of the contract lists them."""
    rows = table_rows(read("docs/contract.md"), heading)
    return {named(row[0])[0]: set(named(row[2])) for row in rows}


def commands_in_markdown() -> list[tuple[str, str, str]]:
    """File, verb (`hub VERB` of those below it, `steer` alike) and the rest of every command line in Markdown."""
    found = []
    for path in markdown_files():
        text = path.read_text()
        lines = [block.replace("\\\n", " ") for language in ("bash", "text") for block in fenced(text, language)]
        for piece in "\n".join([*lines, *inline_code(text)]).splitlines():
            for verb, rest in re.findall(
                rf"{COMMAND} ((?:hub |steer (?=(?:{STEERING}) ))?[a-z]+(?:-[a-z]+)*)(.*?)(?=&&|\||$)", piece
            ):
                found.append((str(path.relative_to(ROOT)), verb, rest))
    return found


def known_options(verb: str) -> set[str]:
    """Options of a verb of either table."""
    own, _, inner = verb.partition(" ")
    return options(inner, {"hub": hub_.VERBS, "steer": steer_.VERBS}[own]) if inner else options(own)


def test_every_verb_and_option_is_documented() -> None:
    assert {verb: options(verb) for verb in VERBS} == documented()
    assert {verb: options(verb, hub_.VERBS) for verb in hub_.VERBS} == documented("verb of `hub`")
    assert {verb: options(verb, steer_.VERBS) for verb in steer_.VERBS} == documented("verb of `steer`")


def test_verbs_in_markdown_exist() -> None:
    commands = commands_in_markdown()
    known = {*VERBS, *(f"hub {verb}" for verb in hub_.VERBS), *(f"steer {verb}" for verb in steer_.VERBS)}
    assert {verb for _, verb, _ in commands} - {"hub"} <= known
    assert set(VERBS) - {"hub", *SEARCHING} <= {verb for name, verb, _ in commands if name == "program.md"}


def test_options_in_markdown_exist() -> None:
    for name, verb, rest in commands_in_markdown():
        words = re.sub(r"'[^']*'|\"[^\"]*\"", "", rest).partition(" -- ")[0]
        used = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", words))
        assert used <= known_options(verb), f"{name}: {verb} has no {sorted(used - known_options(verb))}"
        assert used or "--" not in words


def test_options_named_alone_in_markdown_exist() -> None:
    inner = [options(verb, table) for table in (hub_.VERBS, steer_.VERBS) for verb in table]
    known = set().union(*map(options, VERBS), *inner)
    known |= set(re.findall(r'add_argument\("(--[a-z-]+)"', read("prepare.py")))
    pages = [path for path in markdown_files() if path.name in ("program.md", "README.md", "contract.md")]
    for path in pages:
        alone = {word for word in inline_code(path.read_text()) if re.fullmatch(r"--[a-z][a-z-]*", word)}
        assert alone <= known, f"{path.name}: {sorted(alone - known)}"


@pytest.mark.parametrize("path", sorted((ROOT / "autoresearch").rglob("*.py")), ids=lambda path: path.stem)
def test_verbs_in_messages_exist(path: Path) -> None:
    verbs = set(re.findall(rf"{COMMAND} ((?:hub )?[a-z]+(?:-[a-z]+)*)", path.read_text()))
    assert verbs <= {*VERBS, *(f"hub {verb}" for verb in hub_.VERBS)}


def test_exit_codes_are_those_of_the_code() -> None:
    tree = [errors.AutoresearchError]
    for error in tree:
        tree += error.__subclasses__()
    codes = {error.exit_code for error in tree} | {
        int(code) for code in re.findall(r"code = (\d+)", read("autoresearch/cli.py"))
    }
    rows = {int(row[0]) for row in table_rows(read("docs/contract.md"), "exit code")}
    assert codes == rows


def test_arena_keys_and_defaults_are_those_of_the_code() -> None:
    expected: dict[str, object] = {}
    for key, field in Arena.model_fields.items():
        if isinstance(field.default, BaseModel):
            inner = field.default.model_dump()
            expected |= {f"{key}.{name}": value for name, value in inner.items()}
        elif not field.exclude:
            expected[key] = field.default
    rows = {named(row[0])[0]: row[2] for row in table_rows(read("docs/contract.md"), "key")}
    assert list(rows) == list(expected)
    for key, cell in rows.items():
        if key in DEFAULTS_IN_WORDS:
            assert not expected[key]
        else:
            assert json.loads(cell.strip("`")) == expected[key], key
