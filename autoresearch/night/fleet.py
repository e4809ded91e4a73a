"""One agent for each device: a worktree, a tag and a watch of its own, and one table over all."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch import ledger, process
from autoresearch.attempt import setup
from autoresearch.attempt.campaign import PREFIX, Campaign
from autoresearch.errors import BadConfig, NoGoodTrial, Refused
from autoresearch.ledger import Ledger
from autoresearch.night.gate import Gate
from autoresearch.night.journal import Journal
from autoresearch.notes import replace
from autoresearch.process import Launch
from autoresearch.records import State
from autoresearch.repo import Repo

TICK_S = 0.5
SETTINGS = (".claude", ".codex", ".opencode", "opencode.json", "opencode.jsonc", ".aider.conf.yml")
"""Where agents read what they may do in a checkout; git often does not know of it."""


@dataclass
class Seat:
    """One device and what runs on it."""

    device: str
    tag: str
    root: Path
    """Its worktree."""
    env: dict[str, str]
    log: Path
    launch: Launch | None = None
    stage: str = "setup"
    """`setup`, then `drive`."""
    code: int | None = None
    """How it ended."""

    @property
    def note(self) -> Path:
        """Where it is written down which process it is."""
        return self.log.with_suffix(".json")

    @property
    def current_log(self) -> Path:
        """The log of its stage."""
        return self.log.with_suffix(".setup.log") if self.stage == "setup" else self.log


def devices_of(text: str) -> list[str]:
    """The devices of a list such as 0,1,2,3.

    Raises:
        BadConfig: it is none, or names one twice.
    """
    found = [one.strip() for one in text.split(",")]
    if len(set(found)) < len(found) or not all(re.fullmatch(r"\d{1,3}", one) for one in found):
        raise BadConfig(f"--gpus must list devices such as 0,1,2,3, each once, but got {text!r}")
    return found


def drive(
    campaign: Campaign, devices: Sequence[str], options: Sequence[str], agent: Sequence[str], say: Callable[[str], None]
) -> Path:
    """Keep an agent at work on every device until all their nights are over; returns the table over all.

    Args:
        options: words of the command line of each watch, from the verb on, up to the agent's own.

    Raises:
        Busy: another `drive` keeps the tag.
        Refused: the worktree of a device is gone.
        NoGoodTrial: no night came to a good end.
    """
    journal = Journal(campaign.ledger.folder / "night")
    with journal.hold(campaign.tag):  # whoever is noted in a seat from now on was left by a fleet that is no more
        seats = [take_seat(campaign, device, say) for device in devices]
        keep(seats, [*options, "--", *agent], say)
        table = journal.folder / "all.tsv"
        write_table(table, seats, campaign.ledger.columns)
    if all(seat.code for seat in seats):
        raise NoGoodTrial(
            f"no night came to a good end on any device; see {', '.join(str(seat.current_log) for seat in seats)}"
        )
    return table


def keep(seats: Sequence[Seat], words: Sequence[str], say: Callable[[str], None]) -> None:
    """Run what each seat lacks, setup and watch, until all have ended; whatever happens, nothing is left running."""
    try:
        for seat in seats:
            start(seat, words if is_set_up(seat) else ["setup", seat.tag])
            say(f"device {seat.device}: {seat.root}, tag {seat.tag}, log {seat.current_log}")
        while any(seat.launch for seat in seats):
            for seat in seats:
                advance(seat, words, say)
            time.sleep(TICK_S)
    finally:
        for seat in seats:
            if seat.launch:
                seat.launch.stop()


def take_seat(campaign: Campaign, device: str, say: Callable[[str], None]) -> Seat:
    """The worktree of a device, made from the branch as it stands, or the one that is there from before.

    Raises:
        Refused: that one is gone, and its records with it; names what makes room for another.
    """
    repo, tag = campaign.repo, f"{campaign.tag}-g{device}"
    root = repo.root.parent / f"{repo.root.name}-{tag}"
    repo.run("worktree", "prune")
    known = {line.removeprefix("worktree ") for line in repo.run("worktree", "list", "--porcelain").splitlines()}
    if str(root) not in known:
        branch, refs = f"refs/heads/{PREFIX}{tag}", f"refs/autoresearch/{tag}/"
        if repo.exists(branch) or repo.refs(refs):
            raise Refused(
                f"device {device} has worked under the tag {tag!r} but {root}, where its records lay, is not there; "
                f"put it back, forget its attempts with `git for-each-ref --format='delete %(refname)' {refs} {branch} "
                "| git update-ref --stdin`, or begin another tag"
            )
        champion = campaign.champion(campaign.attempts()).commit
        repo.run("worktree", "add", "--quiet", "--detach", str(root), champion)
    env = environment_of(campaign.variables, repo.root, device)
    log = campaign.ledger.folder / "night" / f"g{device}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    seat = Seat(device, tag, root, env, log)
    if seat.note.exists():  # of a fleet that was killed: its watch would go on alone
        left = json.loads(seat.note.read_text())
        process.end_group(left["pid"], left["started"], "")
    if not is_set_up(seat) and setup.is_shared(campaign, Repo(root, env).resolve("HEAD")):
        # a commit for a hub leaves out the tooling and whatever else git does not ignore
        num_files, num_bytes = copy(repo, repo.untracked("--exclude-standard"), root)
        say(f"device {device}: {num_files} untracked files, {num_bytes:,} bytes, were copied into {root}")
    if settings := repo.untracked("--", *SETTINGS):
        copy(repo, settings, root, anew=True)
        say(f"device {device}: settings of agents were copied: {', '.join(settings[:5])}, {len(settings)} files in all")
    return seat


def copy(repo: Repo, paths: Sequence[str], root: Path, anew: bool = False) -> tuple[int, int]:
    """Lay files of the checkout into a worktree.

    A file is there whole or not at all, and cut off, the same call does the rest.

    Args:
        anew: whether a file that is there already is replaced; else it stays.

    Returns:
        How many files were copied, and their bytes.
    """
    num_files = num_bytes = 0
    for path in paths:
        source, target = repo.root / path, root / path
        if source.is_file() and (anew or not target.exists()):
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{target.name[:200]}.copying")
            shutil.copy2(source, aside)
            os.replace(aside, target)
            num_files, num_bytes = num_files + 1, num_bytes + target.stat().st_size
    return num_files, num_bytes


def environment_of(variables: Mapping[str, str], root: Path, device: str) -> dict[str, str]:
    """The person's environment, with one device to see and the packages of the main checkout."""
    shared = {"CUDA_VISIBLE_DEVICES": device}
    if (root / ".venv").exists():
        shared["UV_PROJECT_ENVIRONMENT"] = str(root / ".venv")
    return {**variables, **shared}


def is_set_up(seat: Seat) -> bool:
    """Whether its baseline is measured."""
    records = Ledger(seat.root, seat.tag)
    return records.path(1).exists() and records.read(1).state == State.CLOSED


def start(seat: Seat, words: Sequence[str]) -> None:
    """Run a verb in its worktree."""
    seat.stage = words[0]
    gate = Gate()
    seat.launch = gate.launch([sys.executable, "-m", "autoresearch", *words], seat.root, seat.env, seat.current_log)
    replace(seat.note, json.dumps({"pid": seat.launch.pid, "started": seat.launch.started}) + "\n")
    gate.open()


def advance(seat: Seat, words: Sequence[str], say: Callable[[str], None]) -> None:
    """Go on to the watch once the setup is done; note how the watch ended."""
    if not seat.launch or not seat.launch.has_ended():
        return
    seat.code = seat.launch.wait().exit_code
    seat.launch = None
    if seat.stage == "setup" and seat.code == 0:
        start(seat, words)
        return
    say(f"device {seat.device}: {seat.stage} ended with {seat.code}")


def write_table(path: Path, seats: Sequence[Seat], columns: Sequence[str]) -> None:
    """One table of all rows, with the tag of each."""
    lines = ["\t".join([*columns, "tag"])]
    for seat in seats:
        table = Ledger(seat.root, seat.tag, tuple(columns)).table
        rows = ledger.read_table(table) if table.exists() else []
        lines += ["\t".join([*(row.values.get(name, "") for name in columns), seat.tag]) for row in rows]
    replace(path, "\n".join(lines) + "\n")
