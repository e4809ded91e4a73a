"""Preparation in real processes: every data set, kill -9 at any point, two at once, damage that is named."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import corpus
import fileserver
import launcher
import numpy as np
import pytest
from conftest import ROOT

import prepare

Run = Callable[..., launcher.Ended]
PREPARE = ROOT / "prepare.py"
SHARDS = {0: "train", 1: "train", 6541: "held/sealed", 6542: "held/val"}
CONTENTS = {number: corpus.parquet(corpus.documents(800, seed=number)) for number in SHARDS}


def digests(cache: Path, name: str = "climbmix") -> dict:
    """data.json, after looking at the files that it speaks of."""
    found = json.loads((cache / name / "train" / "vocab-512" / "data.json").read_text())
    for split, folder in (("train", "train"), ("val", "held/val"), ("sealed", "held/sealed")):
        tokens = cache / name / folder / "vocab-512" / "tokens.bin"
        assert hashlib.sha256(tokens.read_bytes()).hexdigest() == found[split]
    tokenizer = (cache / name / "train" / "vocab-512" / "tokenizer.json").read_bytes()
    assert hashlib.sha256(tokenizer).hexdigest() == found["tokenizer"]
    return found


@pytest.fixture(scope="module")
def origin() -> Iterator[fileserver.FileServer]:
    """A server with the files of both data sets that are downloaded."""
    with fileserver.serve() as server:
        for number, content in CONTENTS.items():
            server.files[f"{prepare.CLIMBMIX}/shard_{number:05d}.parquet"] = content
        yield server


@pytest.fixture(scope="module")
def climbmix(
    origin: fileserver.FileServer, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A cache with climbmix, prepared without disturbance."""
    cache = tmp_path_factory.mktemp("climbmix")
    variables = environment | {"AUTORESEARCH_CACHE": str(cache), "HF_ENDPOINT": origin.url}
    ended = launcher.run([PREPARE, "--dataset", "climbmix", "--num-shards", "2"], variables, cache / "log")
    assert ended.code == 0, ended.text
    return cache


@pytest.fixture
def prepare_climbmix(
    origin: fileserver.FileServer, environment: dict[str, str], tmp_path: Path
) -> Callable[..., launcher.Child]:
    """Call: start preparing climbmix into tmp_path / "cache", to be killed before `die_at`."""
    variables = environment | {"AUTORESEARCH_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": origin.url}
    words: list[str | Path] = [PREPARE, "--dataset", "climbmix", "--num-shards", "2"]
    numbers = iter(range(100))
    return lambda die_at=None: launcher.Child(words, variables, tmp_path / f"log{next(numbers)}", die_at)


def test_climbmix_never_trains_on_held_out_shards(climbmix: Path) -> None:
    root = climbmix / "climbmix"
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}
    assert found == {f"{SHARDS[number]}/shard_{number:05d}.parquet": content for number, content in CONTENTS.items()}
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    assert json.loads((root / "manifest.json").read_text()) == manifest
    digests(climbmix)


def test_climbmix_splits_hold_the_tokens_of_their_own_shards(climbmix: Path) -> None:
    tokenizer = prepare.Tokenizer.from_directory(climbmix / "climbmix" / "train" / "vocab-512")
    bos = tokenizer.get_bos_token_id()
    for split, numbers in {"train": [0, 1], "held/sealed": [6541], "held/val": [6542]}.items():
        ids = np.fromfile(climbmix / "climbmix" / split / "vocab-512" / "tokens.bin", np.uint16)
        texts = [text for number in numbers for text in corpus.documents(800, seed=number)]
        assert tokenizer.decode(ids[ids != bos].tolist()) == "".join(texts)


def test_tinystories_splits_by_row(origin: fileserver.FileServer, run_script: Run, tmp_path: Path) -> None:
    stories = [f"Story {index} of the {word}." for index, word in enumerate(corpus.documents(80)[5:] * 290)]
    origin.files[f"{prepare.TINYSTORIES}/tinystories_gpt4_clean.parquet"] = corpus.parquet(stories)
    cache = tmp_path / "cache"
    ended = run_script(PREPARE, "--dataset", "tinystories", CACHE=cache, HF_ENDPOINT=origin.url)
    assert ended.code == 0, ended.text
    digests(cache, "tinystories")
    tokenizer = prepare.Tokenizer.from_directory(cache / "tinystories" / "train" / "vocab-512")
    for folder, begin, end in (("held/sealed", 0, 10_000), ("held/val", 10_000, 20_000), ("train", 20_000, 21_750)):
        store = cache / "tinystories" / folder / "vocab-512"
        ids, offsets = np.fromfile(store / "tokens.bin", np.uint16), np.load(store / "offsets.npy")
        assert len(offsets) - 1 == end - begin
        for document, story in ((0, stories[begin]), (-1, stories[end - 1])):
            first, last = offsets[:-1][document], offsets[1:][document]
            assert tokenizer.decode(ids[first + 1 : last].tolist()) == story
    assert not list((cache / "tinystories" / "train").glob("*.parquet")), "the file holds held-out text too"


def test_folder_keeps_equal_documents_in_one_split(run_script: Run, tmp_path: Path) -> None:
    texts = corpus.documents(1500)
    folder = corpus.write_folder(tmp_path / "mine", texts + texts[::-1])
    assert run_script(PREPARE, "--dataset", folder, CACHE=tmp_path / "cache").code == 0
    (root,) = (tmp_path / "cache").iterdir()
    tokenizer, seen = prepare.Tokenizer.from_directory(root / "train" / "vocab-512"), set[str]()
    for split in ("train", "held/val", "held/sealed"):
        ids = np.fromfile(root / split / "vocab-512" / "tokens.bin", np.uint16)
        bos = np.flatnonzero(ids == tokenizer.get_bos_token_id())
        found = [tokenizer.decode(piece[1:].tolist()) for piece in np.split(ids, bos[1:])]
        assert len(found) == 2 * len(set(found)) > 20
        assert not seen & set(found)
        seen |= set(found)
    assert seen == set(texts)


def test_folder_with_too_few_documents_says_so(run_script: Run, tmp_path: Path) -> None:
    folder = corpus.write_folder(tmp_path / "mine", corpus.documents(1) * 2)
    ended = run_script(PREPARE, "--dataset", folder, CACHE=tmp_path / "cache")
    assert ended.code == 1 and "needs more documents" in ended.text and "Traceback" not in ended.text


def test_folder_that_changed_is_prepared_anew(run_script: Run, tmp_path: Path) -> None:
    folder = corpus.write_folder(tmp_path / "mine", corpus.documents(1000))
    assert run_script(PREPARE, "--dataset", folder, CACHE=tmp_path / "cache").code == 0
    name = next((tmp_path / "cache").iterdir()).name
    before = digests(tmp_path / "cache", name)
    (folder / "part_9.parquet").write_bytes(corpus.parquet(corpus.documents(300, seed=9)))
    assert run_script(PREPARE, "--dataset", folder, CACHE=tmp_path / "cache").code == 0
    assert digests(tmp_path / "cache", name) != before


def test_ready_data_is_left_alone(climbmix: Path, prepare_climbmix: Callable, tmp_path: Path) -> None:
    shutil.copytree(climbmix, tmp_path / "cache")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*") if path.name != ".lock"}
    assert prepare_climbmix().wait().code == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


KILL_POINTS = [
    ("open", "train/shard_00000.parquet.part"),
    ("os.rename", "climbmix/manifest.json"),
    ("os.rename", "train/shard_00001.parquet"),
    ("os.rename", "held/val/shard_06542.parquet"),
    ("os.rename", "held/sealed/vocab-512/tokens.bin"),
    ("open", "held/sealed/vocab-512/offsets.npy"),
    ("os.rename", "held/sealed/vocab-512/meta.json"),
    ("os.rename", "held/val/vocab-512/meta.json"),
    ("os.rename", "train/vocab-512/meta.json"),
    ("os.rename", "train/vocab-512/tokenizer.json"),
    ("os.rename", "train/vocab-512/data.json"),
]


def assert_healed(cache: Path, climbmix: Path) -> None:
    """The cache is like one that was prepared without disturbance, with nothing left over."""
    assert digests(cache) == digests(climbmix)
    left, expected = ({path.relative_to(root) for path in (root / "climbmix").rglob("*")} for root in (cache, climbmix))
    assert left == expected


@pytest.mark.parametrize("point", KILL_POINTS, ids=" ".join)
def test_killed_preparation_heals_on_the_next_run(
    climbmix: Path, prepare_climbmix: Callable[..., launcher.Child], tmp_path: Path, point: tuple[str, str]
) -> None:
    killed = prepare_climbmix(die_at=point).wait()
    assert killed.code == -9, killed.text
    healed = prepare_climbmix().wait()
    assert healed.code == 0, healed.text
    assert_healed(tmp_path / "cache", climbmix)


@pytest.mark.slow
def test_preparation_killed_at_every_point_in_turn_heals(
    climbmix: Path, prepare_climbmix: Callable[..., launcher.Child], tmp_path: Path
) -> None:
    for point in [KILL_POINTS[0], *KILL_POINTS[4:]]:
        assert prepare_climbmix(die_at=point).wait().code == -9
    assert prepare_climbmix().wait().code == 0
    assert_healed(tmp_path / "cache", climbmix)


def test_preparation_killed_in_a_download_resumes_it(
    climbmix: Path, origin: fileserver.FileServer, prepare_climbmix: Callable[..., launcher.Child], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "climbmix"
    for name in origin.files:
        origin.faults[name].append(fileserver.Fault(delay_s=0.3))
    killed = prepare_climbmix().kill_when(lambda: list(folder.rglob("*.part")))
    assert killed.code == -9, killed.text
    assert not list(folder.rglob("*.parquet"))
    assert prepare_climbmix().wait().code == 0
    assert_healed(tmp_path / "cache", climbmix)


def test_two_preparations_at_once_take_turns_and_both_succeed(
    climbmix: Path, origin: fileserver.FileServer, prepare_climbmix: Callable[..., launcher.Child], tmp_path: Path
) -> None:
    for name in origin.files:
        origin.faults[name].append(fileserver.Fault(delay_s=0.1))
    first = prepare_climbmix()
    first.stop_when(lambda: list((tmp_path / "cache" / "climbmix").rglob("*.part")))
    second = prepare_climbmix()
    second.process.join(2)
    assert second.process.is_alive(), second.log.read_text()
    first.go_on()
    for child in (first, second):
        ended = child.wait()
        assert ended.code == 0, ended.text
    assert_healed(tmp_path / "cache", climbmix)


def test_corrupted_shard_is_found_and_named_with_what_mends_it(
    climbmix: Path, origin: fileserver.FileServer, prepare_climbmix: Callable[..., launcher.Child], tmp_path: Path
) -> None:
    shutil.copytree(climbmix, tmp_path / "cache")
    shard = tmp_path / "cache" / "climbmix" / "train" / "shard_00001.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    ended = prepare_climbmix().wait()
    assert ended.code == 1 and "Traceback" not in ended.text
    assert f"{shard} is corrupted" in ended.text and "uv run prepare.py --dataset climbmix" in ended.text
    shard.unlink()
    assert prepare_climbmix().wait().code == 0
    assert digests(tmp_path / "cache") == digests(climbmix)


def test_absent_shard_is_named_with_the_next_step(
    origin: fileserver.FileServer, run_script: Run, tmp_path: Path
) -> None:
    ended = run_script(
        *(PREPARE, "--dataset", "climbmix", "--num-shards", "3"), CACHE=tmp_path / "cache", HF_ENDPOINT=origin.url
    )
    assert ended.code == 1 and "Traceback" not in ended.text
    assert "shard_00002.parquet could not be fetched (1 tries): 404" in ended.text
    assert "AUTORESEARCH_DATASET=pysource uv run train.py" in ended.text
