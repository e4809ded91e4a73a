"""The documents say what the code does: links, names, columns, keys, variables, limits.

Not covered: whether a sentence is true; measured numbers are checked by people.
"""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import (
    ROOT,
    anchors,
    fenced,
    inline_code,
    markdown_files,
    named,
    read,
    table_rows,
    without_fences,
)

import prepare
from autoresearch import arena, notes, signals
from autoresearch.commands import wait_
from autoresearch.records import COLUMNS, SUMMARY_KEYS, Attempt, State, Status

RUN_OUTPUT = {"results.tsv", "run.log", "notes.md", "notes-archive.md", "control.json", "score.json"}
RUN_OUTPUT |= {"progress.jsonl", "acks.jsonl", "manifest.json", "score.log", "play.log"}
RUN_OUTPUT |= {"journal.jsonl", "heartbeat.json", "results/hub-queue.jsonl", "results/hub-refused.jsonl"}
RUN_OUTPUT |= {"decisions_log.jsonl", "rollback_log.jsonl", "final_results_log.jsonl", "llm_log.jsonl"}
OPTIONAL = {arena.NAME, "launch.sh", ".claude/settings.json", "opencode.json"}  # a person may write them
OTHER_KEYS = ["dataset", "scale", "platform", "regime", "seed", "attention", "dtype", "schedule_"]
TEST_COMMAND = "uv run --all-extras pytest"


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_markdown_relative_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{path.name}: {target} has no such heading"


def measuring() -> list[str]:
    """The programs that the documents say figures come from."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    commands = [re.findall(r"(?:uv run|python)[^`\n]* (benchmarks/\w+\.py)", page.read_text()) for page in pages]
    return sorted({name for page in commands for name in page})


@pytest.mark.parametrize("name", measuring())
def test_benchmarks_that_are_named_start_from_anywhere(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / name), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr


def test_readme_is_short_and_starts_with_a_command() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 120
    assert lines.index("```bash") + 2 <= 25


def test_readme_test_command_is_what_ci_runs() -> None:
    assert TEST_COMMAND in [block.strip() for block in fenced(read("README.md"), "bash")]
    assert re.search(rf"^step tests {re.escape(TEST_COMMAND)}$", read(".ci/run"), flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "program.md"])
def test_named_constants_exist_in_the_code(name: str) -> None:
    code = read("prepare.py") + read("train.py")
    constants = {word for word in inline_code(read(name)) if re.fullmatch(r"[A-Z][A-Z0-9_]+", word)}
    constants = {word for word in constants if not word.startswith("AUTORESEARCH_")} - {"MEND", "WARN"}  # doctor
    missing = sorted(word for word in constants if not re.search(rf"\b{word}\b", code))
    assert not missing


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(path: Path) -> None:
    pattern = r"[\w./-]+\.(?:py|md|toml|lock|template|tsv|log|json|jsonl|sh)"
    files = {word for word in inline_code(path.read_text()) if re.fullmatch(pattern, word)} - RUN_OUTPUT - OPTIONAL
    assert not sorted(word for word in files if not ((ROOT / word).exists() or (path.parent / word).exists()))


@pytest.mark.parametrize("name", ["program.md", "docs/contract.md"])
def test_results_columns_and_statuses_are_those_of_the_code(name: str) -> None:
    text = read(name)
    for word in COLUMNS:
        assert f"`{word}`" in text
    listed = re.search(r"`keep`(?:, `\w+`)* or `\w+`", text)
    assert listed and named(listed[0]) == list(Status)


def test_program_writes_the_columns_of_the_code() -> None:
    text = read("program.md")
    header = re.search(r"printf '(commit\\t.*)\\n' > results.tsv", text)
    assert header and tuple(header[1].split("\\t")) == COLUMNS
    assert tuple(row[0].strip("`") for row in table_rows(text, "column")) == COLUMNS


@pytest.mark.parametrize("name", ["program.md", "docs/contract.md"])
def test_summary_keys_are_those_of_the_code(name: str) -> None:
    text = read(name)
    if name == "program.md":
        block = next(block for block in fenced(text, "text") if block.startswith("---"))
        keys = re.findall(r"^(\w+)", block, flags=re.MULTILINE)
    else:
        keys = re.findall(r"`(\w+)`", text[text.index("These nine") : text.index("counts by its last")])
    assert tuple(keys[: len(SUMMARY_KEYS)]) == SUMMARY_KEYS
    assert keys[len(SUMMARY_KEYS) :] == OTHER_KEYS


def test_program_states_the_limits_of_the_code() -> None:
    text = read("program.md")
    for words in (
        f"{signals.STREAK} discards or crashes in a row",
        f"{signals.PLATEAU} attempts in a row without a gain beyond max(noise, {signals.PLATEAU_GAIN:g})",
        f"by more than {signals.REGRESSION_ERRORS:g} standard errors",
        f"{notes.CAP_BYTES // 1024} KB ({notes.CAP_BYTES} bytes)",
        "killed at twice its budget",
        "LIMIT_S=$((2 * ",
        'grep "^val_bpb:\\|^peak_vram_mb:" run.log',
        "tail -n 50 run.log",
        "`0.000000`",
        "`0.0`",
    ):
        assert words in text, words
    assert f"AUTORESEARCH_TIME_BUDGET:-{prepare.TIME_BUDGET}" in text and f"{prepare.TIME_BUDGET} s unless" in text


def test_program_lists_the_signals_of_the_code() -> None:
    said = set(re.findall(r'f"([a-z ]+): \{', inspect.getsource(signals)))
    judging = "".join(path.read_text() for path in (ROOT / "autoresearch" / "attempt").glob("*.py"))
    said |= set(re.findall(r'f"(drift): \{', judging))
    rows = table_rows(read("program.md"), "it says")
    assert {row[0].strip("`") for row in rows} == said


def test_program_knows_the_words_of_wait() -> None:
    assert "`no verdict yet`" in read("program.md")
    assert "no verdict yet" in inspect.getsource(wait_)


def test_program_git_commands_spare_other_work() -> None:
    shell = "\n".join(fenced(read("program.md"), "bash"))
    assert not re.search(r"--hard|git (clean|stash|push|checkout)|add (-A|\.)|commit.* -a|push|pkill|killall", shell)


def test_notes_headings_are_those_of_the_code() -> None:
    text = read("notes.md.template")
    assert tuple(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == notes.HEADINGS
    assert len(re.findall(r"^## .+\n<!-- .+ -->$", text, flags=re.MULTILINE)) == len(notes.HEADINGS)
    assert str(notes.CAP_BYTES) in text
    listed = re.findall(r"^- \*\*(.+)\*\*: ", read("program.md"), flags=re.MULTILINE)
    assert tuple(listed) == notes.HEADINGS
    by_hand = re.search(r"printf '## %s\\n\\n' (.*?) > notes\.md", read("program.md"), flags=re.DOTALL)
    assert by_hand and tuple(re.findall(r'"([^"]+)"', by_hand[1])) == notes.HEADINGS


def test_contract_lists_states_and_fields_of_a_record() -> None:
    text = read("docs/contract.md")
    assert [named(row[0])[0] for row in table_rows(text, "state")] == list(State)
    fields = [field for row in table_rows(text, "field") for field in named(row[0])]
    assert sorted(fields) == sorted(Attempt.model_fields)


def test_contract_names_every_variable_that_the_code_reads() -> None:
    code = read("prepare.py") + read("train.py")
    read_by_code = set(re.findall(r"AUTORESEARCH_([A-Z_]*[A-Z])", code))
    read_by_code |= set(re.findall(r'_setting\(\s*"([A-Z_]+)"', code))
    documented = set(re.findall(r"AUTORESEARCH_([A-Z_]*[A-Z])", read("docs/contract.md")))
    assert documented == read_by_code
    rows = {row[0].strip("`").removeprefix("AUTORESEARCH_") for row in table_rows(read("docs/contract.md"), "variable")}
    assert rows == documented


def test_contract_scales_are_those_of_the_code() -> None:
    rows = table_rows(read("docs/contract.md"), "scale")
    numbers = {row[0].strip("`"): [int(cell.replace(",", "")) for cell in row[2:]] for row in rows}
    scales = {name: list(scale) for name, scale in prepare.SCALES.items()}
    assert numbers == scales


def test_contract_datasets_are_those_of_the_code() -> None:
    rows = table_rows(read("docs/contract.md"), "name")
    assert tuple(row[0].strip("`") for row in rows[:-1]) == prepare.DATASETS


def test_dependencies_page_names_each_dependency() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project.get("dependency-groups", {}).get("dev", [])]
    for extra in project["project"].get("optional-dependencies", {}).values():
        wanted += extra
    declared = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}  # type: ignore[index]
    listed = set(re.findall(r"^\| `([\w.-]+)` \|", read("docs/dependencies.md"), flags=re.MULTILINE))
    assert listed == declared


def test_gitignore_covers_what_runs_leave() -> None:
    ignored = read(".gitignore").splitlines()
    for name in ("results.tsv", "results/", "notes.md", "notes-archive.md", "run.log"):
        assert f"/{name}" in ignored
