"""Tricks of the training run: with the clock, with held-out text, with what the supervisor reads."""

import os
import re
import shutil

import pytest
from ring import HONEST, Ring, with_trick

import prepare
from autoresearch import sandbox
from autoresearch.errors import Refused

TOP = "# a trick may stand here\n"
START = "    clock.start()\n"
LOOP = "    while not clock.done:\n"
SLOW = """
import time
real = time.monotonic
time.monotonic = lambda: real() / 4
prepare.Clock.__init__.__defaults__ = (*prepare.Clock.__init__.__defaults__[:-1], time.monotonic)
"""
BEFORE = "    model(torch.zeros(1, 8, dtype=torch.int64)).sum().backward()\n    optimizer.step()\n"
TRICKS = {
    "a slowed clock": ((TOP, SLOW), "clock: training must end within|training took longer than"),
    "an update before the clock": ((START, BEFORE + START), "ClockError: an optimizer step must come after"),
    "training without a start": ((START + LOOP, "    for _ in range(3):\n"), "ClockError: an optimizer step must come"),
    "training that ends early": ((LOOP, "    for _ in range(3):\n"), "clock: training must go on until clock.done"),
    "a clock that is never told": ((TOP, "prepare.Clock._stamp = lambda *a: None\n"), "clock.start() must be called"),
    "training beyond the end": (
        (LOOP, "    while not clock.done or clock.num_steps < 10**9:\n"),
        "ClockError: an optimizer step must not come after clock.done",
    ),
}


@pytest.mark.slow
def test_honest_run_is_scored(ring: Ring) -> None:
    entry = ring.run(ring.enter(HONEST))
    assert entry.crash is None and entry.score and 0.5 < entry.score < 8, entry
    assert entry.sealed == ring.campaign.confinement.kind
    assert 1.9 < entry.stamps["done"] - entry.stamps["start"] < 3.5
    assert f"val_bpb: {entry.score:.6f}" in (ring.path(entry) / "run.log").read_text().splitlines()[-1]


@pytest.mark.slow
def test_whole_run_without_bubblewrap_is_confined_by_landlock(tmp_path, cache, environment) -> None:
    if sandbox.find(kinds=("landlock",)).kind != "landlock":
        pytest.skip("no Landlock here")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(str(shutil.which("git")))
    one = Ring(tmp_path / "repository", {**environment, "PATH": str(programs)}).night
    one.run("setup", "t2", "--baseline-runs", "1")
    entry = one.records("t2")[0]["trials"][0]
    assert entry["sealed"] == "landlock" and 0.5 < entry["score"] < 8


@pytest.mark.slow
@pytest.mark.parametrize("name", TRICKS)
def test_trick_with_the_clock_is_refused(ring: Ring, name: str) -> None:
    (old, new), why = TRICKS[name]
    entry = ring.run(ring.enter(with_trick(old, new)))
    assert entry.score is None and entry.crash and entry.crash.kind in ("refused", "timeout"), entry
    assert any(one in entry.crash.why for one in why.split("|")), entry.crash


@pytest.mark.slow
def test_held_out_text_is_not_there_for_the_run(ring: Ring) -> None:
    if ring.campaign.confinement.kind == "open":
        pytest.skip("nothing confines a trial here")
    for split in ("val", "sealed"):
        assert next(prepare.CACHE.rglob(f"held/{split}/**/tokens.bin")).exists()
    trick = with_trick('"train")\n', '"val")\n')
    entry = ring.run(ring.enter(trick))
    assert entry.score is None and entry.crash and "held/val" in entry.crash.why + entry.crash.tail, entry.crash


@pytest.mark.parametrize("name", ["train", "val", "sealed", "tokenizer"])
def test_changed_data_are_not_what_was_pinned(ring: Ring, name: str) -> None:
    """By someone whose run was not confined, and who puts the time of the file back."""
    ready = prepare.ready_dir()
    folder = prepare.find_dataset(prepare.DATASET_NAME).split_dir("train" if name == "tokenizer" else name) / ready.name
    path = folder / ("tokenizer.json" if name == "tokenizer" else "tokens.bin")
    before, times = path.read_bytes(), path.stat()
    ring.campaign.check_pins()
    try:
        path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(
            Refused, match=f"{re.escape(str(path))} must stay as it was at setup but changed; .*prepare.py"
        ):
            ring.campaign.check_pins()
    finally:
        path.write_bytes(before)
    ring.campaign.check_pins()
