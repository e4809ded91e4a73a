"""The Markdown of this repository, as tests read it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED_FOLDERS = {"results", "node_modules"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def markdown_files() -> list[Path]:
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.md.template"), *ROOT.glob("*/**/*.md")]
    return sorted(path for path in files if not any(map(is_skipped, path.relative_to(ROOT).parts)))


def is_skipped(folder: str) -> bool:
    """Caches and environments, whose names begin with a dot, and what runs leave behind."""
    return folder.startswith(".") or folder in SKIPPED_FOLDERS


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


def named(cell: str) -> list[str]:
    """What a cell of a table has in code type."""
    return re.findall(r"`([^`]+)`", cell)
