"""The code of a trial: laid out for the trial itself, and again, pristine, for whoever scores it."""

import os
import shutil
from pathlib import Path

from autoresearch.attempt.campaign import Campaign
from autoresearch.records import Trial
from autoresearch.sandbox import files

LEDGER = {"results", "results.tsv", "notes.md", "notes-archive.md"}  # no business of a trial
NEEDED = ("train.py", "prepare.py")


def lay_out(campaign: Campaign, commit: str, folder: Path) -> Path:
    """Fill `code/` of a new trial folder; returns where the command runs.

    This repository's trials get train.py and prepare.py alone; those of another arena every tracked file, and links to
    what lies untracked beside them (data, mostly) and to what is pinned, but for what is hidden from them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    code = _export(campaign, commit, folder)
    if campaign.arena.own:
        return code
    for entry in campaign.repo.root.iterdir():
        if not entry.name.startswith(".") and entry.name not in LEDGER and not (code / entry.name).exists():
            (code / entry.name).symlink_to(os.path.realpath(entry))  # what it leads over is not shown
    _link_pinned(campaign, code)
    for path in {path for pattern in campaign.arena.sandbox.hidden for path in code.glob(pattern)}:
        if path.parent.resolve().is_relative_to(code.resolve()):  # others lie behind a link: the sandbox hides them
            files.remove(path)
    return code


def lay_again(campaign: Campaign, trial: Trial) -> None:
    """Put pristine files in the place of a trial's code, which it may have changed, before anybody else runs it.

    In another arena, links lead to what is pinned of the untracked files, and to nothing else: a module beside a scorer
    would be imported in the place of another.
    """
    folder = campaign.repo.root / trial.folder
    files.remove(folder / "code")
    code = _export(campaign, trial.commit, folder)
    if not campaign.arena.own:
        _link_pinned(campaign, code)


def _link_pinned(campaign: Campaign, code: Path) -> None:
    """Link to pinned files that are not there: untracked ones, also those in a folder that holds tracked ones."""
    for path in campaign.pins.frozen:
        place = code / path
        if not place.exists() and place.parent.resolve().is_relative_to(code.resolve()):  # never through another link
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.realpath(campaign.repo.root / path))


def _export(campaign: Campaign, commit: str, folder: Path) -> Path:
    code = folder / "code"
    code.mkdir(parents=True)
    campaign.repo.export(commit, list(NEEDED) if campaign.arena.own else [], code)
    return code
