"""The tokenizer: any UTF-8 comes back, byte lengths add up, and its file is plain JSON."""

import json
from pathlib import Path

import corpus
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import prepare

BYTES = prepare.Tokenizer([bytes([value]) for value in range(256)])
UTF8 = st.text(st.characters(blacklist_categories=["Cs"]), max_size=200)  # lone surrogates are no UTF-8


@pytest.fixture(scope="module", params=["bytes", "learnt"])
def either(request: pytest.FixtureRequest, tokenizer: prepare.Tokenizer) -> prepare.Tokenizer:
    return BYTES if request.param == "bytes" else tokenizer


@settings(max_examples=200, deadline=None)
@given(text=UTF8)
@example(text="")
@example(text="\n")
@example(text="\n\n \n\t\r\n\r")
@example(text="<|bos|><|reserved_1|><|endoftext|>")
@example(text="a\0b")
@example(text="🦜🏽‍♀️ \U0010ffff\ud7ff")
@example(text="it's 12345 o'clock, ISN'T it?")
def test_tokenizer_gives_any_text_back(either: prepare.Tokenizer, text: str) -> None:
    ids = either.encode(text)
    assert either.decode(ids) == text
    assert sum(int(either.token_bytes()[token]) for token in ids) == len(text.encode())
    assert all(token < either.get_bos_token_id() for token in ids), "text never becomes a reserved token"


def test_tokenizer_has_the_vocabulary_of_its_scale(tokenizer: prepare.Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == prepare.VOCAB_SIZE == 512
    assert tokenizer.get_bos_token_id() == 508


@pytest.mark.parametrize("size", [256, 260])
def test_tokenizer_of_bytes_alone_has_260_tokens(size: int) -> None:
    learnt = prepare.Tokenizer.train(iter(corpus.documents(20)), size)
    assert learnt.get_vocab_size() == 260
    assert set(learnt.merges) == {bytes([value]) for value in range(256)}
    assert len(learnt.encode("é")) == 2


def test_tokenizer_learns_the_number_of_tokens_asked_for() -> None:
    learnt = prepare.Tokenizer.train(iter(corpus.documents(200)), 300)
    assert learnt.get_vocab_size() == 300
    assert len(learnt.encode("the same text")) < len("the same text")


def test_tokenizer_splits_numbers_into_pairs_of_digits() -> None:
    learnt = prepare.Tokenizer.train(iter(["123456 " * 1000 + "abcabc"] * 3), 400)
    assert max(len(token) for token in learnt.merges if token.isdigit()) == 2


def test_tokenizer_learns_from_training_text_alone(tokenizer: prepare.Tokenizer) -> None:
    again = prepare.Tokenizer.train(prepare.find_dataset(prepare.DATASET_NAME).documents("train"), prepare.VOCAB_SIZE)
    assert again.merges == tokenizer.merges


@pytest.mark.parametrize("split", prepare.SPLITS)
def test_token_bytes_add_up_to_the_text_of_a_split(tokenizer: prepare.Tokenizer, split: str) -> None:
    texts = list(prepare.find_dataset(prepare.DATASET_NAME).documents(split))
    ids = prepare.Tokens.load(split).ids
    assert len(texts) > 20
    assert int(tokenizer.token_bytes()[ids].sum()) == sum(len(text.encode()) for text in texts)


def test_token_bytes_count_what_is_no_utf8_by_itself(tokenizer: prepare.Tokenizer) -> None:
    sizes = tokenizer.token_bytes()
    lonely = [token for token, raw in enumerate(tokenizer.merges) if "\ufffd" in raw.decode(errors="replace")]
    assert len(lonely) >= 128
    assert [sizes[token] for token in lonely] == [len(tokenizer.merges[token]) for token in lonely]
    assert sizes.dtype == np.int32 and (sizes[-4:] == 0).all() and (sizes[:-4] > 0).all()


def test_get_token_bytes_is_a_tensor_on_the_device(tokenizer: prepare.Tokenizer) -> None:
    sizes = prepare.get_token_bytes(prepare.DEVICE)
    assert sizes.device.type == prepare.DEVICE.type
    assert sizes.tolist() == tokenizer.token_bytes().tolist()


def test_encode_takes_a_list_and_prepends(tokenizer: prepare.Tokenizer) -> None:
    bos, texts = tokenizer.get_bos_token_id(), ["one", "", "two\n"]
    plain = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode(texts) == plain
    assert tokenizer.encode(texts, prepend=bos, num_threads=2) == [[bos, *ids] for ids in plain]
    assert tokenizer.encode("one", prepend="<|bos|>") == [bos, *plain[0]]
    assert tokenizer.encode("one", prepend=7) == [7, *plain[0]]
    assert tokenizer.encode([]) == []


def test_decode_shows_broken_bytes_as_replacement(tokenizer: prepare.Tokenizer) -> None:
    assert BYTES.decode([0xC3]) == "\ufffd"
    assert tokenizer.decode([tokenizer.get_bos_token_id()]) == "<|bos|>"


def test_tokenizer_file_is_plain_json(tokenizer: prepare.Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert len(saved["merges"]) == 508 and list(saved["special"]) == sorted(prepare.SPECIAL_TOKENS)
    text = corpus.documents(9)[8]
    assert prepare.Tokenizer.from_directory(tmp_path).encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("content", [None, "", "{broken"], ids=["missing", "empty", "broken"])
def test_tokenizer_file_that_does_not_read_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(prepare.PrepareError, match=rf"{tmp_path}/tokenizer\.json.*uv run prepare\.py"):
        prepare.Tokenizer.from_directory(tmp_path)
