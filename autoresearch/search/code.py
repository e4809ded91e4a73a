"""Finds the code of a target in its repository: what diffs may change there, and what stands in their way."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoresearch.errors import Damaged, GitFailed, Refused
from autoresearch.repo import Repo
from autoresearch.search import diffs, tree
from autoresearch.search.config import Config
from autoresearch.search.diffs import Code
from autoresearch.search.store import Store


def find_repo(folder: Path, variables: Mapping[str, str]) -> Repo | None:
    """The repository around a folder, if there is one with a commit."""
    try:
        repo = Repo.find(folder, variables)
        repo.resolve("HEAD")
    except (Refused, GitFailed, OSError):
        return None
    return repo


def open_code(config: Config, variables: Mapping[str, str], store: Store) -> Code | None:
    """The code of the target, where it lies in a repository."""
    repo = find_repo(config.target.workdir, variables)
    if repo is None:
        return None
    policy = config.policy
    code = Code(
        repo=repo,
        name=config.name,
        mutable=_within(policy.mutable_file, repo.root),
        frozen=_within(policy.frozen_file, repo.root),
        fixed=fixed_files(config, repo.root),
        required_calls=policy.required_calls,
        is_strict=policy.contract_strict,
        own=tree.outputs(config),
    )
    if policy.diffs:
        code.claim(store.fact("id"))
    state = store.fact("code")
    if state and (policy.diffs or store.fact("kept_diff")):
        code.restore(state)
    else:
        code.begin()
        with store.transaction():
            store.set_fact("code", code.state())
    return code


def faults(config: Config, variables: Mapping[str, str]) -> Iterator[tuple[str, str, bool]]:
    """What keeps diffs from being made, or should be known: key, words, and whether it must be mended first."""
    repo, mutable = find_repo(config.target.workdir, variables), config.policy.mutable_file
    if not repo:
        text = "must lie in a git repository for diffs; `git init`, `git add`, `git commit` it"
        yield "target.workdir", text, True
        return
    if not mutable or not mutable.is_relative_to(repo.root):
        yield "policy.mutable_file", f"must lie in {repo.root} but is {mutable}", True
        return
    if (other := diffs.owner(repo, config.name)) and other != _campaign(config.store_path):
        yield "name", diffs.taken(repo, config.name), True
    committed, dirty = repo.files("HEAD"), repo.dirty()
    for place, path in (("policy.mutable_file", mutable), ("policy.frozen_file", config.policy.frozen_file)):
        name = _within(path, repo.root)
        if name and name not in committed:
            yield place, f"{name} must be committed; `git add {name}` and `git commit`", True
        elif name in dirty:
            yield place, f"{name} must be as it was committed, since that is what trials of diffs run", True
            dirty.remove(name)
    if dirty:
        text = f"{', '.join(dirty)[:300]} differ from the commit that trials run; commit what they should see"
        yield "target.workdir", text, False
    if not config.target.sandbox and (large := tree.too_large(repo, tree.outputs(config))):
        text = f"{', '.join(large)[:300]} would be too large to copy for every trial and is reached through links"
        yield "target.workdir", f"{text}; a trial could write there, unless target.sandbox is true", False


def fixed_files(config: Config, root: Path) -> tuple[str, ...]:
    """Files of the repository that evaluation and preparation run."""
    target = config.target
    words = (*(target.prepare_cmd or ()), *((target.eval_cmd or ()) if target.eval_cmd != target.train_cmd else ()))
    found = {_within(Path(os.path.normpath(target.workdir / word)), root) for word in words}
    return tuple(sorted(name for name in found if (root / name).is_file()))


def _within(path: Path | None, root: Path) -> str:
    return str(path.relative_to(root)) if path and path.is_relative_to(root) else ""


def _campaign(store_path: Path) -> str:
    """What tells the campaign of a store from others; empty where there is none."""
    if not store_path.is_file():
        return ""
    try:
        store = Store(store_path, readonly=True)
    except Damaged:
        return ""
    found = store.fact("id", "")
    store.close()
    return str(found)
