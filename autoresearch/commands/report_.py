"""report."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from autoresearch.commands import terminal
from autoresearch.errors import AutoresearchError, Terminated
from autoresearch.notes import replace
from autoresearch.report import export, page, picture, server, sources, story, text
from autoresearch.report.sources import Source
from autoresearch.report.story import Story

PORT = 8642


def main(
    out: Annotated[Path | None, typer.Option(help="Folder for progress.png and report.html.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Any results.tsv, in place of the current tag.")] = None,
    metric: Annotated[str, typer.Option(help="With --ledger: column of the score; val_bpb unless told.")] = "",
    direction: Annotated[Literal["min", "max"], typer.Option(help="With --ledger: which scores are better.")] = "min",
    records: Annotated[bool, typer.Option("--records", help="Also copy what the page is made from.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve a page that follows the night, on loopback.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve; 0 takes any.")] = PORT,
) -> None:
    """Write the page that tells the night, or serve it."""
    source = source_of(ledger, metric, direction)
    lock = Path(source.repo.root, "results", ".lock") if source.repo and not ledger else None

    def is_alive() -> bool:
        with contextlib.suppress(OSError):
            return lock is not None and terminal.is_held(lock)
        return False

    if serve:
        follow(server.Live(source, terminal.now, is_alive), port)
        return
    found = sources.read(source)
    told = story.tell(found, is_alive())
    folder = out or default_folder(source, ledger)
    folder.mkdir(parents=True, exist_ok=True)
    with painted_beside(told, folder / "progress.png"):
        replace(folder / "report.html", page.render(told, terminal.now()))
    for name in ("report.html", "progress.png"):
        print(folder / name)
    if records:
        terminal.say(f"{export.copy(found, folder)} records are in {folder / 'records'}")


def source_of(ledger: Path | None, metric: str, direction: Literal["min", "max"]) -> Source:
    """The current tag, or the table that was named."""
    if ledger:
        return sources.of_ledger(ledger, metric, direction, sources.repo_around(Path.cwd(), os.environ))
    if metric or direction != "min":
        raise typer.BadParameter("--metric and --direction belong to --ledger; a tag knows its own")
    return sources.of_checkout(Path.cwd(), os.environ)


def default_folder(source: Source, ledger: Path | None) -> Path:
    """A folder that git ignores: the tag's own, or one for tables from elsewhere."""
    root = source.repo.root if source.repo else Path.cwd()
    return root / "results" / "report" if ledger else source.records


def paint(told: Story, path: Path) -> None:
    """Write the picture aside, then put it in place."""
    source = told.found.source
    data = picture.paint(told, f"{text.line(source.title, 60)}: {text.line(source.metric, 40)} of every attempt")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(data)
    os.replace(aside, path)


@contextlib.contextmanager
def painted_beside(told: Story, path: Path) -> Iterator[None]:
    """Have the picture painted while the block runs: importing matplotlib takes as long as all the rest."""
    if sys.platform != "linux":  # elsewhere a forked process may not do as much
        yield
        paint(told, path)
        return
    painter = multiprocessing.get_context("fork").Process(target=paint, args=(told, path))
    painter.start()
    yield
    painter.join()
    if painter.exitcode:
        raise AutoresearchError(f"{path} must be painted but that failed; the lines above say why")


def follow(live: server.Live, port: int) -> None:
    """Serve until Ctrl-C."""
    with server.Server(live, port) as listening:
        terminal.end_orderly()
        print(listening.url, flush=True)
        terminal.say("the page follows the night; Ctrl-C ends it")
        try:
            listening.serve_forever(poll_interval=0.2)
        except Terminated:
            raise
        except KeyboardInterrupt:
            terminal.say("")
