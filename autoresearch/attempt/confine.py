"""Where a trial and the player of its submission sit: what confines them here, and what each is shown."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autoresearch import sandbox
from autoresearch.attempt.campaign import Campaign
from autoresearch.records import Trial
from autoresearch.referee import SUBMISSION, Seat
from autoresearch.sandbox import Confinement, View


def of_trial(campaign: Campaign, folder: Path, variables: Mapping[str, str]) -> Seat:
    """The trial: its code, training data, and what lies beside the code of another arena.

    It writes to its own folder, and what compilers keep to a folder of the tag.
    """
    root, compiled = campaign.repo.root, campaign.ledger.folder / "compiled"
    readable = [path for name in ("uv.lock",) if (path := root / name).exists()]
    if campaign.arena.own:
        cache = cache_of(variables)
        readable += [folder / "code", *sandbox.training_data(cache, campaign.pins.identity["dataset"])]
    else:  # its code is a fresh copy and may be written to
        code = folder / "code"
        pinned = [code / path for path in campaign.pins.frozen]
        readable += [path.resolve() for path in (*code.iterdir(), *pinned) if path.is_symlink()]
    if campaign.confinement.kind in ("open", "remote"):
        return unconfined(campaign.confinement, variables)
    view = sandbox.view(made(folder), made(compiled), readable, hidden(campaign, variables), variables)
    return Seat(campaign.confinement, view)


def of_scoring(campaign: Campaign, one: Trial) -> Confinement:
    """What confines the player: as the trial was, though this command confines no trials."""
    return campaign.confinement if one.sealed in ("open", "remote") else campaign.best_confinement


def of_player(campaign: Campaign, one: Trial, own: Path, variables: Mapping[str, str]) -> Seat:
    """The player: code and submission, to be read; it writes to a fresh folder that nobody reads, or nowhere."""
    confinement, folder = of_scoring(campaign, one), campaign.repo.root / one.folder
    if confinement.kind in ("open", "remote"):
        return unconfined(confinement, variables)
    readable = [folder / "code", *(folder / name for name in SUBMISSION)]
    view = sandbox.view(own, made(own / "compiled"), readable, hidden(campaign, variables), variables)
    return Seat(confinement, replace(view, shares_memory=False))


def hidden(campaign: Campaign, variables: Mapping[str, str]) -> list[Path]:
    """Not to be read wherever it lies: the repository, the cache, packages that are held-out text, what rules hide."""
    held = [path for pattern in campaign.arena.sandbox.hidden for path in campaign.repo.root.glob(pattern)]
    prepare = campaign.repo.root / "prepare.py"
    names = [*campaign.arena.sandbox.packages, *(sandbox.held_packages(prepare) if prepare.exists() else ())]
    return [campaign.repo.root, cache_of(variables), *sandbox.package_files(names), *held]


def cache_of(variables: Mapping[str, str]) -> Path:
    """Where the data of this machine lie."""
    return Path(variables.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch").expanduser()


def unconfined(confinement: Confinement, variables: Mapping[str, str]) -> Seat:
    """No view at all."""
    return Seat(confinement, View(readable=(), writable=(), hidden=(), env=variables))


def made(folder: Path) -> Path:
    """A folder that is there from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
