"""The only caller of git: a checkout, and the bare repository of a hub."""

from autoresearch.repo.checkout import Repo
from autoresearch.repo.commits import Entry

__all__ = ["Entry", "Repo"]
