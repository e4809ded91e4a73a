"""The only caller of git: a checkout, and the bare repository of a hub."""

from autoresearch.repo.checkout import Entry, Repo

__all__ = ["Entry", "Repo"]
