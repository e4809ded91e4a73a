"""Data other than those that were prepared: refused by path before anything trains, and never scored on."""

import hashlib
import json
import os
import socket
from pathlib import Path

import night
import pytest

import prepare

READY = "fake/train/vocab-512"
PLACES = {
    "train": f"{READY}/tokens.bin",
    "val": "fake/held/val/vocab-512/tokens.bin",
    "sealed": "fake/held/sealed/vocab-512/tokens.bin",
    "tokenizer": f"{READY}/tokenizer.json",
}


@pytest.fixture
def cache(tmp_path) -> Path:
    """Laid out as prepare.py does it."""
    found, noted = tmp_path / "cache", {}
    for name, place in PLACES.items():
        (found / place).parent.mkdir(parents=True, exist_ok=True)
        (found / place).write_text(f"text of {name}")
        noted[name] = hashlib.sha256((found / place).read_bytes()).hexdigest()
    (found / READY / "data.json").write_text(json.dumps(noted))
    return found


def overwrite(path: Path) -> None:
    """Give it another text of the same length, and the old time."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.write(b"mine")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_edited_tokens_are_refused_before_anything_trains(tmp_path, cache):
    one = night.fresh(tmp_path / "repo", own=True, AUTORESEARCH_CACHE=str(cache))
    one.run("setup", "t1", "--baseline-runs", "1")
    one.edit(LR=0.5)
    for name in ("train", "val"):
        path = cache / PLACES[name]
        text = path.read_bytes()
        overwrite(path)
        err = one.refuse("try", "-m", "x")
        assert f"{path} must stay as it was at setup but changed" in err and "`uv run prepare.py`" in err
        path.write_bytes(text)
    assert len(one.records()) == 1 and not (one.root / "results/t1/0002").exists()
    assert "keep" in one.run("try", "-m", "with the old text again").stdout


def test_tokens_that_a_trial_edits_are_not_scored_on(tmp_path, cache):
    one = night.fresh(tmp_path / "repo", own=True, AUTORESEARCH_CACHE=str(cache))
    one.run("setup", "t1", "--baseline-runs", "1")
    path, end = one.root / "train.py", '    if MODE == "exit":\n'
    edit = f"    with open({str(cache / PLACES['val'])!r}, 'r+b') as file:\n        file.write(b'mine')\n"
    path.write_text(path.read_text().replace(end, edit + end))
    one.edit(LR=0.5)
    assert "crash  refused: changed while the trial ran" in one.run("try", "-m", "x", "--no-sandbox").stdout
    assert str(cache / PLACES["val"]) in one.record(2)["trials"][0]["crash"]["why"]


def test_setup_refuses_tokens_that_are_not_what_was_prepared(tmp_path, cache):
    one = night.fresh(tmp_path / "repo", own=True, AUTORESEARCH_CACHE=str(cache))
    for name in PLACES:
        text = (cache / PLACES[name]).read_bytes()
        overwrite(cache / PLACES[name])
        err = one.refuse("setup", "t1", "--baseline-runs", "1")
        assert f"{cache / PLACES[name]} must have the sha256" in err and "`uv run prepare.py`" in err
        (cache / PLACES[name]).write_bytes(text)
    assert not (one.root / "results/t1/0001.json").exists()


@pytest.mark.parametrize("name", ["val", "tokenizer"])
def test_referee_scores_on_nothing_but_what_was_prepared(tokenizer: prepare.Tokenizer, name: str) -> None:
    ready = prepare.ready_dir()
    held = prepare.find_dataset(prepare.DATASET_NAME).split_dir("val") / ready.name
    path = held / "tokens.bin" if name == "val" else ready / "tokenizer.json"
    before, (here, there) = path.read_bytes(), socket.socketpair()
    try:
        path.write_bytes(before[:-2] + b"  ")
        with here, there, pytest.raises(prepare.PrepareError, match=rf"{path.name} must have the sha256"):
            prepare.referee(here, -1, 4, "val")
    finally:
        path.write_bytes(before)
