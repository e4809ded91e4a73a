"""`python -m autoresearch` in a folder with stray modules; how fast it starts."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import night

STRAY = ("re", "json", "logging", "pathlib", "subprocess", "tomllib", "typing", "typer", "click", "pydantic", "yaml")


def checkout(folder: Path) -> night.Night:
    """A repository that holds the tooling itself, with untracked files of the names of modules."""
    one = night.fresh(folder, own=True)
    shutil.copytree(night.ROOT / "autoresearch", folder / "autoresearch", ignore=shutil.ignore_patterns("__pycache__"))
    del one.env["PYTHONPATH"]
    for name in STRAY:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'taken')!r}, 'a').write({name!r})\nraise SystemExit(9)")
    return one


def test_main_imports_no_stray_module(tmp_path: Path) -> None:
    one = checkout(tmp_path)
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "attempt 0002" in one.attempt("halve", LR=0.5)
    for verb in ("status", "report", "doctor"):
        one.run(verb)
    assert not (tmp_path / "taken").exists(), (tmp_path / "taken").read_text()


def test_main_keeps_the_path_of_an_interpreter_that_leaves_the_folder_out(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "autoresearch", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(night.ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0 and "setup" in done.stdout, done.stderr


def seconds_of(one: night.Night) -> float:
    """Processor time of a start, which is the same however busy the machine is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    one.run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_main_starts_in_half_a_second(tmp_path: Path) -> None:
    one = checkout(tmp_path)
    one.run("--help")  # compiles
    assert min(seconds_of(one) for _ in range(3)) < 0.5
