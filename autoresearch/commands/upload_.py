"""upload CONFIG."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from autoresearch.commands import searching, terminal
from autoresearch.errors import BadConfig, Refused
from autoresearch.search import exports
from autoresearch.search.config import Config
from autoresearch.search.store import Entry, Store

REPO = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
TOKEN = "HF_TOKEN"


def main(
    config: searching.File,
    repo: Annotated[str, typer.Option(metavar="USER/NAME", help="Repository of the model; made if there is none.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a repository that is made.")] = False,
) -> None:
    """Upload the model of the best trial to the Hugging Face Hub, in one commit; HF_TOKEN must hold a token."""
    if not REPO.fullmatch(repo):
        raise BadConfig(f"--repo must be USER/NAME but is {repo!r}")
    if not (token := os.environ.get(TOKEN)):
        raise BadConfig(f"the variable {TOKEN} must hold a token that may write to {repo}")
    found = searching.load(config)
    best = kept(found)
    folder = exports.model_dir(found, best)
    if not (files := plain_files(folder)):
        raise Refused(f"trial {best.number} must have saved a model below AR_MODEL_DIR but {folder} holds no file")
    sent: dict[str, Path | bytes] = {**files, "version.json": json.dumps(about(found, best), indent=1).encode() + b"\n"}
    address = send(repo, sent, f"{found.name}: {found.objective.metric} {metric(best)}", token, not public)
    terminal.print_json({"repo": repo, "version": best.version, "trial": best.number, "files": [*sent], "url": address})


def kept(config: Config) -> Entry:
    """The trial that was kept last.

    Raises:
        Refused: there is none.
    """
    if not config.store_path.exists():
        raise Refused(f"{config.store_path} must exist but does not; begin with `uv run -m autoresearch run CONFIG`")
    store = Store(config.store_path, readonly=True)
    entries = store.entries()
    store.close()
    best = max((one for one in entries if one.version), key=lambda one: one.version or 0, default=None)
    if best is None:
        raise Refused("a trial must have been kept but none was; see `uv run -m autoresearch status CONFIG`")
    return best


def plain_files(folder: Path) -> dict[str, Path]:
    """Files below a folder by name; a link that leads out of it is left out, for a trial may have made it."""
    there = folder.resolve()
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.resolve().is_relative_to(there)]
    return {str(path.relative_to(folder)): path for path in found}


def about(config: Config, best: Entry) -> dict[str, Any]:
    """What stands beside the model; nothing of this machine."""
    return {
        "campaign": config.name,
        "objective": config.objective.model_dump(),
        "metric": metric(best),
        "params": best.proposal.params,
        "diff": best.proposal.diff,
        "commit": best.commit,
    }


def metric(best: Entry) -> float | None:
    """Its number."""
    return best.result.metric if best.result else None


def send(repo: str, files: Mapping[str, Path | bytes], message: str, token: str, private: bool) -> str:
    """Make one commit of these files; returns its address.

    Raises:
        Refused: the Hub said no, or did not answer.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise Refused("upload needs huggingface-hub; run `uv run --extra search -m autoresearch ...`") from error
    own = [one for one in HfHubHTTPError.__mro__ if issubclass(one, Exception) and one.__module__ != "builtins"]
    failures: tuple[type[Exception], ...] = (*own, OSError)  # that of whatever carries the requests is among them
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, data) for name, data in files.items()]
        return str(api.create_commit(repo, operations, commit_message=message).commit_url)
    except failures as error:
        raise Refused(f"{api.endpoint} did not take the model: {str(error).strip() or type(error).__name__}") from error
