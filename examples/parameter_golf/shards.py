"""The validation text: tokens of shards, and of how many bytes they are, by the tokenizer's own list of pieces."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAGIC, VERSION, HEADER_BYTES = 20240520, 1, 1024
BYTE, NO_TEXT = 6, (2, 3, 5)
"""Types of pieces, as SentencePiece numbers them; those without text are unknown, control and unused."""


def read_shards(pattern: str, root: Path = Path()) -> np.ndarray:
    """All tokens of the shards, in the order of their names."""
    paths = sorted(root.glob(pattern))
    if not paths:
        raise SystemExit(f"no validation shards at {pattern}; see program.md")
    found = []
    for path in paths:
        data = path.read_bytes()
        header, tokens = np.frombuffer(data[:12], "<i4"), np.frombuffer(data[HEADER_BYTES:], "<u2")
        if header.tolist() != [MAGIC, VERSION, len(tokens)]:
            raise SystemExit(f"{path} must be a whole shard of magic {MAGIC}, version {VERSION}; make it again")
        found.append(tokens)
    return np.concatenate(found)


def read_pieces(path: Path) -> list[tuple[str, int]]:
    """Text and type of each piece of a SentencePiece model."""
    pieces = []
    for field, value in fields_of(path.read_bytes()):
        if field == 1:
            parts = dict(fields_of(value))
            pieces.append((parts[1].decode(), parts.get(3, 1)))
    return pieces


def fields_of(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message of protocol buffers."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place, value, shift = place + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while place < len(data):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            yield field, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        place += size
        yield field, data[place - size : place]


def count_bytes(pieces: list[tuple[str, int]], tokens: np.ndarray) -> int:
    """Bytes of text that the tokens behind the first stand for.

    A leading space counts only behind a token that is text; a token that stands for a byte counts as one, and one that
    is no text as none.
    """
    is_text = np.array([kind not in NO_TEXT for _, kind in pieces])
    has_space = np.array([kind != BYTE and text.startswith("▁") for text, kind in pieces]) & is_text
    inner = [1 if kind == BYTE else len(text.removeprefix("▁").replace("▁", " ").encode()) for text, kind in pieces]
    own = np.where(is_text, inner, 0)
    before, here = tokens[:-1], tokens[1:]
    return int(own[here].sum() + (has_space[here] & is_text[before]).sum())
