"""Begin a tag: pins, branch, table, notes; every step may be repeated after a kill."""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from autoresearch import knobs, notes, process
from autoresearch.attempt import begin
from autoresearch.attempt.campaign import Campaign, file_digest
from autoresearch.errors import NoGoodTrial, Refused
from autoresearch.records import Attempt, Pins, State

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
IDENTITY_S = 300.0


def prepare_tag(campaign: Campaign, start: str, now: str) -> Attempt:
    """Make branch, pins, table, notes and the record of the baseline.

    Args:
        start: commit to begin from.

    Raises:
        Refused: a bad or existing tag, edits in tracked files, missing data; each with what mends it.
    """
    repo, tag, ledger = campaign.repo, campaign.tag, campaign.ledger
    if not TAG.fullmatch(tag) or tag.endswith((".lock", ".")) or ".." in tag:
        raise Refused(f"a tag is lower case letters, digits, '.', '_' and '-' but got {tag!r}")
    known = ledger.numbers()
    if known and ledger.read(1).state == State.CLOSED:
        raise Refused(f"tag {tag!r} exists; `git switch {campaign.branch}` to go on with it, or choose another")
    branch = f"refs/heads/{campaign.branch}"
    is_begun = (ledger.folder / "pins.json").exists()
    if repo.exists(branch) and not is_begun:
        raise Refused(f"branch {campaign.branch} exists; choose another tag, or `git branch -m` it away")
    if dirty := repo.dirty():
        raise Refused(f"tracked files must be clean but {', '.join(dirty[:5])} differ; commit or restore them")
    commit = repo.resolve(branch if repo.exists(branch) else start)
    if not is_begun:
        frozen = campaign.frozen_files()
        identity = find_identity(campaign) if campaign.arena.own else {}
        if data := identity.pop("data", ""):
            frozen[data] = file_digest(Path(data))
        regime = identity.get("regime") or foreign_regime(campaign, frozen)
        pins = Pins(
            tag=tag, baseline=commit, regime=regime, frozen=frozen, identity=identity, settings=campaign.settings()
        )
        put_aside(campaign)
        ledger.write_pins(pins)
    if not repo.exists(branch):
        repo.run("switch", "--quiet", "--create", campaign.branch, commit)
    elif repo.branch() != campaign.branch:
        repo.run("switch", "--quiet", campaign.branch)
    ledger.start_table()
    write_notes(repo.root)
    return ledger.read(1) if known else begin.baseline(campaign, now)


def find_identity(campaign: Campaign) -> dict[str, str]:
    """Data set, scale, platform and regime, as prepare.py names them; missing data is refused in its words."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        extra = {"AUTORESEARCH_SUPERVISED": "1", process.MARK: folder}
        env = process.environment(campaign.variables, extra)
        command = [sys.executable, "prepare.py", "--identity"]
        ended = process.Launch(command, campaign.repo.root, env, log).wait([process.Deadline("prepare.py", IDENTITY_S)])
        text = log.read_text(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    if ended.exit_code or not last.startswith("{"):
        raise Refused(f"prepare.py --identity failed: {last or ended.timeout or 'no output'}")
    return {name: str(value) for name, value in json.loads(last).items() if name != "seed"}


def foreign_regime(campaign: Campaign, frozen: dict[str, str]) -> str:
    """12 hex digits over the frozen files, the arena and the settings."""
    parts = [frozen, campaign.arena.model_dump(), campaign.settings()]
    return knobs.text_digest(json.dumps(parts, sort_keys=True))[:12]


def put_aside(campaign: Campaign) -> None:
    """Move the records of an earlier tag into its folder; nothing is overwritten.

    Raises:
        NoGoodTrial: the place is taken.
    """
    root = campaign.repo.root
    marker = root / "results" / ".tag"
    old = marker.read_text().strip() if marker.exists() else f"before-{campaign.tag}"
    for name in ("results.tsv", "notes.md", "notes-archive.md"):
        source, target = root / name, root / "results" / old / name
        if source.exists() and old != campaign.tag:
            if target.exists():
                raise NoGoodTrial(f"{source} cannot be moved to {target}, which exists; move one of them away")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    marker.parent.mkdir(exist_ok=True)
    notes.replace(marker, campaign.tag + "\n")


def write_notes(root: Path) -> None:
    """notes.md from the template, unless there is one."""
    template, path = root / "notes.md.template", root / "notes.md"
    if not path.exists():
        empty = "# Notes\n\n" + "".join(f"## {title}\n\n" for title in notes.HEADINGS)
        notes.replace(path, template.read_text() if template.exists() else empty)
