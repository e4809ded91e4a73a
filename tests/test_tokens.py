"""The token store: memory-mapped uint16, document offsets, and truncation that is named."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import corpus
import launcher
import numpy as np
import pytest

import prepare

TEXTS = corpus.documents(700, seed=5)


@pytest.fixture(scope="module")
def store(tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TEXTS, tokenized into a folder of their own."""
    folder = tmp_path_factory.mktemp("store") / "split" / "vocab-512"
    prepare.tokenize(tokenizer, iter(TEXTS), folder)
    return folder


def test_tokens_are_memory_mapped_uint16(tokenizer: prepare.Tokenizer) -> None:
    tokens = prepare.Tokens.load("train")
    assert isinstance(tokens.ids, np.memmap) and tokens.ids.dtype == np.uint16
    assert isinstance(tokens.offsets, np.memmap) and tokens.offsets.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        tokens.ids[0] = 1


@pytest.mark.parametrize("split", prepare.SPLITS)
def test_tokens_of_a_split_are_its_documents_each_begun_by_bos(tokenizer: prepare.Tokenizer, split: str) -> None:
    ids, offsets = prepare.Tokens.load(split)
    assert offsets[0] == 0 and offsets[-1] == len(ids)
    assert np.flatnonzero(ids == tokenizer.get_bos_token_id()).tolist() == offsets[:-1].tolist()
    found = [tokenizer.decode(ids[a + 1 : b].tolist()) for a, b in itertools.pairwise(offsets)]
    assert found == list(prepare.find_dataset(prepare.DATASET_NAME).documents(split))


def test_tokenize_keeps_the_order_of_many_documents(tokenizer: prepare.Tokenizer, store: Path) -> None:
    ids = np.fromfile(store / "tokens.bin", np.uint16)
    text = tokenizer.decode(ids[ids != tokenizer.get_bos_token_id()].tolist())
    assert text == "".join(TEXTS)


def test_tokenize_counts_what_it_wrote(store: Path) -> None:
    assert json.loads((store / "meta.json").read_text()) == {
        "tokens": (store / "tokens.bin").stat().st_size // 2,
        "documents": len(TEXTS),
        "bytes": sum(len(text.encode()) for text in TEXTS),
        "sha256": prepare.file_digest(store / "tokens.bin"),
    }
    assert len(np.load(store / "offsets.npy")) == len(TEXTS) + 1


def test_tokenize_is_the_same_again(tokenizer: prepare.Tokenizer, store: Path, tmp_path: Path) -> None:
    meta = prepare.tokenize(tokenizer, iter(TEXTS), tmp_path / "split" / "again")
    assert meta == json.loads((store / "meta.json").read_text())


@pytest.fixture
def load_damaged(
    run_script: Callable[..., launcher.Ended], texts: Path, tmp_path: Path
) -> Callable[..., launcher.Ended]:
    """Call with a damage to the validation folder: a process then loads it from a copy of the cache."""
    prepare.Tokenizer.from_directory()
    script = tmp_path / "load.py"
    script.write_text("import prepare\nprint(len(prepare.Tokens.load('val').ids))\n")

    def load(damage: Callable[[Path], object]) -> launcher.Ended:
        source = prepare.find_dataset(prepare.DATASET_NAME).root
        shutil.copytree(source, tmp_path / "cache" / source.name)
        damage(tmp_path / "cache" / source.name / "held" / "val" / "vocab-512")
        return run_script(script, CACHE=tmp_path / "cache", DATASET=texts)

    return load


def test_tokens_that_are_whole_load(load_damaged: Callable[..., launcher.Ended]) -> None:
    ended = load_damaged(lambda folder: None)
    assert (ended.code, ended.text) == (0, f"{len(prepare.Tokens.load('val').ids)}\n")


@pytest.mark.parametrize("change", [-1000, -1, 2])
def test_tokens_of_another_length_are_refused_by_name(load_damaged: Callable[..., launcher.Ended], change: int) -> None:
    def damage(folder: Path) -> None:
        data = (folder / "tokens.bin").read_bytes()
        (folder / "tokens.bin").write_bytes((data + b"\0" * 2)[: len(data) + change])

    ended = load_damaged(damage)
    assert ended.code == 1
    count = len(prepare.Tokens.load("val").ids)
    assert f"held/val/vocab-512/tokens.bin must hold {count} tokens" in ended.text and "rm -r" in ended.text


@pytest.mark.parametrize("name", ["tokens.bin", "meta.json", "offsets.npy"])
def test_tokens_that_are_missing_are_refused_by_name(load_damaged: Callable[..., launcher.Ended], name: str) -> None:
    ended = load_damaged(lambda folder: (folder / name).unlink())
    assert ended.code == 1
    assert "PrepareError" in ended.text and "held/val/vocab-512" in ended.text
