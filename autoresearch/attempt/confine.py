"""Where a trial and the player of its submission sit: what confines them here, and what each is shown."""

from collections.abc import Mapping
from pathlib import Path

from autoresearch import sandbox
from autoresearch.attempt.campaign import Campaign
from autoresearch.referee import SUBMISSION, Seat
from autoresearch.sandbox import View


def of_trial(campaign: Campaign, folder: Path, variables: Mapping[str, str]) -> Seat:
    """The trial: its code, training data, and what lies beside the code of another arena; it writes to its folder."""
    root = campaign.repo.root
    readable = [path for name in ("uv.lock",) if (path := root / name).exists()]
    if campaign.arena.own:
        cache = Path(variables.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch").expanduser()
        readable += [folder / "code", *sandbox.training_data(cache, campaign.pins.identity["dataset"])]
    else:  # its code is a fresh copy and may be written to
        readable += [path.resolve() for path in (folder / "code").iterdir() if path.is_symlink()]
    return _seat(campaign, folder, readable, variables)


def of_player(campaign: Campaign, folder: Path, variables: Mapping[str, str]) -> Seat:
    """The player: code and submission, to be read; it writes only to a folder that nobody reads."""
    readable = [folder / "code", *(folder / name for name in SUBMISSION)]
    return _seat(campaign, folder / "play", readable, variables)


def _seat(campaign: Campaign, own: Path, readable: list[Path], variables: Mapping[str, str]) -> Seat:
    confinement = campaign.confinement
    if confinement.kind in ("open", "remote"):
        return Seat(confinement, View(readable=(), writable=(), hidden=(), env=variables))
    prepare, compiled = campaign.repo.root / "prepare.py", campaign.ledger.folder / "compiled"
    hidden = sandbox.package_files(sandbox.held_packages(prepare)) if prepare.exists() else []
    for path in (own, compiled):
        path.mkdir(parents=True, exist_ok=True)
    return Seat(confinement, sandbox.view(own, compiled, readable, hidden, variables))
