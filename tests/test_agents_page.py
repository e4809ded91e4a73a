"""docs/agents.md: the lists of permissions let an agent follow the loop, and let it do little else.

The matching is that of the agents' makers as they document it; their programs are not run.
"""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import night
import pytest
from pages import fenced, inline_code, read

from autoresearch.night import fleet, prompt

PAGE = read("docs/agents.md")
ABOUT_CLAUDE, ABOUT_OPENCODE = map(json.loads, fenced(PAGE, "json"))
CLAUDE, OPENCODE = ABOUT_CLAUDE["permissions"], ABOUT_OPENCODE["permission"]
CODEX = [
    {word.arg: ast.literal_eval(word.value) for word in node.value.keywords}
    for node in ast.parse(fenced(PAGE, "starlark")[0]).body
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
]
CRASH = "git restore --source=refs/autoresearch/t1/0004 -- train.py"
"""What a crash prints."""
FORBIDDEN = (
    "uv run -m autoresearch",
    "uv run -m autoresearch drive -- sh -c true",
    "uv run -m autoresearch drive --cost-command true --max-cost 1 -- true",
    "uv run -m autoresearch run search.yaml",
    "uv run -m autoresearch run-one search.yaml",
    "uv run -m autoresearch setup t2",
    "uv run -m autoresearch hub serve",
    "uv run -m autoresearch hub join http://127.0.0.1:1 me",
    "uv run -m autoresearch steer run search.yaml",
    "uv run -m autoresearch tryout",
    "uv run --with other -m autoresearch try -m x",
    "uv run prepare.py",
    "uv run train.py",
    "uv run python -c 1",
    "git push",
    "git restore .",
    "git restore --source=refs/autoresearch/t1/0004 -- prepare.py",
    "cat /etc/passwd",
    "uv run -m autoresearch status && curl http://127.0.0.1:1",
)
UNCONFINED = ("uv run -m autoresearch try -m x --no-sandbox", "uv run -m autoresearch try --no-sandbox -m x")


def parts(text: str) -> list[str]:
    """The commands of a line of shell, each of which must be allowed."""
    return [one.strip() for one in re.split(r"&&|\n", text.replace("\\\n", " ")) if one.strip()]


def globbed(pattern: str, text: str) -> bool:
    """Whether a text is a pattern in which a star stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def by_claude(command: str) -> bool:
    """What is refused wins; `:*` stands for nothing, or for a blank and anything."""

    def is_in(rules: list[str]) -> bool:
        patterns = [found[1] for rule in rules if (found := re.fullmatch(r"Bash\((.*)\)", rule))]
        prefixes = [one.removesuffix(":*") for one in patterns if one.endswith(":*")]
        exact = any(globbed(one, command) for one in patterns if not one.endswith(":*"))
        return exact or any(command == one or command.startswith(f"{one} ") for one in prefixes)

    return is_in(CLAUDE["allow"]) and not is_in(CLAUDE["deny"])


def by_opencode(command: str) -> bool:
    """The last rule that matches counts."""
    return [rule for pattern, rule in OPENCODE["bash"].items() if globbed(pattern, command)][-1] == "allow"


def by_codex(command: str) -> bool:
    """A rule is the first words of a command, each one word or one of several."""
    words = shlex.split(command)
    return any(
        len(words) >= len(rule["pattern"])
        and all(
            word in (place if isinstance(place, list) else [place])
            for word, place in zip(words, rule["pattern"], strict=False)
        )
        for rule in CODEX
        if rule["decision"] == "allow"
    )


LISTS = [by_claude, by_opencode, by_codex]


def loop() -> list[str]:
    """The blocks of program.md that an agent of the night runs: after setup, before the part without the tooling."""
    page = read("program.md")
    return fenced(page[page.index("\n## What you may change") : page.index("\n## By hand\n")], "bash")


@pytest.mark.parametrize("allows", LISTS)
def test_list_lets_an_agent_follow_the_loop(allows: Callable[[str], bool]) -> None:
    plain = [block for block in loop() if "$" not in block]
    assert len(loop()) - len(plain) == 1  # the code of a crash, for which the crash prints a line
    commands = [command for block in plain for command in parts(block)] + [CRASH]
    verbs = {re.sub(r".*-m autoresearch (\w+).*", r"\1", one, flags=re.DOTALL) for one in commands if "-m auto" in one}
    assert verbs >= {"try", "wait", "analyze", "status", "log", "backtrack", "confirm", "ablate", "report", "suggest"}
    for command in [*commands, "uv run -m autoresearch show 7", "uv run -m autoresearch doctor"]:
        if allows is not by_codex or command.startswith("uv run"):  # in its sandbox, all else needs no rule
            assert allows(command), command


@pytest.mark.parametrize("allows", LISTS)
@pytest.mark.parametrize("line", FORBIDDEN)
def test_list_refuses_what_is_not_of_the_loop(allows: Callable[[str], bool], line: str) -> None:
    assert not all(map(allows, parts(line)))


@pytest.mark.parametrize("line", UNCONFINED)
def test_list_refuses_to_run_unconfined_where_it_can(line: str) -> None:
    assert not by_claude(line) and not by_opencode(line)
    assert by_codex(line) and "cannot refuse `--no-sandbox` behind `try`" in PAGE


def test_list_refuses_a_page_elsewhere_where_it_can() -> None:
    line = "uv run -m autoresearch report --out /tmp/elsewhere"
    assert not by_claude(line) and not by_opencode(line)
    assert by_codex(line) and "nor `--out` behind `report`" in PAGE


def test_line_of_aider_tries_its_edit_under_the_words_of_it(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    (line,) = (block for block in fenced(PAGE, "bash") if "aider" in block)
    command = prompt.insert(shlex.split(line.partition(" drive -- ")[2]), "go on")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in {
        "aider": f"printf '%s\\n' \"$@\" > '{tmp_path}/told'; sed -i 's/^DEPTH = .*/DEPTH = 6/' train.py",
        "uv": f"shift; exec '{sys.executable}' \"$@\"",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    env = {**one.env, "PATH": f"{tools}:{one.env['PATH']}"}
    done = subprocess.run(command, cwd=one.root, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert one.record(2)["description"] == "edit: DEPTH = 6"
    assert "go on Make one edit of train.py; do not run anything.\n" in (tmp_path / "told").read_text()


def test_page_names_the_verbs_of_a_hub_that_its_loop_needs() -> None:
    page = read("program_agenthub.md")
    blocks = "\n".join(fenced(page[page.index("\n## The loop\n") : page.index("\n## By hand\n")], "bash"))
    needed = set(re.findall(r"-m autoresearch (hub \w+)", blocks))
    added = PAGE[PAGE.index("**For a hub**") :].split("\n")[0]
    assert {word for word in inline_code(added) if word.startswith("hub ")} == needed


def test_page_names_the_settings_that_reach_the_seats() -> None:
    (line,) = (line for line in PAGE.splitlines() if line.startswith("Settings of agents"))
    assert [word.rstrip("/") for word in inline_code(line)] == [*fleet.SETTINGS]
