"""A repository with the fake trainer, the four files that agents share, and others that they do not."""

from pathlib import Path

import night

OTHERS = {"README.md": "a page\n", "docs/more.md": "more\n"}
FOUR = {"pyproject.toml": "[project]\n", "uv.lock": "version = 1\n"}


def fresh(folder: Path, **variables: str) -> night.Night:
    """Such a repository with two commits, before `setup`."""
    one = night.fresh(folder, own=True, **variables)
    for name, text in {**OTHERS, **FOUR}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    one.git("add", "-A")
    one.git("commit", "-qm", "pages and lock file")
    return one
