"""Small made-up texts: the same on every machine, rich enough for a vocabulary of 512, some of them awkward."""

import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

AWKWARD = (
    "<|bos|> and <|reserved_1|> are plain text here",
    "nul \0 bell \a tab \t carriage\r\nreturn",
    "\n",
    "naïve café — 東京 🦜🏽 \U0010ffff",
    " \u200b\u0301combining",
)


def documents(count: int, seed: int = 0) -> list[str]:
    """`count` different documents of a few lines, the awkward ones first."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(2000)]
    texts = [f"{text} {seed}.{index}" for index, text in enumerate(AWKWARD)]
    while len(texts) < count:
        line = " ".join(draw.choices(words, weights=range(len(words), 0, -1), k=draw.randint(20, 120)))
        texts.append(f"{line.capitalize()}.\n{draw.randint(0, 9999)} {draw.choice(words)}\n")
    return texts[:count]


def parquet(texts: list[str], column: str = "text") -> bytes:
    """A parquet file's content."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({column: texts}), buffer, row_group_size=100)
    return buffer.getvalue()


def write_folder(folder: Path, texts: list[str], num_files: int = 2) -> Path:
    """A folder of parquet files that hold `texts` in order."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(texts) // num_files)
    for index in range(num_files):
        (folder / f"part_{index}.parquet").write_bytes(parquet(texts[index * size : (index + 1) * size]))
    return folder
