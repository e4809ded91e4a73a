"""A repository with the fake trainer, the four files that agents share, and others that they do not."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import night
import warm

from autoresearch.arena import SHARED
from autoresearch.hub.client import credentials
from autoresearch.hub.client.credentials import Credentials
from autoresearch.repo import Repo

OTHERS = {"README.md": "a page\n", "docs/more.md": "more\n"}
FOUR = {"pyproject.toml": "[project]\n", "uv.lock": "version = 1\n"}


def fresh(folder: Path, **variables: str) -> warm.Night:
    """Such a repository with two commits, before `setup`."""
    one = warm.Night(night.fresh(folder, own=True).root, **variables)
    for name, text in {**OTHERS, **FOUR}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    one.git("add", "-A")
    one.git("commit", "-qm", "pages and lock file")
    return one


def root_of(one: night.Night, commit: str = "HEAD") -> str:
    """The commit of the four files alone."""
    return Repo(one.root, one.env).root_of(one.git("rev-parse", commit), [*SHARED], "baseline")


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    one = fresh(folder / "night")
    one.run("setup", "t1", "--from", root_of(one))
    return folder / "night"


def begun(folder: Path, who: Credentials | None = None, **variables: str) -> warm.Night:
    """Such a repository after `setup t1` on the four files alone, with a home beside it in which `who` is known."""
    shutil.copytree(_template(), folder / "repo", symlinks=True)
    one = warm.Night(folder / "repo", HOME=str(at_home(folder, who)), **variables)
    one.git("status")
    return one


def at_home(folder: Path, who: Credentials | None) -> Path:
    """A home in which an agent is known at a hub."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if who:
        credentials.write(home / credentials.NAME, who)
    return home
