"""A tag under work: the repository, its arena and ledger, and what was pinned."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from autoresearch import arena as arenas
from autoresearch import sandbox
from autoresearch.arena import Arena
from autoresearch.errors import Refused
from autoresearch.ledger import Ledger
from autoresearch.records import Attempt, Pins, State, Status
from autoresearch.repo import Repo
from autoresearch.sandbox import Confinement
from autoresearch.verdict import Noise, estimate_noise

PREFIX = "autoresearch/"
FOREIGN = "refs/agenthub-tags/"
"""References to the commits of strangers whose code came into a tag: TAG/HASH."""
PREPARE_AGAIN = "move that folder away and run `uv run prepare.py`, which makes the same again"
SETTINGS = ("DATASET", "SCALE", "TIME_BUDGET", "MAX_STEPS", "CACHE")


@dataclass(frozen=True)
class Campaign:
    """Everything that an attempt needs to know."""

    repo: Repo
    arena: Arena
    tag: str
    variables: Mapping[str, str]
    """The environment of this process, from which children get a short list."""
    say: Callable[[str], None] = lambda text: None
    """Talk for the person."""
    show: Callable[[str], None] | None = None
    """Replaces a live line, "" ends it; None where there is no terminal."""
    sandboxed: bool = True
    """Whether trials are to be confined."""
    reached: Callable[[str], None] = lambda step: None
    """Told of each step that is on disk: the seam at which the tests of docs/reliability.md kill the process."""

    @classmethod
    def open(cls, start: Path, variables: Mapping[str, str], say: Callable[[str], None], tag: str = "") -> "Campaign":
        """The campaign of the branch that is checked out.

        Raises:
            Refused: no repository, or not on a branch of this kind.
        """
        repo = Repo.find(start, variables)
        branch = repo.branch()
        if not tag and not branch.startswith(PREFIX):
            raise Refused(
                f"the branch must be {PREFIX}<tag> but is {branch or 'detached'!r}; "
                "begin with `uv run -m autoresearch setup TAG`, or `git switch` to yours"
            )
        opened = cls(repo, arenas.load(repo.root), tag or branch.removeprefix(PREFIX), variables, say)
        return replace(opened, variables=opened.with_pinned_settings())

    @cached_property
    def common(self) -> Path:
        """The folder that all worktrees of the repository share."""
        return Path(self.repo.run("rev-parse", "--path-format=absolute", "--git-common-dir"))

    @property
    def branch(self) -> str:
        """Name of its branch."""
        return PREFIX + self.tag

    @cached_property
    def confinement(self) -> Confinement:
        """What confines its trials here."""
        if self.arena.sandbox.network:
            return sandbox.REMOTE
        return self.best_confinement if self.sandboxed else sandbox.OPEN

    @cached_property
    def best_confinement(self) -> Confinement:
        """What can confine trials here, whether or not it is to."""
        return sandbox.find()

    @cached_property
    def ledger(self) -> Ledger:
        """Its records."""
        return Ledger(self.repo.root, self.tag, self.arena.table)

    @cached_property
    def pins(self) -> Pins:
        """What `setup` fixed."""
        return self.ledger.pins()

    def ref(self, number: int) -> str:
        """The reference that keeps an attempt's commit reachable."""
        return f"refs/autoresearch/{self.tag}/{number:04d}"

    @property
    def budget_s(self) -> float:
        """Training seconds of a trial."""
        return float(self.variables.get("AUTORESEARCH_TIME_BUDGET") or 300)

    @property
    def scale(self) -> str:
        """Of the models, as prepare.py names it; empty in another arena."""
        return self.pins.identity.get("scale", "")

    def settings(self) -> dict[str, str]:
        """Variables that change what is measured."""
        names = [f"AUTORESEARCH_{name}" for name in SETTINGS]
        return {name: self.variables[name] for name in names if self.variables.get(name)}

    def with_pinned_settings(self) -> dict[str, str]:
        """The environment, in which what is unset reads as it was at `setup`."""
        if not self.ledger.is_begun:
            return dict(self.variables)
        unset = {name: value for name, value in self.pins.settings.items() if not self.variables.get(name)}
        return {**self.variables, **unset}

    def frozen_files(self) -> dict[str, str]:
        """sha256 of every frozen file, as it lies in the working tree; so are the rules, and what they hide."""
        patterns = [*self.arena.frozen, *self.arena.sandbox.hidden, arenas.NAME]
        paths = {path for pattern in patterns for path in self.repo.root.glob(pattern) if path.is_file()}
        return {str(path.relative_to(self.repo.root)): file_digest(path) for path in sorted(paths)}

    def check_pins(self) -> None:
        """Frozen files, data and settings must be what `setup` saw, and strangers' code must be confined.

        Raises:
            Refused: names what differs, both values, and what mends it.
        """
        self.check_confinement(self.pins.foreign)
        found = self.frozen_files() | {
            path: file_digest(Path(path)) for path in self.pins.frozen if os.path.isabs(path)
        }
        pinned = self.pins.frozen
        changed = sorted(path for path in found.keys() | pinned.keys() if found.get(path) != pinned.get(path))
        if changed:
            raise Refused(
                f"frozen files must stay as they were at setup but {', '.join(changed)} changed; "
                f"see `git diff {self.pins.baseline[:7]} -- FILE`, put them back, or begin anew with `setup`"
            )
        for path, (digest, stamp) in self.pins.tokens.items():
            if file_stamp(Path(path)) != stamp and file_digest(Path(path)) != digest:
                raise Refused(f"{path} must stay as it was at setup but changed; {PREPARE_AGAIN}")
        now, then = self.settings(), self.pins.settings
        for name in sorted(now.keys() | then.keys()):
            if now.get(name) != then.get(name):
                pinned_as = repr(then[name]) if name in then else "unset"
                raise Refused(
                    f"{name} must be {pinned_as} as at setup but is {now.get(name)!r}: scores of different regimes "
                    f"do not compare; `unset {name}` takes what setup saw"
                )

    def check_confinement(self, foreign: Sequence[str]) -> None:
        """Code of strangers must be confined.

        Raises:
            Refused: nothing confines a trial; says why.
        """
        if foreign and self.confinement.kind in ("open", "remote"):
            whose = ", ".join(commit[:7] for commit in foreign)
            raise Refused(f"code of strangers ({whose}) runs confined or not at all, but {self.confinement}")

    def mark_foreign(self, commits: Sequence[str]) -> None:
        """Tell all worktrees whose code came into the tag: what begins on anything tried in it inherits the mark."""
        for commit in commits:
            self.repo.keep_reachable(f"{FOREIGN}{self.tag}/{commit}", commit)

    def note_foreign(self, commit: str) -> None:
        """Write down that code of strangers came into the tag."""
        pins = self.pins
        self.mark_foreign([commit])
        self.ledger.write_pins(pins.model_copy(update={"foreign": sorted({*pins.foreign, commit})}))

    # --- what the records say

    def champion(self, attempts: list[Attempt]) -> Attempt:
        """The attempt at the tip of the branch: the last one kept or gone back to.

        Raises:
            Refused: there is no baseline yet.
        """
        for attempt in reversed(attempts):
            if attempt.status in (Status.KEEP, Status.BACKTRACK):
                return attempt
        raise Refused(f"{self.tag} has no baseline; run `uv run -m autoresearch setup` again to measure one")

    def noise(self, attempts: list[Attempt]) -> Noise:
        """What a change of seed moves the score by, from everything measured in this regime.

        Raises:
            Refused: nothing was measured yet.
        """
        groups = [scores for epoch in epochs(attempts, self.pins.regime) for scores in epoch.values()]
        if not groups:
            raise Refused(f"{self.tag} has no score yet; run `uv run -m autoresearch setup {self.tag}` to measure one")
        return estimate_noise(groups)

    def attempts(self) -> list[Attempt]:
        """All records, oldest first; a closed one is parsed again only when its file is another."""
        found = []
        for number in self.ledger.numbers():
            file = self.ledger.path(number).stat()
            stamp = (file.st_ino, file.st_mtime_ns, file.st_size)
            known = self._closed.get(number)
            attempt = known[1] if known and known[0] == stamp else self.ledger.read(number)
            if attempt.state == State.CLOSED:
                self._closed[number] = (stamp, attempt)
            found.append(attempt)
        return found

    @cached_property
    def _closed(self) -> dict[int, tuple[tuple[int, int, int], Attempt]]:
        return {}

    def record(self, attempt: Attempt, step: str = "") -> None:
        """Put an attempt's record on disk, and tell the seam."""
        self.ledger.write(attempt)
        self.reached(step or attempt.state)


def epochs(attempts: list[Attempt], regime: str) -> list[dict[str, list[float]]]:
    """Scores by commit, of one regime, oldest first; a drift of the machine begins a new epoch."""
    found: list[dict[str, list[float]]] = [{}]
    for attempt in attempts:
        if attempt.regime != regime:
            continue
        if attempt.drift:
            found.append({})
        for trial in (*attempt.trials, *attempt.champion_trials):
            if trial.score is not None:
                found[-1].setdefault(trial.commit, []).append(trial.score)
    return found


def measurements(attempts: list[Attempt], regime: str) -> dict[str, list[float]]:
    """Scores by commit that compare with what is measured now: those since the machine last drifted."""
    return epochs(attempts, regime)[-1]


def lineage(attempts: list[Attempt], champion: Attempt) -> list[Attempt]:
    """Kept attempts that the champion stands on, itself included, oldest first."""
    by_commit = {one.commit: one for one in attempts if one.status == Status.KEEP}
    found: list[Attempt] = []
    commit = champion.commit
    while commit in by_commit and by_commit[commit] not in found:
        found.append(by_commit[commit])
        commit = by_commit[commit].parent
    return found[::-1]


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex; empty when it is not there. It is read once, and again when its stamp is another."""
    return _digest(path.absolute(), file_stamp(path))


@lru_cache(maxsize=4096)
def _digest(path: Path, stamp: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def file_stamp(path: Path) -> str:
    """Number, size and time of the last change of any kind, which nobody can set back; empty when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_ctime_ns}"


def seed_of(tag: str, number: int, run: int) -> int:
    """The seed of a trial: never one that an agent chose."""
    text = json.dumps([tag, number, run])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
