"""The tree that a trial of a diff runs in: a commit, copies of what lies beside it, and links to what is too large.

Not covered: what a trial writes through a link, unless it is confined, and what training does to data that no commit
holds before the evaluation reads it.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoresearch.errors import Refused
from autoresearch.repo import Repo
from autoresearch.sandbox import files
from autoresearch.search.config import Config

COPIED_BYTES, COPIED_FILES = 64 << 20, 2000  # of everything beside the code, for each trial
LOADED = (".py", ".pyc", ".pyo", ".pyd", ".so")  # what an import would take in place of committed code


@dataclass(frozen=True)
class Tree:
    """The code of one trial."""

    repo: Repo
    commit: str
    place: Path
    """`code/` in the trial's folder."""
    workdir: Path
    """Of the target, inside the repository."""
    own: tuple[Path, ...] = ()
    """What the campaign writes; trials do not see it beside their code."""

    @property
    def cwd(self) -> Path:
        """Where the trial runs."""
        return self.at(self.workdir)

    def at(self, path: Path) -> Path:
        """Where a path of the repository is found in the tree; others stay."""
        return self.place / path.relative_to(self.repo.root) if path.is_relative_to(self.repo.root) else path

    @property
    def has_environment(self) -> bool:
        """Whether it has an environment of Python, which is the person's."""
        return _is_environment(self.place / ".venv")

    def lay_out(self) -> None:
        """Fill it.

        Raises:
            Refused: the disk is full, or something beside the code cannot be read.
        """
        try:
            self.place.mkdir()
            self.repo.export(self.commit, [], self.place)
            self._lay_beside()
        except OSError as error:
            raise Refused(f"the tree of the trial cannot be made: {error}") from error

    def renew(self) -> None:
        """Fill it anew between training and evaluation: the data that training left stays, code and outer links do not.

        Raises:
            OSError, AutoresearchError: it cannot be done, so that there must be no evaluation.
        """
        trained = self.place.with_name("trained")
        files.remove(trained)
        self.place.rename(trained)
        self.place.mkdir()
        self.repo.export(self.commit, [], self.place)
        for path, _ in [] if trained.is_symlink() else _leaves(trained):
            to = self.place / path.relative_to(trained)
            is_inner = not path.is_symlink() or Path(os.path.normpath(to.parent / path.readlink())).is_relative_to(
                self.place
            )
            if is_inner and path.suffix not in LOADED and not os.path.lexists(to) and self._make_folder(to.parent):
                path.rename(to)
        files.remove(trained)
        self._lay_beside()

    def _lay_beside(self) -> None:
        for path, is_copied in beside(self.repo, self.own):
            to, original = self.place / path, self.repo.root / path
            to.parent.mkdir(parents=True, exist_ok=True)
            if is_copied:
                self._copy(original, to)
            elif not os.path.lexists(to):
                to.symlink_to(original)
        self.cwd.mkdir(parents=True, exist_ok=True)

    def _copy(self, original: Path, to: Path) -> None:
        """Copy a file or a folder; what is there already stays, and what cannot be read is left out."""
        for parent, _, _ in os.walk(original):
            self._make_folder(to / Path(parent).relative_to(original))
        for path, _ in _leaves(original):
            aim = to / path.relative_to(original)
            if not os.path.lexists(aim) and aim.parent.is_dir():
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    shutil.copy2(path, aim, follow_symlinks=False)

    def _make_folder(self, folder: Path) -> bool:
        """Make a folder of the tree where nothing is in the way."""
        way = [one for one in (folder, *folder.parents) if one.is_relative_to(self.place)]
        if any(os.path.lexists(one) and (one.is_symlink() or not one.is_dir()) for one in way):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        return True

    def linked(self) -> list[Path]:
        """What lies outside, to be read through links."""
        return [self.repo.root / path for path, is_copied in beside(self.repo, self.own) if not is_copied]


def beside(repo: Repo, own: tuple[Path, ...]) -> list[tuple[str, bool]]:
    """What of a repository's folder no commit holds, and whether trials get a copy: the small before the large.

    Names that begin with a dot, at the root, are left out, but for an environment of Python.
    """
    found, left_bytes, left_files = list[tuple[str, bool]](), COPIED_BYTES, COPIED_FILES
    beside = map(_bare, repo.untracked("--directory"))  # a folder that holds nothing else ends with a slash
    weights = {path: _weight(repo.root / path) for path in beside if _is_shown(repo, path, own)}
    for path, (num_bytes, num_files) in sorted(weights.items(), key=lambda item: (item[1], item[0])):
        is_copied = num_bytes <= left_bytes and num_files <= left_files
        if is_copied:
            left_bytes, left_files = left_bytes - num_bytes, left_files - num_files
        found.append((path, is_copied))
    return found


def too_large(repo: Repo, own: tuple[Path, ...]) -> list[str]:
    """What trials see through links, environments of Python aside."""
    found = [path for path, is_copied in beside(repo, own) if not is_copied]
    return [path for path in found if not _is_environment(repo.root / path)]


def outputs(config: Config) -> tuple[Path, ...]:
    """What a campaign writes."""
    paths = config.telemetry
    found = [paths.artifacts_dir, paths.versions_dir, paths.trace_path, paths.ledger_path, config.store_path]
    return (*found, *(path for path in (paths.model_output_dir, paths.timeline_path) if path))


def _bare(path: str) -> str:
    return path.rstrip("/")


def _is_shown(repo: Repo, path: str, own: tuple[Path, ...]) -> bool:
    original = repo.root / path
    is_own = any(original == one or original in one.parents or one in original.parents for one in own)
    is_hidden = path.startswith(".") and not _is_environment(original)
    return not (is_own or is_hidden or "__pycache__" in path)


def _is_environment(path: Path) -> bool:
    return (path / "pyvenv.cfg").is_file()


def _weight(path: Path) -> tuple[int, int]:
    """Bytes and files, counted until there are too many; a link or an environment of Python is always too much."""
    too_much = (COPIED_BYTES + 1, COPIED_FILES + 1)
    if path.is_symlink() or _is_environment(path):
        return too_much
    num_bytes = num_files = 0
    for _, found in _leaves(path):
        num_bytes, num_files = num_bytes + found.st_size, num_files + 1
        if num_bytes > COPIED_BYTES or num_files > COPIED_FILES:
            return too_much
    return num_bytes, num_files


def _leaves(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Plain files and links of a folder, to any depth and not through links, or the one file that is named."""
    below = (Path(parent, name) for parent, folders, names in os.walk(top) for name in (*names, *folders))
    for path in below if top.is_dir() else [top]:
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                yield path, found
