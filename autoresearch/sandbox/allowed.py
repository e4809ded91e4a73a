"""What a trial may see: an allow-list, never `/` nor a home.

prepare.py is read as text, never imported. Of the held-out packages, the copies on the path of this interpreter are
hidden, and those that come with it or with the system for other programs.
"""

import ast
import glob
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoresearch.errors import BadConfig, Refused
from autoresearch.sandbox.confinement import View

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt/cuda", "/opt/rocm", "/nix/store"),
    *("/gnu/store", "/run/opengl-driver", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/localtime"),
    *("/etc/OpenCL", "/sys/bus", "/sys/class", "/sys/dev", "/sys/devices", "/sys/fs/cgroup", "/sys/module"),
    "/sys/kernel/mm",
)
GPUS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/dxg")
OTHER_PYTHONS = ("/usr/lib/python3*/*-packages", "/usr/local/lib/python3*/*-packages")


def view(
    folder: Path,
    compiled: Path,
    readable: Iterable[Path],
    hidden: Iterable[Path],
    variables: Mapping[str, str],
) -> View:
    """The view of one trial.

    Args:
        folder: the trial's own, written to.
        compiled: what compilers keep, of one tag and for confined processes alone; written to.
        readable: the code copy (also where it lies in `folder`), training data, kernels, the lock file.
        hidden: what must not be read where it lies below something readable, but for what is `readable` in it.
        variables: an environment without secrets, as `process.environment` makes it.

    Raises:
        Refused: something readable holds the home of this user, or everything.
    """
    own = _spellings([folder, compiled])
    given = _spellings([*readable, Path(sys.prefix), Path(sys.base_prefix), *_chain(Path(sys.executable))])
    home = Path(os.path.realpath(variables.get("HOME") or Path.home()))
    system = _spellings(path for path in map(Path, SYSTEM) if path.exists())
    for path in {*given.values(), *own.values()} - {*system.values()}:
        if home.is_relative_to(path):
            raise Refused(f"the sandbox shows single folders, never a home, but got {path} with {home} in it; move it")
    shown = {**system, **given}
    real = _outermost(shown.values())
    secret = sorted({Path(os.path.realpath(path)) for path in (*hidden, *other_packages()) if path.exists()})
    within = _outermost(path for path in shown.values() if _is_in(path, secret) and path not in secret)
    return View(
        readable=tuple(dict.fromkeys([*real, *within])),
        writable=tuple(own.values()),
        hidden=tuple(path for path in secret if _is_in(path, real)),
        devices=tuple(Path(path) for pattern in GPUS for path in sorted(glob.glob(pattern))),
        links=_links({**shown, **own}),
        env=_environment(folder, compiled, variables),
    )


def _environment(folder: Path, compiled: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, with every folder that programs write to by themselves inside."""
    places = {
        "HOME": folder,
        "XDG_CACHE_HOME": folder / "tmp",
        "TORCHINDUCTOR_CACHE_DIR": compiled / "inductor",
        "TRITON_CACHE_DIR": compiled / "triton",
        "TMPDIR": folder / "tmp",
    }
    home, found = variables.get("HOME") or str(Path.home()), dict(variables)
    found["AUTORESEARCH_CACHE"] = found.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch"  # prepare.py's default
    for name in ("AUTORESEARCH_CACHE", "AUTORESEARCH_DATASET"):
        if found.get(name, "").startswith("~/"):
            found[name] = home + found[name][1:]
    return found | {name: str(path) for name, path in places.items()}


def training_data(cache: Path, dataset: str) -> list[Path]:
    """What a trial reads of the cache: tokenizer and training tokens of a data set, and kernels."""
    return [path for path in (cache / dataset / "train", cache / "kernels") if path.exists()]


def held_packages(prepare: Path) -> tuple[str, ...]:
    """The packages whose text is held out, as the source of prepare.py names them; none where it names none.

    Raises:
        BadConfig: it is no Python, or names them other than in a literal.
    """
    try:
        for node in ast.parse(prepare.read_bytes()).body:
            if isinstance(node, ast.Assign) and "HELD_PACKAGES" in map(ast.unparse, node.targets):
                return tuple(map(str, ast.literal_eval(node.value)))
    except (SyntaxError, ValueError) as error:
        raise BadConfig(f"{prepare} must name HELD_PACKAGES in a literal but: {error}") from error
    return ()


def package_files(names: Sequence[str]) -> list[Path]:
    """Files and folders at the top of the installed packages, but for what is written about them (dist-info)."""
    found = set()
    for name in names:
        for package in importlib.metadata.distributions(name=name):
            tops = {path.parts[0] for path in package.files or ()}
            found |= {Path(str(package.locate_file(top))) for top in tops if not top.endswith((".dist-info", ".."))}
    return sorted(path for path in found if path.exists())


def other_packages() -> list[Path]:
    """Packages that lie beside this interpreter and that it does not import: pip brings two of the held-out ones."""
    base = sysconfig.get_path("purelib", vars={"base": sys.base_prefix, "platbase": sys.base_prefix})
    places = {Path(place).resolve() for place in (base, *(found for one in OTHER_PYTHONS for found in glob.glob(one)))}
    used = {Path(place).resolve() for place in sys.path if place}
    bundled = [Path(sysconfig.get_path("stdlib"), "ensurepip"), *(place / "pip" for place in used)]
    return [path for path in (*places - used, *bundled) if path.exists()]


def _spellings(paths: Iterable[Path]) -> dict[Path, Path]:
    """Real paths by the given ones, those made absolute."""
    return {Path(os.path.abspath(path)): Path(os.path.realpath(path)) for path in paths}


def _chain(program: Path) -> list[Path]:
    """A program and all that its symbolic links lead over, one after the other."""
    found = [program]
    while found[-1].is_symlink() and len(found) < 40:
        found.append(found[-1].parent / os.readlink(found[-1]))
    return found


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie in another."""
    found: list[Path] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not _is_in(path, found):
            found.append(path)
    return found


def _links(spellings: Mapping[Path, Path]) -> dict[Path, Path]:
    """Spellings that have to be made: neither real nor reached through a shown folder or another spelling."""
    found: dict[Path, Path] = {}
    for name in sorted(spellings, key=lambda name: len(name.parts)):
        if name != spellings[name] and not _is_in(name, (*spellings.values(), *found)):
            found[name] = spellings[name]
    return found
