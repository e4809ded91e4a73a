"""Makes small data in the challenge's formats, without a network: ASCII sources of Python.

Training text is the standard library, which every Python shows. Validation text is that of packages which neither a
trial nor a player is shown, for what a player can read it need not predict.

`uv run make_data.py`; docs/arenas.md says where the real data come from.
"""

import argparse
import struct
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rustbpe
import tiktoken
from score import HELD_PACKAGES

from autoresearch import sandbox

DATASET, TOKENIZER = Path("data/datasets/stdlib_sp512"), Path("data/tokenizers/stdlib_512_bpe.model")
VOCAB_SIZE = 512
RESERVED = (("<unk>", 2), ("<s>", 3), ("</s>", 3))  # piece and type, as SentencePiece numbers types
BEGIN, NORMAL, BYTE = 1, 1, 6
MAGIC, VERSION = 20240520, 1
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "lib2to3", "encodings"}
PATTERN = r" ?[A-Za-z_]+|\d| ?[^\sA-Za-z_\d]+|\n+ *| +"
HELD_FRAC = 0.05
"""Of all text, for validation."""


def main() -> None:
    """Write the tokenizer and one shard for each split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chars", type=int, default=8_000_000, help="of all text, at most")
    most_chars = parser.parse_args().chars
    trained = list(read_texts(sources(), most_chars))
    held = list(read_texts(held_sources(), int(HELD_FRAC * most_chars)))
    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(iter(trained), VOCAB_SIZE - len(RESERVED), pattern=PATTERN)
    ranks = {bytes(token): rank for token, rank in learner.get_mergeable_ranks()}
    encoding = tiktoken.Encoding("small", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    for split, some in (("train", trained), ("val", held)):
        ids = [token for text in some for token in (BEGIN, *(len(RESERVED) + one for one in encoding.encode(text)))]
        write_shard(DATASET / f"stdlib_{split}_000000.bin", np.array(ids, dtype="<u2"))
        print(f"{split}: {len(some)} documents, {len(ids):,} tokens, {sum(map(len, some)):,} bytes")
    TOKENIZER.parent.mkdir(parents=True, exist_ok=True)
    TOKENIZER.write_bytes(model_of(sorted(ranks, key=ranks.__getitem__)))  # last: with it all is there


def sources() -> list[Path]:
    """Files of the standard library in the order of their names."""
    root = Path(sysconfig.get_path("stdlib"))
    return [path for path in sorted(root.rglob("*.py")) if not LEFT_OUT & {*path.relative_to(root).parts}]


def held_sources() -> list[Path]:
    """Files of the held-out packages in the order of their own names, in which those of all packages mix."""
    folders = [path for path in sandbox.package_files(HELD_PACKAGES) if path.is_dir()]
    return sorted((path for folder in folders for path in folder.rglob("*.py")), key=lambda path: path.name)


def read_texts(paths: list[Path], most_chars: int) -> Iterator[str]:
    """Texts until there are enough; none begins with a space, which SentencePiece would not count."""
    for path in paths:
        text = path.read_text(errors="replace").strip()
        if text and text.isascii():
            most_chars -= len(text)
            if most_chars < 0:
                return
            yield text


def model_of(tokens: list[bytes]) -> bytes:
    """A SentencePiece model of these tokens, single bytes first."""
    pieces = list(RESERVED)
    for token in tokens:
        pieces.append((f"<0x{token[0]:02X}>", BYTE) if len(token) == 1 else (token.decode().replace(" ", "▁"), NORMAL))
    return b"".join(b"\x0a" + packed(piece_of(*one)) for one in pieces)


def piece_of(text: str, kind: int) -> bytes:
    """One piece: field 1 its text, 2 its score, 3 its type."""
    return b"\x0a" + packed(text.encode()) + b"\x15" + struct.pack("<f", 0.0) + b"\x18" + bytes([kind])


def packed(data: bytes) -> bytes:
    """A field of known length; all here are short."""
    assert len(data) < 128
    return bytes([len(data)]) + data


def write_shard(path: Path, ids: np.ndarray) -> None:
    """256 numbers of 32 bits, of which three say something, then the tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = np.zeros(256, dtype="<i4")
    header[:3] = MAGIC, VERSION, len(ids)
    path.write_bytes(header.tobytes() + ids.tobytes())


if __name__ == "__main__":
    main()
