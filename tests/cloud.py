"""Stands in for the client of a cloud, as `modal` and `sky` are: it takes a file elsewhere and sends the log back.

Started as a program of either name. CLOUD_MODE says how it goes: fine, `drop` (the connection is lost half way), `mute`
(it ends well and says nothing), `hang` (no end). Asked to end, `modal` has the work there cancelled; of `sky` that is
only done by `sky down`. It takes CLOUD_CANCEL_S, and leaves `cancelled` in the trial's folder.
A file that imports `modal` finds a stand-in for that too.
"""

import contextlib
import inspect
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

START_S, CANCEL_S = 0.5, 0.2


def install(folder: Path) -> Path:
    """Put it into a folder under the names of the clients."""
    folder.mkdir(exist_ok=True)
    for name in ("modal", "sky"):
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        path.chmod(0o755)
    return folder


class Image:
    """The files of a container."""

    def __init__(self, files: dict[str, str] | None = None):
        self.files = files or {}

    @staticmethod
    def debian_slim(python_version: str) -> "Image":
        return Image()

    def pip_install(self, *packages: str) -> "Image":
        return self

    def apt_install(self, *packages: str) -> "Image":
        return self

    def add_local_dir(self, local: str, remote: str) -> "Image":
        return Image({**self.files, remote: str(Path(local).absolute())})

    def add_local_file(self, local: str, remote: str) -> "Image":
        return Image({**self.files, remote: str(Path(local).absolute())})


class Volume:
    """Data that a container sees: a folder beside the client, below `volumes`."""

    def __init__(self, name: str):
        self.folder = Path(__file__).parent / "volumes" / name

    @staticmethod
    def from_name(name: str) -> "Volume":
        return Volume(name)


class App:
    """Functions that run elsewhere: in a fresh folder, which takes the place of PLACE in their module."""

    def __init__(self, name: str, image: Image):
        self.image = image

    def function(
        self,
        *,
        gpu: str,
        volumes: dict[str, Volume],
        timeout: int,
        block_network: Literal[True],
        restrict_modal_access: Literal[True],
    ) -> Callable:
        """No other options, and none left out: with those of a container that could fetch text, nothing runs."""
        assert block_network is True and restrict_modal_access is True and timeout > 0
        return lambda one: types.SimpleNamespace(remote=lambda *args: self.run(one, args, volumes))

    def run(self, one: types.FunctionType, args: tuple, volumes: dict[str, Volume]) -> Any:
        names = one.__globals__
        usual, gpus = names["PLACE"], names["GPUS"]
        with tempfile.TemporaryDirectory() as folder:
            for remote, local in self.image.files.items():
                place = Path(folder) / Path(remote).relative_to(usual)
                shutil.copytree(local, place) if Path(local).is_dir() else shutil.copy(local, place)
            for mount, volume in volumes.items():
                shutil.copytree(volume.folder, Path(folder) / Path(mount).relative_to(usual))
            names.update(PLACE=Path(folder), GPUS=1)
            try:
                return one(*args)
            finally:
                names.update(PLACE=usual, GPUS=gpus)

    def local_entrypoint(self) -> Callable:
        return lambda main: main


def cancel() -> None:
    """Have the work stopped."""
    time.sleep(float(os.environ.get("CLOUD_CANCEL_S") or CANCEL_S))
    Path(os.environ["AUTORESEARCH_TRIAL_DIR"], "cancelled").touch()


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Have the work cancelled when asked to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        cancel()
        print("stopping the app", flush=True)
        sys.exit(130)


def run_there(file: str, mode: str) -> None:
    """Run a file and pass its output on, line by line, and its exit code."""
    env = {name: value for name, value in os.environ.items() if name != "AUTORESEARCH_STAMPS"}  # another machine
    with subprocess.Popen([sys.executable, "-u", file], env=env, stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout
        for number, line in enumerate(work.stdout):
            if mode == "drop" and number == 1:
                work.kill()
                sys.exit("modal.exception.ConnectionError: Deadline exceeded while streaming logs")
            if mode != "mute":
                print(line, end="", flush=True)
        if mode == "hang":
            print("waiting", flush=True)
            time.sleep(600)
    sys.exit(work.returncode)


def run_app(file: str, words: list[str]) -> None:
    """Run the entry point of a file that says what runs where."""
    sys.modules["modal"] = types.ModuleType("modal")
    sys.modules["modal"].__dict__.update(App=App, Image=Image, Volume=Volume)
    main = runpy.run_path(file)["main"]
    given = dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))
    assert given.keys() <= inspect.signature(main).parameters.keys()
    main(**given)


if __name__ == "__main__":
    name, verb = Path(sys.argv[0]).name, sys.argv[1]
    if (name, verb) == ("sky", "down"):
        cancel()
        sys.exit()
    assert (name, verb) in (("modal", "run"), ("sky", "launch"))
    file, words = (sys.argv[2], sys.argv[3:]) if name == "modal" else (sys.argv[-1], [])
    with cancellable() if name == "modal" else contextlib.nullcontext():
        print("provisioning", flush=True)
        time.sleep(START_S)
        if "import modal\n" in Path(file).read_text():
            run_app(file, words)
        else:
            run_there(file, os.environ.get("CLOUD_MODE", ""))
