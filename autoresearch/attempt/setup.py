"""Begin a tag: pins, branch, table, notes; every step may be repeated after a kill."""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

from autoresearch import arena, knobs, notes, process
from autoresearch.attempt import begin
from autoresearch.attempt.campaign import PREPARE_AGAIN, Campaign, file_digest, file_stamp
from autoresearch.errors import Refused
from autoresearch.records import Attempt, Pins, State

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
IDENTITY_S = 300.0
MOVED = ("results.tsv", "notes.md", "notes-archive.md")


def prepare_tag(campaign: Campaign, start: str, now: str) -> Attempt:
    """Make branch, pins, table, notes and the record of the baseline.

    Args:
        start: commit to begin from.

    Raises:
        Refused: a bad or existing tag, edits in tracked files, missing data; each with what mends it.
    """
    repo, ledger = campaign.repo, campaign.ledger
    is_begun = ledger.is_begun
    check_tag(campaign, is_begun)
    commit = campaign.pins.baseline if is_begun else repo.resolve(start)
    if dirty := repo.dirty():
        raise Refused(
            f"tracked files must be clean but {', '.join(dirty[:5])} differ; `git commit` or `git stash` them"
        )
    came_from = repo.branch() or repo.resolve("HEAD")
    if repo.resolve("HEAD") != commit:
        repo.run("switch", "--quiet", "--detach", commit)
    try:
        if is_begun:
            campaign.check_pins()
        else:
            fix_pins(campaign, commit)
    except BaseException:
        repo.run("switch", "--quiet", *([] if repo.exists(f"refs/heads/{came_from}") else ["--detach"]), came_from)
        raise
    campaign.reached("pins")
    if not repo.exists(f"refs/heads/{campaign.branch}"):
        repo.run("switch", "--quiet", "--create", campaign.branch, commit)
    elif repo.branch() != campaign.branch:
        repo.run("switch", "--quiet", campaign.branch)
    campaign.reached("switched")
    ledger.start_table()
    write_notes(repo.root)
    return ledger.read(1) if ledger.numbers() else begin.baseline(campaign, now)


def check_tag(campaign: Campaign, is_begun: bool) -> None:
    """Refuse a bad tag, and one that is taken.

    Raises:
        Refused: names what mends it.
    """
    repo, tag, ledger = campaign.repo, campaign.tag, campaign.ledger
    if not TAG.fullmatch(tag) or tag.endswith((".lock", ".")) or ".." in tag:
        raise Refused(f"a tag is lower case letters, digits, '.', '_' and '-' but got {tag!r}")
    if tag == "manual":
        raise Refused("the tag 'manual' is the folder of runs by hand; choose another")
    if ledger.numbers() and ledger.read(1).state == State.CLOSED:
        raise Refused(f"tag {tag!r} exists; `git switch {campaign.branch}` to go on with it, or choose another")
    if is_begun:
        return
    if repo.exists(f"refs/heads/{campaign.branch}"):
        raise Refused(
            f"branch {campaign.branch} exists without records; choose another tag, or `git switch` to another branch "
            f"and move it away with `git branch -m {campaign.branch} NEW_NAME`"
        )
    if repo.refs(f"refs/autoresearch/{tag}/"):
        raise Refused(f"tag {tag!r} has attempts in git (refs/autoresearch/{tag}/) but no records; choose another")


def fix_pins(campaign: Campaign, commit: str) -> None:
    """Pin the frozen files, data and settings; the records of another tag are moved aside first.

    Raises:
        Refused: a mutable file is not tracked, data are missing, or the place for older records is taken.
    """
    if arena.load(campaign.repo.root) != campaign.arena:
        raise Refused(f"{arena.NAME} is another one at {commit[:7]}; `git switch --detach {commit[:7]}`, then setup")
    tracked = campaign.repo.files(commit)
    if missing := [path for path in campaign.arena.mutable if path not in tracked]:
        raise Refused(f"{', '.join(missing)} must be in commit {commit[:7]}, for attempts change it; `git add` it")
    frozen = campaign.frozen_files()
    identity = find_identity(campaign) if campaign.arena.own else {}
    tokens = {}
    if data := identity.pop("data", ""):
        frozen[data] = file_digest(Path(data))
        tokens = find_tokens(Path(data))
    pins = Pins(
        tag=campaign.tag,
        baseline=commit,
        regime=identity.get("regime") or foreign_regime(campaign, frozen),
        frozen=frozen,
        tokens=tokens,
        identity=identity,
        settings=campaign.settings(),
        previous_tag=make_current(campaign),
    )
    campaign.ledger.write_pins(pins)


def find_tokens(data: Path) -> dict[str, list[str]]:
    """Tokens and tokenizer that data.json describes, as `Pins` keeps them.

    Raises:
        Refused: one is not what was prepared.
    """
    noted = json.loads(data.read_bytes()) if data.name == "data.json" else {}
    held, ready = data.parents[2] / "held", data.parent
    places = {"train": ready / "tokens.bin", "tokenizer": ready / "tokenizer.json"}
    places |= {split: held / split / ready.name / "tokens.bin" for split in ("val", "sealed")}
    found = {}
    for name, path in places.items():
        if name in noted:
            if (digest := file_digest(path)) != noted[name]:
                raise Refused(f"{path} must have the sha256 {noted[name]} but has {digest}; {PREPARE_AGAIN}")
            found[str(path)] = [digest, file_stamp(path)]
    return found


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


def current_tag(root: Path) -> str:
    """The tag whose table and notes lie at the top; empty when nobody wrote it down."""
    marker = root / "results" / ".tag"
    return marker.read_text().strip() if marker.exists() else ""


def make_current(campaign: Campaign) -> str:
    """Move the table and notes of another tag into its folder and bring back one's own; nothing is overwritten.

    Returns:
        The other tag; empty when there was none.

    Raises:
        Refused: the place is taken.
    """
    root, old = campaign.repo.root, current_tag(campaign.repo.root) or f"before-{campaign.tag}"
    if old == campaign.tag:
        return ""
    own, aside = root / "results" / campaign.tag, root / "results" / old
    present = [name for name in MOVED if (root / name).exists()]
    if taken := [str(aside / name) for name in present if (aside / name).exists()]:
        raise Refused(f"older records must be moved aside but {', '.join(taken)} exist; move those away")
    for name in present:
        aside.mkdir(parents=True, exist_ok=True)
        os.rename(root / name, aside / name)
    marker = root / "results" / ".tag"
    marker.parent.mkdir(exist_ok=True)
    notes.replace(marker, campaign.tag + "\n")
    for name in MOVED:
        if (own / name).exists() and not (root / name).exists():
            os.rename(own / name, root / name)
    return old if present else ""


def write_notes(root: Path) -> None:
    """notes.md from the template, unless there is one."""
    template, path = root / "notes.md.template", root / "notes.md"
    if not path.exists():
        empty = "# Notes\n\n" + "".join(f"## {title}\n\n" for title in notes.HEADINGS)
        notes.replace(path, template.read_text() if template.exists() else empty)
