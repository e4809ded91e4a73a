"""Somebody else's commit: taken into this repository as data, never checked out, and only train.py of it is used."""

from autoresearch.arena import SHARED
from autoresearch.repo import Repo

FETCHED = "refs/agenthub/"
TRAIN = SHARED[0]


def origins(repo: Repo, commit: str) -> list[str]:
    """Commits of strangers whose train.py a commit holds unchanged."""
    blob = repo.entry(commit, TRAIN)[1]
    return sorted(one for one in repo.refs(FETCHED).values() if blob and repo.entry(one, TRAIN)[1] == blob)
