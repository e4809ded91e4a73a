"""The documents say what the code does: links, names, commands, columns, keys, variables.

Not covered: whether a sentence is true; measured numbers are checked by people.
"""

import re
import tomllib
from pathlib import Path

import pytest

import prepare

ROOT = Path(__file__).resolve().parent.parent
SKIPPED_FOLDERS = {".venv", ".git", "results", "node_modules"}
RUN_OUTPUT = {"results.tsv", "run.log", "notes.md", "notes-archive.md", "control.json", "score.json"}
RUN_OUTPUT |= {"progress.jsonl", "acks.jsonl", "manifest.json"}

# The words of the contract, stated once for all documents.
COLUMNS = ["commit", "val_bpb", "memory_gb", "status", "description", "reasoning"]
STATUSES = ["keep", "discard", "crash", "backtrack"]
FIRST_KEYS = ["val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent"]
FIRST_KEYS += ["total_tokens_M", "num_steps", "num_params_M", "depth"]
OTHER_KEYS = ["dataset", "scale", "platform", "regime", "seed", "attention", "dtype", "schedule_"]
NOTES_HEADINGS = [
    "Best Known Config",
    "Dead Ends (do not revisit)",
    "What Works",
    "Ideas Queue (ranked by expected value)",
    "Experiment Log",
]
TEST_COMMAND = "uv run --all-extras pytest"


def read(name: str) -> str:
    return (ROOT / name).read_text()


def markdown_files() -> list[Path]:
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.md.template"), *ROOT.glob("*/**/*.md")]
    return sorted(path for path in files if not SKIPPED_FOLDERS & set(path.relative_to(ROOT).parts))


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def inline_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_fences(text))


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_fences(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text: str, first_cell: str) -> list[list[str]]:
    """Rows of the table whose header begins with `first_cell`."""
    table = re.search(rf"^\| {re.escape(first_cell)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    assert table, f"no table that begins with {first_cell!r}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


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
    constants = {word for word in constants if not word.startswith("AUTORESEARCH_")}
    missing = sorted(word for word in constants if not re.search(rf"\b{word}\b", code))
    assert not missing


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(path: Path) -> None:
    pattern = r"[\w./-]+\.(?:py|md|toml|lock|template|tsv|log|json|jsonl|sh)"
    named = {word for word in inline_code(path.read_text()) if re.fullmatch(pattern, word)} - RUN_OUTPUT
    assert not sorted(word for word in named if not (ROOT / word).exists())


@pytest.mark.parametrize("name", ["program.md", "docs/contract.md"])
def test_results_columns_and_statuses_are_the_contract(name: str) -> None:
    text = read(name)
    for word in COLUMNS + STATUSES:
        assert f"`{word}`" in text
    listed = re.search(r"`keep`(?:, `\w+`)* or `\w+`", text)
    assert listed and re.findall(r"`(\w+)`", listed[0]) == STATUSES


def test_program_writes_the_contract_columns() -> None:
    text = read("program.md")
    header = re.search(r"printf '(commit\\t.*)\\n' > results.tsv", text)
    assert header and header[1].split("\\t") == COLUMNS
    assert [row[0].strip("`") for row in table_rows(text, "column")] == COLUMNS


@pytest.mark.parametrize("name", ["program.md", "docs/contract.md"])
def test_summary_keys_are_the_contract(name: str) -> None:
    text = read(name)
    if name == "program.md":
        block = next(block for block in fenced(text, "text") if block.startswith("---"))
        keys = re.findall(r"^(\w+)", block, flags=re.MULTILINE)
    else:
        keys = re.findall(r"`(\w+)`", text[text.index("These nine") : text.index("counts by its last")])
    assert keys[: len(FIRST_KEYS)] == FIRST_KEYS
    assert keys[len(FIRST_KEYS) :] == OTHER_KEYS


def test_program_states_the_limits_of_the_loop() -> None:
    text = read("program.md")
    for words in (
        "3 discards in a row",
        "5 experiments without an improvement beyond max(noise, 0.001)",
        "8 KB (8192 bytes)",
        "killed at twice its budget",
        "LIMIT_S=$((2 * ",
        'grep "^val_bpb:\\|^peak_vram_mb:" run.log',
        "tail -n 50 run.log",
        "`0.000000`",
        "`0.0`",
    ):
        assert words in text, words
    assert f"AUTORESEARCH_TIME_BUDGET:-{prepare.TIME_BUDGET}" in text and f"{prepare.TIME_BUDGET} s unless" in text


def test_program_git_commands_spare_other_work() -> None:
    shell = "\n".join(fenced(read("program.md"), "bash"))
    assert not re.search(r"--hard|git (clean|stash|push|checkout)|add (-A|\.)|commit.* -a|push|pkill|killall", shell)


def test_notes_template_has_the_contract_headings() -> None:
    text = read("notes.md.template")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == NOTES_HEADINGS
    assert len(re.findall(r"^## .+\n<!-- .+ -->$", text, flags=re.MULTILINE)) == len(NOTES_HEADINGS)
    for heading in NOTES_HEADINGS:
        assert f"**{heading}**" in read("program.md")


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
    named = set(re.findall(r"^\| `([\w.-]+)` \|", read("docs/dependencies.md"), flags=re.MULTILINE))
    assert named == declared


def test_gitignore_covers_what_runs_leave() -> None:
    ignored = read(".gitignore").splitlines()
    for name in ("results.tsv", "results/", "notes.md", "notes-archive.md", "run.log"):
        assert f"/{name}" in ignored
