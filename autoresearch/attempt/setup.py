"""Begin a tag: pins, branch, table, notes; every step may be repeated after a kill."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from autoresearch import arena, knobs, notes, process
from autoresearch.attempt import begin
from autoresearch.attempt.campaign import PREPARE_AGAIN, Campaign, file_digest, file_stamp
from autoresearch.errors import Refused
from autoresearch.records import Attempt, Pins, State

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
IDENTITY_S = 300.0
MOVED = ("results.tsv", "notes.md", "notes-archive.md")


def prepare_tag(campaign: Campaign, start: str, now: str, foreign: Sequence[str] = ()) -> Attempt:
    """Make branch, pins, table, notes and the record of the baseline.

    Args:
        start: commit to begin from.
        foreign: commits of strangers whose code that one holds.

    Raises:
        Refused: a bad or existing tag, edits in tracked files, missing data; each with what mends it.
    """
    repo, ledger = campaign.repo, campaign.ledger
    is_begun = ledger.is_begun
    check_tag(campaign, is_begun)
    commit = campaign.pins.baseline if is_begun else repo.resolve(start)
    enter = enter_beside if is_shared(campaign, commit) else enter_whole
    enter(campaign, commit, foreign)
    campaign.reached("switched")
    ledger.start_table()
    write_notes(repo.root)
    return ledger.read(1) if ledger.numbers() else begin.baseline(campaign, now)


def is_shared(campaign: Campaign, commit: str) -> bool:
    """Whether a commit holds the files alone that agents share: no tooling, no pages."""
    return campaign.arena.own and set(campaign.repo.files(commit)) == {*arena.SHARED}


def enter_whole(campaign: Campaign, commit: str, foreign: Sequence[str]) -> None:
    """Pin what a commit holds, and check its branch out.

    Raises:
        Refused: see `prepare_tag`.
    """
    repo, head = campaign.repo, campaign.repo.resolve("HEAD")
    refuse_edits(repo.dirty())
    if is_shared(campaign, head):
        raise Refused(
            f"this branch leaves out files of {commit[:7]}, which lie here untracked; go to a branch that has them, "
            "`git reset --quiet BRANCH -- . && git switch BRANCH`, then setup"
        )
    came_from = repo.branch() or head
    if head != commit:
        repo.run("switch", "--quiet", "--detach", commit)
    try:
        pin(campaign, commit, foreign)
    except BaseException:
        repo.run("switch", "--quiet", *([] if repo.exists(f"refs/heads/{came_from}") else ["--detach"]), came_from)
        raise
    if not repo.exists(f"refs/heads/{campaign.branch}"):
        repo.run("switch", "--quiet", "--create", campaign.branch, commit)
    elif repo.branch() != campaign.branch:
        repo.run("switch", "--quiet", campaign.branch)


def enter_beside(campaign: Campaign, commit: str, foreign: Sequence[str]) -> None:
    """Pin and check out a commit that lacks the tooling: what it leaves out stays where it lies, untracked.

    Raises:
        Refused: see `prepare_tag`.
    """
    repo, branch = campaign.repo, f"refs/heads/{campaign.branch}"
    mutable = campaign.arena.mutable
    if repo.branch() == campaign.branch:
        repo.stand_on(campaign.branch, mutable)  # cut off just there: the index may still be that of before
    elif not campaign.ledger.is_begun and (staged := repo.staged_alone()):
        raise Refused(f"{', '.join(staged)} is staged otherwise than it lies in the tree; commit or unstage it")
    refuse_edits(repo.differing(commit, repo.dirty()))
    if others := repo.differing(commit, [path for path in arena.SHARED if path not in mutable]):
        raise Refused(
            f"{', '.join(others)} must be as in {commit[:7]}, for scores do not compare otherwise; begin from a commit "
            "that has yours"
        )
    pin(campaign, commit, foreign)
    if not repo.exists(branch):
        repo.run("update-ref", branch, commit, "")
    repo.stand_on(campaign.branch, mutable)


def refuse_edits(dirty: list[str]) -> None:
    """Refuse to begin amid unfinished work.

    Raises:
        Refused: names the files.
    """
    if dirty:
        raise Refused(
            f"tracked files must be clean but {', '.join(dirty[:5])} differ; `git commit` or `git stash` them"
        )


def pin(campaign: Campaign, commit: str, foreign: Sequence[str]) -> None:
    """Fix the pins, or check them where they are fixed."""
    if campaign.ledger.is_begun:
        campaign.check_pins()
    else:
        fix_pins(campaign, commit, foreign)
    campaign.reached("pins")


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


def fix_pins(campaign: Campaign, commit: str, foreign: Sequence[str] = ()) -> None:
    """Pin the frozen files, data and settings; the records of another tag are moved aside first.

    Raises:
        Refused: a mutable file is not tracked, data are missing, or the place for older records is taken.
    """
    if arena.load(campaign.repo.root) != campaign.arena:
        raise Refused(f"{arena.NAME} is another one at {commit[:7]}; `git switch --detach {commit[:7]}`, then setup")
    tracked = campaign.repo.files(commit)
    if missing := [path for path in campaign.arena.mutable if path not in tracked]:
        raise Refused(f"{', '.join(missing)} must be in commit {commit[:7]}, for attempts change it; `git add` it")
    campaign.check_confinement(foreign)
    rules, root = campaign.arena, campaign.repo.root
    named = [*(() if rules.own else rules.frozen), *rules.sandbox.hidden]
    if empty := [pattern for pattern in named if not any(path.is_file() for path in root.glob(pattern))]:
        raise Refused(
            f"{', '.join(empty)} of {arena.NAME} must match a file but none is there; make it, or mend the rule"
        )
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
        foreign=[*foreign],
    )
    campaign.mark_foreign(foreign)
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
        command = [sys.executable, "-P", "prepare.py", "--identity"]  # no json.py that lies beside it
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
