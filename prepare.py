"""The frozen half of an experiment: data, tokenizer, loader, clock, schedule, progress channel, evaluation.

`train.py` is edited, this file is not: scores compare only within one *regime*, which is the same prepare.py, data,
tokenizer, lock file, scale, budget and machine. One made in the process that trained is by hand: nobody refereed it.

All data lie under $AUTORESEARCH_CACHE (default ~/.cache/autoresearch), in one folder for each data set: train/ holds
the raw text, and in vocab-N/ tokenizer and tokens; held/{val,sealed}/ the same of held-out text, so that one folder
hides all of it; manifest.json the sha256 of every raw file.
"""

import argparse
import base64
import contextlib
import copy
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import math
import mmap
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import filelock
import numpy as np
import pyarrow.parquet
import requests
import rustbpe
import tiktoken
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from tqdm import tqdm


class PrepareError(RuntimeError):
    """Root of every refusal made here: wrong settings, broken data or submissions, and the named ones below."""


class ClockError(PrepareError): ...  # clock, schedule or control used against their rules


class NonFinite(PrepareError): ...  # a scored token has an infinite or undefined loss


class NonCausal(PrepareError): ...  # earlier logits moved when later tokens changed


class Stateful(PrepareError): ...  # the same batch gave other logits the second time


class PlayerFailed(PrepareError): ...  # the process that plays the model was late, ended, or broke the protocol


# ---- Constants, resolved once from the environment and the device ----
# vocabulary with the four reserved tokens, tokens in a row, validation tokens scored at most: each a regime of its own
SCALES = {"gpu": (8192, 2048, 40 * 524288), "cpu": (2048, 512, 240 * 1024), "tiny": (512, 64, 32 * 1024)}
DATASETS = ("climbmix", "tinystories", "pysource")
SPLITS = ("train", "val", "sealed")

HUB_URL = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
CLIMBMIX = "datasets/karpathy/climbmix-400b-shuffle/resolve/main"
CLIMBMIX_VAL, CLIMBMIX_SEALED = 6542, 6541
TINYSTORIES = "datasets/karpathy/tinystories-gpt4-clean/resolve/main"
TINYSTORIES_HELD_ROWS = 10_000  # the first ten thousand stories are sealed, the next ten thousand are validation
# pysource: a training process imports packages of the first list, and never one of the second (a test looks).
TRAIN_PACKAGES = ("torch", "sympy", "numpy", "networkx", "setuptools", "mpmath", "jinja2", "filelock", "packaging")
HELD_PACKAGES = ("pygments", "matplotlib", "pydantic", "rich", "typer", "markdown-it-py", "fonttools", "pillow")
MAX_SOURCE_BYTES, MAX_MEAN_LINE = 256 * 1024, 200  # of a Python file
FOLDER_HELD = 5  # 256ths of a user's folder for validation; as much again is sealed

HOPPER_KERNEL = ("varunneal/flash-attention-3", "de87b9b5af06dd9984df595bef90b2eba44b181a")
COMMUNITY_KERNEL = ("kernels-community/flash-attn3", "9542c462013476380ce4b395b9ddc0e8118161ee")
SPLIT_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"""
)
SPECIAL_TOKENS = ("<|bos|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")
LOSS_SLICE = 2**24  # logits turned to fp32 at once (64 MiB)
TOLERANCE = 2**-7  # what equal work may differ by: a step of bfloat16 at the usual logit, 16 at most
CHECKED_ROWS = 256  # at most, for each evaluation
ANSWER_S = 120  # the longest that a player may take to load, or for one batch
CHECKPOINTS_KEPT = 8


def _setting(name: str, default: float | None, least: float = 1e-9, whole: bool = True) -> Any:
    """Read the number in AUTORESEARCH_<name>; an empty one counts as unset."""
    if not (text := os.environ.get(f"AUTORESEARCH_{name}")):
        return default
    if not re.fullmatch(r"\d+" if whole else r"\d+(\.\d*)?|\.\d+", text) or float(text) < least:
        kind = "whole number" if whole else "number"
        raise PrepareError(f"AUTORESEARCH_{name} must be a {kind} from {least:g} up but got {text!r}")
    return int(float(text)) if float(text).is_integer() else float(text)


HERE = Path(__file__).resolve().parent
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
LOGITS_AT_ONCE = 2**23 if DEVICE.type == "cpu" else 2**27  # of an evaluation batch; a CPU wants them in its caches
SCALE = os.environ.get("AUTORESEARCH_SCALE") or ("gpu" if DEVICE.type == "cuda" else "cpu")
if SCALE not in SCALES:
    raise PrepareError(f"AUTORESEARCH_SCALE must be one of {', '.join(SCALES)} but got {SCALE!r}")
VOCAB_SIZE, MAX_SEQ_LEN, EVAL_TOKENS = max(SCALES[SCALE][0], 260), *SCALES[SCALE][1:]  # all bytes, at least
TEXT_CHARS, TOKENIZER_CHARS = (math.inf, 5e8) if SCALE == "gpu" else (4e7, 2e7)  # of each split; to learn tokens from
TIME_BUDGET = _setting("TIME_BUDGET", 300, whole=False)
MAX_STEPS = _setting("MAX_STEPS", None, least=1)
SEED = _setting("SEED", 42, least=0)
CHECKPOINT_STEPS = _setting("CHECKPOINT_STEPS", None, least=1)
RESUME = Path(os.environ["AUTORESEARCH_RESUME"]) if os.environ.get("AUTORESEARCH_RESUME") else None
SUPERVISED = os.environ.get("AUTORESEARCH_SUPERVISED") == "1"
STAMPS = _setting("STAMPS", None, least=0)  # an inherited descriptor, told of the start and the end of the budget
CACHE = Path(os.environ.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch").expanduser()
DATASET_NAME = os.environ.get("AUTORESEARCH_DATASET") or ("climbmix" if DEVICE.type == "cuda" else "pysource")


# ---- Files: written aside, flushed, replaced ----
@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file aside; when the block succeeds it takes the place of `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.aside")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    with replacing(path) as file:
        file.write(json.dumps(value, sort_keys=True).encode())


def read_json(path: Path) -> Any:
    """Read a JSON file written here; a missing or broken one is named."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PrepareError(f"{path} must be JSON but: {error}; remove it and run `uv run prepare.py`") from error


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def meter(title: str) -> tqdm:
    """Bytes done and rate: live on a terminal, every ten seconds in a file."""
    return tqdm(desc=title, total=0, unit="B", unit_scale=True, mininterval=0.1 if sys.stderr.isatty() else 10)


# ---- Downloads ----
def download(url: str, path: Path, bar: tqdm, tries: int = 6, sleep: Callable[[float], None] = time.sleep) -> str:
    """Fetch a parquet file to `path`.part and return its sha256: resumes, backs off, and names what fails for good."""
    part = path.with_name(path.name + ".part")
    for attempt in range(1, tries + 1):
        try:
            return _fetch(url, part, bar)
        except (OSError, PrepareError) as error:  # requests' errors are OSErrors
            response = getattr(error, "response", None)
            status, headers = (0, {}) if response is None else (response.status_code, response.headers)
            if status == 416 or isinstance(error, PrepareError):  # nothing that is worth resuming
                part.unlink(missing_ok=True)
            if attempt == tries or (400 <= status < 500 and status not in (408, 416, 429)):
                what = f"{url} could not be fetched ({attempt} tries): {error}. Run the same command again to go on,"
                raise PrepareError(f"{what} or do without: AUTORESEARCH_DATASET=pysource uv run train.py") from error
            asked = headers.get("Retry-After", "")
            sleep(min(float(asked), 120) if asked.isdigit() else min(2.0**attempt, 30) * np.random.uniform(0.5, 1))
    raise AssertionError("unreachable")


def _fetch(url: str, part: Path, bar: tqdm) -> str:
    """Append to `part` what is missing, see that it is what the server states and parquet, and return its sha256."""
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as response:
        response.raise_for_status()
        resumed, sent = response.status_code == 206, response.headers.get("Content-Range", "")
        if resumed and not sent.startswith(f"bytes {have}-"):
            raise OSError(f"asked for bytes from {have} but got {sent!r}")
        owed = int(response.headers.get("Content-Length", 0))
        bar.total += owed
        try:
            with open(part, "ab" if resumed else "wb") as file:
                for chunk in response.iter_content(1 << 20):  # raises when the body is shorter than announced
                    owed -= len(chunk)
                    bar.update(file.write(chunk))
        finally:
            bar.total -= owed  # what a broken answer still owes comes with the next one
        tags = [answer.headers.get("X-Linked-Etag", "").strip('"') for answer in (*response.history, response)]
    digest = file_digest(part)
    if (stated := next((tag for tag in tags if re.fullmatch(r"[0-9a-f]{64}", tag)), digest)) != digest:
        raise PrepareError(f"sha256 must be {stated} but is {digest}")
    next(read_texts(part), None)
    return digest


def read_texts(path: Path) -> Iterator[str | None]:
    """Yield the column `text` of a parquet file; one that has none or does not read is refused by name."""
    try:
        file = pyarrow.parquet.ParquetFile(path)
        if "text" not in (names := file.schema_arrow.names):
            raise PrepareError(f"{path} must have a column 'text' but has {names}")
        for batch in file.iter_batches(batch_size=512, columns=["text"]):
            yield from batch.column(0).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise PrepareError(f"{path} must be a whole parquet file but does not read: {error}") from error


def download_all(base: str, wanted: list[Path], dataset: "Dataset", workers: int) -> None:
    """Fetch files (of the same names at `base`) in parallel, recording each in the manifest."""
    missing, lock = [path for path in wanted if not path.exists()], threading.Lock()

    def one(path: Path) -> None:
        digest = download(f"{base}/{path.name}", path, bar)
        with lock:  # the manifest first: a file without an entry would have to be believed
            dataset.manifest(path, digest)
            os.replace(path.with_name(path.name + ".part"), path)

    with meter(f"{len(missing)} files") as bar, ThreadPoolExecutor(max(workers, 1)) as pool:
        list(pool.map(one, missing))  # the first failure cancels what has not begun


# ---- Data sets ----
class Dataset(NamedTuple):
    """A source of documents and its folder in the cache."""

    name: str  # one of DATASETS, or folder-… for a user's own
    folder: Path | None = None  # the user's folder of parquet files

    @property
    def root(self) -> Path:
        """Its folder in the cache."""
        return CACHE / self.name

    def split_dir(self, split: str) -> Path:
        """Where text and tokens of one split lie."""
        return self.root / "train" if split == "train" else self.root / "held" / split

    def raw_files(self, split: str) -> list[Path]:
        """The parquet files to read for one split, in order; `holds` picks the split's own rows."""
        where = self.root / "held" / "raw" if self.name == "tinystories" else self.folder or self.split_dir(split)
        return sorted(where.glob("*.parquet"))

    def holds(self, split: str, row: int, text: str) -> bool:
        """Whether a document belongs to `split`: by its row, or in a user's folder by its content."""
        if not self.folder:
            return self.name != "tinystories" or split == SPLITS[max(2 - row // TINYSTORIES_HELD_ROWS, 0)]
        byte = hashlib.sha256(text.encode()).digest()[0]
        return split == ("val", "sealed", "train")[min(byte // FOLDER_HELD, 2)]

    def documents(self, split: str, num_chars: float = math.inf) -> Iterator[str]:
        """Documents of one split, in a fixed order, until they have `num_chars` together."""
        for row, text in enumerate(itertools.chain.from_iterable(map(read_texts, self.raw_files(split)))):
            if num_chars <= 0:
                return
            if text and self.holds(split, row, text):
                num_chars -= len(text)
                yield text

    def manifest(self, path: Path | None = None, digest: str = "") -> dict[str, str]:
        """sha256 of every raw file by its path from the root, after noting `path` if one is given."""
        noted = read_json(file) if (file := self.root / "manifest.json").exists() else {}
        if path:
            noted[os.path.relpath(path, self.root)] = digest
            write_json(file, noted)
        return noted

    def verify(self) -> dict[str, str]:
        """Compare every raw file with the manifest, noting new ones; returns what was found."""
        again = f"uv run prepare.py --dataset {self.folder or self.name}"
        files = {os.path.relpath(path, self.root): path for split in SPLITS for path in self.raw_files(split)}
        noted, found = self.manifest(), dict[str, str]()
        if gone := ", ".join(sorted(noted.keys() - files)):
            raise PrepareError(f"raw files are gone: {gone}; to do without: `rm -r {self.root}` and `{again}`")
        for name, path in files.items():
            digest = found[name] = file_digest(path)
            if name not in noted:
                next(read_texts(path), None)
                self.manifest(path, digest)
            elif digest != noted[name]:
                what = f"{path} is corrupted: sha256 must be {noted[name]} but is {digest}"
                raise PrepareError(f"{what}; restore it, or remove it and run `{again}`")
        return found


def find_dataset(name: str) -> Dataset:
    """Resolve a data set's name or a folder of parquet files."""
    if name in DATASETS:
        return Dataset(name)
    folder = Path(name).expanduser().resolve()
    if not SUPERVISED and not any(folder.glob("*.parquet")):  # a trial is not shown the text, held-out parts and all
        raise PrepareError(f"a data set is one of {', '.join(DATASETS)} or a folder of .parquet files but got {name!r}")
    return Dataset(f"folder-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}", folder)


def fetch_raw(dataset: Dataset, num_shards: int, workers: int) -> None:
    """Bring the raw text of a data set into the cache, as far as it is not there."""
    if dataset.name == "pysource" and not all(map(dataset.raw_files, SPLITS)):
        build_pysource(dataset)
    elif dataset.name == "tinystories":
        both = dataset.root / "held" / "raw" / "tinystories_gpt4_clean.parquet"
        download_all(f"{HUB_URL}/{TINYSTORIES}", [both], dataset, workers)
    elif dataset.name == "climbmix":
        if not 1 <= num_shards <= CLIMBMIX_SEALED:
            raise PrepareError(f"--num-shards must lie in 1..{CLIMBMIX_SEALED} but got {num_shards}")
        splits = {CLIMBMIX_VAL: "val", CLIMBMIX_SEALED: "sealed", **dict.fromkeys(range(num_shards), "train")}
        wanted = [dataset.split_dir(split) / f"shard_{number:05d}.parquet" for number, split in splits.items()]
        download_all(f"{HUB_URL}/{CLIMBMIX}", wanted, dataset, workers)


def build_pysource(dataset: Dataset) -> None:
    """Collect the Python sources of installed packages: one document per file, deterministic for one lock file."""
    train, held = _package_sources(TRAIN_PACKAGES), _package_sources(HELD_PACKAGES)
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for digest, text in sorted({**held, **train}.items()):
        texts["train" if digest in train else SPLITS[1 + digest[0] % 2]].append(text)
    for split, chosen in texts.items():
        if not chosen:
            raise PrepareError(f"pysource found no {split} text in the environment's packages; run `uv sync`")
        path = dataset.split_dir(split) / "pysource.parquet"
        with replacing(path) as file:
            pyarrow.parquet.write_table(pyarrow.table({"text": chosen}), file, row_group_size=256)
        dataset.manifest(path, file_digest(path))
        print(f"pysource {split}: {len(chosen):,} files, {sum(map(len, chosen)) / 1e6:.1f} M characters", flush=True)


def _package_sources(packages: tuple[str, ...]) -> dict[bytes, str]:
    """Texts of the packages' Python files by their sha256."""
    texts = {}
    for package in packages:
        found = next(iter(importlib.metadata.distributions(name=package)), None)
        if not found:
            print(f"pysource: {package} is not installed here and is left out", flush=True)
        for path in (found and found.files) or []:
            if path.suffix != ".py" or ".." in path.parts:
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = (data := path.read_binary()).decode()
                mean_line = len(text) / len(text.split("\n"))
                if text.strip() and len(data) <= MAX_SOURCE_BYTES and mean_line <= MAX_MEAN_LINE:
                    texts[hashlib.sha256(data).digest()] = text
    return texts


# ---- Tokenizer, token store, loader ----
class Tokenizer:
    """Byte-level BPE of VOCAB_SIZE tokens, learnt by rustbpe from training text alone and applied by tiktoken."""

    def __init__(self, merges: list[bytes]):
        special = {name: index for index, name in enumerate(SPECIAL_TOKENS, len(merges))}
        ranks = {token: rank for rank, token in enumerate(merges)}
        self.merges, self.special = merges, special
        self.encoding = tiktoken.Encoding("bpe", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens=special)

    @classmethod
    def train(cls, texts: Iterator[str], vocab_size: int) -> "Tokenizer":
        """Learn from all of `texts`; `vocab_size` counts the reserved tokens, 260 and less means bytes."""
        print(f"learning {vocab_size} tokens", flush=True)
        learner = rustbpe.Tokenizer()
        learner.train_from_iterator(texts, max(vocab_size - len(SPECIAL_TOKENS), 256), pattern=SPLIT_PATTERN)
        return cls([bytes(token) for token, _ in sorted(learner.get_mergeable_ranks(), key=lambda pair: pair[1])])

    @classmethod
    def from_directory(cls, folder: Path | None = None) -> "Tokenizer":
        """Load the tokenizer of the current data set and scale, preparing the data first if there is none."""
        return cls([*map(base64.b64decode, read_json((folder or ready_dir()) / "tokenizer.json")["merges"])])

    def save(self, folder: Path) -> None:
        """Write tokenizer.json."""
        merges = [base64.b64encode(token).decode() for token in self.merges]
        write_json(folder / "tokenizer.json", {"pattern": SPLIT_PATTERN, "special": self.special, "merges": merges})

    def get_vocab_size(self) -> int:
        """Number of tokens, reserved ones included."""
        return self.encoding.n_vocab

    def get_bos_token_id(self) -> int:
        """The token that begins every document."""
        return self.special[SPECIAL_TOKENS[0]]

    def encode(self, text: str | list[str], prepend: int | str | None = None, num_threads: int = 8) -> list:
        """Encode one text to ids, or a list of texts to a list of lists; `prepend` is an id or a reserved token."""
        first = [] if prepend is None else [self.special[prepend] if isinstance(prepend, str) else prepend]
        if isinstance(text, str):
            return first + self.encoding.encode_ordinary(text)
        return [first + ids for ids in self.encoding.encode_ordinary_batch(text, num_threads=num_threads)]

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`; bytes that are no UTF-8 by themselves read as U+FFFD."""
        return self.encoding.decode(ids)

    def token_bytes(self) -> np.ndarray:
        """(V,) int32: raw bytes of each token, 0 for reserved ones (decoded text would count U+FFFD as three)."""
        return np.array([*map(len, self.merges), *(0 for _ in SPECIAL_TOKENS)], dtype=np.int32)


def get_token_bytes(device: torch.device | str = "cpu") -> Tensor:
    """(V,) int32: raw byte length of each token, 0 for reserved ones."""
    return torch.from_numpy(Tokenizer.from_directory().token_bytes()).to(device)


class Tokens(NamedTuple):
    """One split, tokenized: documents end to end, each begun by BOS."""

    ids: np.ndarray  # (N,) uint16, memory-mapped
    offsets: np.ndarray  # (documents + 1,) int64: where each document begins; the last is N

    @classmethod
    def load(cls, split: str) -> "Tokens":
        """Map a split of the current data set and scale; another number of tokens than recorded is refused."""
        folder = find_dataset(DATASET_NAME).split_dir(split) / ready_dir().name
        wanted, path, offsets = read_json(folder / "meta.json")["tokens"], folder / "tokens.bin", folder / "offsets.npy"
        if (found := path.stat().st_size / 2 if path.exists() else 0) != wanted or not offsets.exists():
            what = f"{path} must hold {wanted} tokens but has {found}, and {offsets} must exist"
            raise PrepareError(f"{what}; `rm -r {ready_dir()}` and prepare again")
        return cls(np.memmap(path, np.uint16, "r"), np.load(offsets, mmap_mode="r", allow_pickle=False))


def tokenize(tokenizer: Tokenizer, texts: Iterator[str], folder: Path) -> dict[str, Any]:
    """Write a split's tokens into a new folder and return what meta.json says; threads encode, without the GIL."""
    bos, encode, path = [tokenizer.get_bos_token_id()], tokenizer.encoding.encode_to_numpy, folder / "tokens.bin"

    def work(chunk: list[str]) -> tuple[bytes, list[int], int]:
        documents = [np.append(bos, encode(text, disallowed_special=())).astype(np.uint16) for text in chunk]
        return np.concatenate(documents).tobytes(), [*map(len, documents)], sum(len(text.encode()) for text in chunk)

    lengths, num_bytes, workers, bar = [0], 0, os.cpu_count() or 1, meter(f"tokenizing {folder.parent.name}")
    with ThreadPoolExecutor(workers) as pool, replacing(path) as file, bar:
        while some := list(itertools.islice(texts, 256 * workers)):
            for data, sizes, size in pool.map(work, (some[begin : begin + 64] for begin in range(0, len(some), 64))):
                file.write(data)
                bar.update(size)
                lengths += sizes
                num_bytes += size
    np.save(folder / "offsets.npy", np.cumsum(lengths, dtype=np.int64))
    meta = {"tokens": sum(lengths), "documents": len(lengths) - 1, "bytes": num_bytes, "sha256": file_digest(path)}
    write_json(folder / "meta.json", meta)
    return meta


def prepare(dataset: Dataset, num_shards: int = 10, workers: int = 8) -> Path:
    """Make everything that training on `dataset` at this scale reads; returns the folder of its training tokens."""
    print(f"preparing {dataset.name} for scale {SCALE} in {dataset.root}", flush=True)
    with filelock.FileLock(dataset.root / ".lock"):  # another process that prepares it is waited for
        for left in dataset.root.rglob(".*.aside"):  # of a process that was killed
            left.unlink()
        fetch_raw(dataset, num_shards, workers)
        raw, ready = dataset.verify(), dataset.split_dir("train") / f"vocab-{VOCAB_SIZE}"
        if (ready / "data.json").exists() and read_json(ready / "data.json")["raw"] == raw:
            return ready
        shutil.rmtree(ready, ignore_errors=True)
        tokenizer, digests = Tokenizer.train(dataset.documents("train", TOKENIZER_CHARS), VOCAB_SIZE), {"raw": raw}
        for split in reversed(SPLITS):
            meta = tokenize(tokenizer, dataset.documents(split, TEXT_CHARS), dataset.split_dir(split) / ready.name)
            if not meta["tokens"]:
                raise PrepareError(f"{dataset.name} has no {split} text; it needs more documents")
            digests[split] = meta["sha256"]
        tokenizer.save(ready)  # and data.json last: a preparation that was killed before is done again
        write_json(ready / "data.json", digests | {"tokenizer": file_digest(ready / "tokenizer.json")})
        return ready


@functools.cache
def ready_dir() -> Path:
    """The folder with tokenizer and training tokens; prepares what is missing, but never in a supervised trial."""
    dataset = find_dataset(DATASET_NAME)
    ready = dataset.split_dir("train") / f"vocab-{VOCAB_SIZE}"
    if SUPERVISED and not (ready / "data.json").exists():
        command = f"AUTORESEARCH_SCALE={SCALE} uv run prepare.py --dataset {DATASET_NAME}"
        raise PrepareError(f"{ready} is not prepared; run `{command}`")
    if not (ready / "data.json").exists():
        prepare(dataset)
        attention_kernel(download=True)
    return ready


class Loader(Iterator[tuple[Tensor, Tensor, int]]):
    """Endless rows of T tokens: every row full, every token of the split used in every epoch.

    The split is one circle of documents, cut into rows at an offset drawn anew for each epoch; what does not fit into
    a row goes on in another. The seed alone orders the rows (None: the order of the text), `row` is the whole state.
    """

    def __init__(self, ids: np.ndarray, batch: tuple[int, int], seed: int | None, device: torch.device):
        self.ids, (self.B, self.T), self.seed, self.device = ids, batch, seed, device
        self.row, self.rows_per_epoch = 0, math.ceil(len(ids) / self.T)  # rows handed out; the last closes the circle
        self.starts = functools.lru_cache(2)(self._starts)
        self.pool = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self.ahead: tuple[int, Future] | None = None

    def _starts(self, epoch: int) -> np.ndarray:
        starts = np.arange(self.rows_per_epoch, dtype=np.int64) * self.T
        if self.seed is None:
            return starts
        generator = np.random.default_rng([self.seed, epoch])
        return generator.permutation(starts) + generator.integers(self.T)

    def _read(self, row: int) -> Tensor:
        """(B, T + 1) int64: the rows from number `row` on."""
        epochs, places = np.divmod(np.arange(row, row + self.B), self.rows_per_epoch)
        starts = np.concatenate([self.starts(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])
        tokens = torch.from_numpy(self.ids[(starts[:, None] + np.arange(self.T + 1)) % len(self.ids)].astype(np.int64))
        return tokens.pin_memory() if self.pool else tokens

    def __next__(self) -> tuple[Tensor, Tensor, int]:
        """inputs (B, T), targets (B, T), epoch from 1; on CUDA the next batch is read and pinned meanwhile."""
        tokens = self.ahead[1].result() if self.ahead and self.ahead[0] == self.row else self._read(self.row)
        epoch, self.row = self.row // self.rows_per_epoch + 1, self.row + self.B
        if self.pool:
            self.ahead = self.row, self.pool.submit(self._read, self.row)
        tokens = tokens.to(self.device, non_blocking=True)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), epoch


def make_dataloader(tokenizer: Tokenizer, B: int, T: int, split: str) -> Loader:
    """Batches of `split`: inputs (B, T) int64, targets (B, T) int64, epoch; on DEVICE, in an order set by SEED."""
    trial_dir()  # which keeps the code that runs from here on
    return Loader(Tokens.load(split).ids, (B, T), SEED if split == "train" else None, DEVICE)


# ---- Evaluation ----
def evaluate_bpb(model: nn.Module, tokenizer: Tokenizer, batch_size: int) -> float:
    """Save the submission, score `model(inputs (B, T)) -> logits (B, T, V)`: bits per byte, NaN under a supervisor."""
    save_submission(model)
    if SUPERVISED:
        return math.nan
    print("note: scored by hand, in the process that trained: nobody has refereed this number", flush=True)
    training = model.training
    try:
        return bits_per_byte(model.eval(), Tokens.load("val").ids, tokenizer, batch_size)
    finally:
        model.train(training)


@torch.no_grad()
def bits_per_byte(model: Any, ids: np.ndarray, tokenizer: Tokenizer, batch_size: int) -> float:
    """Score each of the first EVAL_TOKENS targets once; refuses models that are NonFinite, NonCausal or Stateful."""
    count, T, begun = min(EVAL_TOKENS, len(ids) - 1), MAX_SEQ_LEN, time.monotonic()
    num_rows, sizes = math.ceil(count / T), torch.from_numpy(tokenizer.token_bytes())
    padded = np.full(num_rows * T + 1, tokenizer.get_bos_token_id(), np.int64)
    padded[: count + 1] = ids[: count + 1]  # as a target BOS weighs nothing
    inputs, targets = (torch.from_numpy(part).view(num_rows, T) for part in (padded[:-1], padded[1:]))
    rows, batches = _Rows(inputs, B := rows_at_once(min(batch_size, num_rows))), list[Tensor]()
    stats, chances = torch.zeros(2, len(rows.inputs), T), torch.zeros(len(rows.inputs), T)
    batches.extend(rows.order.split(B))
    stream = getattr(model, "stream", lambda found: (model(batch.to(DEVICE)) for batch in found))
    for picks, logits in zip(batches, stream(rows.inputs[picks] for picks in batches), strict=True):
        wanted = targets[rows.source[picks]]
        stats[:, picks] = torch.where(sizes[wanted] > 0, _token_stats(logits, wanted.to(DEVICE)).cpu(), 0.0)
        if not (total := stats[:, picks].sum()).isfinite():
            raise NonFinite(f"every token must have a finite loss but those of a batch sum to {total}")
        if (is_changed := rows.is_changed[picks]).any():
            following = rows.inputs[picks[is_changed]].roll(-1, 1).to(DEVICE)
            chances[picks[is_changed]] = _token_stats(logits[is_changed], following)[0].neg().exp().cpu()
    rows.judge(stats, chances)
    print(f"scored {count:,} tokens in {time.monotonic() - begun:.1f} s", flush=True)
    return stats[0, :num_rows].double().sum().item() / math.log(2) / int(sizes[targets].sum())


def rows_at_once(wanted: int) -> int:
    """Rows of an evaluation batch: at most `wanted`, and as many as the logits have room for."""
    return max(1, min(wanted, LOGITS_AT_ONCE // (MAX_SEQ_LEN * VOCAB_SIZE)))


def _token_stats(logits: Any, targets: Tensor) -> Tensor:
    """(2, B, T) fp32: loss, and the target's logit beside that of some other token; turned to fp32 in slices."""
    expect_logits(logits, targets)
    flat, wanted = logits.reshape(-1, VOCAB_SIZE), targets.reshape(-1)
    found = list[Tensor]()
    for part, target in zip(*(one.split(max(1, LOSS_SLICE // VOCAB_SIZE)) for one in (flat, wanted)), strict=True):
        part = part.float()
        above = part.gather(1, target[:, None]).squeeze(1) - part[:, VOCAB_SIZE // 2]
        found.append(torch.stack([F.cross_entropy(part, target, reduction="none"), above]))
    return torch.cat(found, 1).view(2, *targets.shape)


def expect_logits(logits: Any, inputs: Tensor) -> Tensor:
    """Hand on logits that are a tensor (B, T, V); anything else is refused."""
    if (found := getattr(logits, "shape", type(logits).__name__)) != (*inputs.shape, VOCAB_SIZE):
        raise PrepareError(f"model(inputs) must give logits of shape {(*inputs.shape, VOCAB_SIZE)} but gave {found}")
    return logits


class _Rows:
    """What a model is given: every row (T) once; some again, as they were or with a random tail; in random order."""

    def __init__(self, inputs: Tensor, B: int):
        self.num, T = inputs.shape
        chance = torch.Generator().manual_seed(random.SystemRandom().getrandbits(63))
        draw = functools.partial(torch.randint, generator=chance)
        num_changed = min(CHECKED_ROWS, max(16, self.num // 12))
        num_again = num_changed // 3 + -(self.num + num_changed + num_changed // 3) % B  # no batch is smaller
        self.source = torch.cat([torch.arange(self.num), draw(self.num, (num_changed + num_again,))])
        self.is_changed = torch.zeros(len(self.source), dtype=torch.bool)
        self.is_changed[self.num : self.num + num_changed] = True
        self.cuts = draw(T - 1, (num_changed,))  # what comes after is replaced
        self.kept, self.inputs = torch.arange(T) <= self.cuts[:, None], inputs[self.source]
        tails = (self.inputs[self.is_changed] + draw(1, VOCAB_SIZE, (num_changed, T))) % VOCAB_SIZE
        self.inputs[self.is_changed] = torch.where(self.kept, self.inputs[self.is_changed], tails)
        self.order = torch.randperm(len(self.source), generator=chance)

    def judge(self, stats: Tensor, chances: Tensor) -> None:
        """Compare rows that came twice, and what a model knew of the random tails beforehand."""
        allowed = TOLERANCE * stats[1].abs().median().clamp(1, 16).item()
        moves = (stats[:, self.num :] - stats[:, self.source[self.num :]]).abs()
        changed, again = moves[:, : len(self.cuts)] * self.kept, moves[:, len(self.cuts) :]
        at_cuts = changed[:, torch.arange(len(self.cuts)), self.cuts]
        for error, moved, at_risk, rule in (
            (Stateful, again, again, "a row must give the same logits again, in any company"),
            (NonCausal, changed, at_cuts, "logits must not depend on later tokens"),
        ):
            if not (found := max(moved.max().item() / 4, 16 * at_risk.mean().item())) <= allowed:
                raise error(f"{rule} but they moved by {found:.3g} of {allowed:.3g} allowed")
        tails = ~self.kept[:, 1:]  # each token of them was drawn from VOCAB_SIZE - 1
        luck = int(tails.sum()) / (VOCAB_SIZE - 1)
        if not (known := (chances[self.is_changed][:, :-1] * tails).sum().item()) <= 10 + luck + 6 * math.sqrt(luck):
            raise NonCausal(f"random tokens must not be known beforehand but {known:.0f} were, by luck {luck:.1f}")


# ---- Referee and player: the model of a submission in a process of its own, which never sees a target ----
class Player:
    """The referee's end: inputs go to the player and logits come back through two slots of shared memory."""

    def __init__(self, channel: socket.socket, memory: int, rows: int, answer_s: float = ANSWER_S):
        self.channel, self.slots = channel, map_slots(memory, rows)
        self.num_ahead = int(DEVICE.type != "cpu")  # on a CPU the two would only take each other's cores
        channel.settimeout(answer_s)
        self.receive()  # loaded

    def receive(self) -> bytes:
        """Wait for three bytes of the player: slot, type of the logits, and an end of line."""
        answer = b""
        try:
            while len(answer) < 3 and (part := self.channel.recv(3 - len(answer))):
                answer += part
        except OSError as error:
            raise PlayerFailed(f"the player must answer within {self.channel.gettimeout()} s: {error}") from error
        if len(answer) < 3:
            raise PlayerFailed("the player must answer every batch but ended; its log says why")
        return answer

    def stream(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Logits of each batch, in turn; on an accelerator the next batch is with the player meanwhile."""
        sent = deque[tuple[int, int]]()
        for number, batch in enumerate(itertools.chain(batches, [None] * self.num_ahead)):
            if batch is not None:
                sent.append((number % (1 + self.num_ahead), len(batch)))
                self.slots[sent[-1][0]][0][: len(batch)] = batch
                with contextlib.suppress(OSError):  # one that has ended is named when its answer is waited for
                    self.channel.sendall(bytes([sent[-1][0]]))
            if number >= self.num_ahead:
                yield self.answer(*sent.popleft())

    def answer(self, wanted: int, rows: int) -> Tensor:
        """(B, T, V): wait for a slot and copy its logits, for the player could go on changing them."""
        slot, kind, end = self.receive()
        if slot != wanted or kind not in (0, 1) or end != 10:
            raise PlayerFailed(f"the player must answer slot {wanted}, type 0 or 1, but answered {slot}, {kind}, {end}")
        return self.slots[slot][1 + kind][:rows].to(DEVICE, copy=True)


def memory_file() -> Any:
    """A file in memory that can be sealed against resizing, where there are such."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile(buffering=0)
    return open(os.memfd_create("logits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", buffering=0)


def map_slots(memory: int, rows: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Two slots: inputs (B, T) int64 and logits (B, T, V) in the same bytes as bfloat16 and as fp32."""
    shape = (rows, MAX_SEQ_LEN)
    size = 8 * math.prod(shape), 4 * math.prod(shape) * VOCAB_SIZE
    os.ftruncate(memory, 2 * sum(size))
    with contextlib.suppress(OSError, AttributeError):  # who shrinks it would kill the other; only a memfd has seals
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    whole, slots = torch.frombuffer(mmap.mmap(memory, 2 * sum(size)), dtype=torch.uint8), []
    if DEVICE.type == "cuda":  # pinned
        torch.cuda.check_error(int(torch.cuda.cudart().cudaHostRegister(whole.data_ptr(), len(whole), 0)))
    for slot in whole.split(sum(size)):
        inputs, logits = slot.split(size)
        views = (logits[: size[1] // 2].view(torch.bfloat16), logits.view(torch.float32))
        slots.append((inputs.view(torch.int64).view(shape), *(view.view(*shape, VOCAB_SIZE) for view in views)))
    return slots


@torch.no_grad()
def play(folder: Path, channel: socket.socket, memory: int, rows: int) -> None:
    """The player's end: answer batch after batch until the referee hangs up."""
    slots, model = map_slots(memory, rows), load_submission(folder)
    channel.sendall(b"..\n")
    while number := channel.recv(1):
        inputs, *outputs = slots[number[0]]
        logits = expect_logits(model(inputs.to(DEVICE)), inputs)
        kind = int(logits.dtype is not torch.bfloat16)
        outputs[kind].copy_(logits)  # waits for the device
        channel.sendall(bytes([number[0], kind, 10]))


# ---- Clock and schedule ----
@dataclass(frozen=True)
class Schedule:
    """A plan for all learning rates as a pure function of progress: warm up, ramp to the peak, hold, decay."""

    warmup: float = 0.0  # fraction of the run that rises from 0 to `start`
    ramp: float = 0.0  # fraction that goes from `start` to `peak`; 0 means that the warmup goes to the peak
    start: float = 1.0  # scale at the end of the warmup
    peak: float = 1.0  # highest scale; 1 is the rate that train.py states
    decay: float = 0.5  # fraction at the end that falls from `peak` to `peak * final`
    shape: str = "linear"  # or cosine, sqrt (1 - sqrt, Hägele et al. 2024), constant (no fall)
    final: float = 0.0  # what is left of the peak at the end

    def __post_init__(self) -> None:
        fractions = (self.warmup, self.ramp, self.decay, self.final)
        good = all(0 <= part <= 1 for part in fractions) and sum(fractions[:3]) <= 1 + 1e-9
        if not good or not 0 < (self.start if self.ramp else self.peak) <= self.peak < math.inf:
            raise ClockError(f"fractions lie in 0..1, warmup + ramp + decay <= 1, 0 < start <= peak but got {self}")
        if self.shape not in ("linear", "cosine", "sqrt", "constant"):
            raise ClockError(f"shape must be linear, cosine, sqrt or constant but got {self.shape!r}")

    def lr_scale(self, p: float) -> float:
        """Scale of the learning rate at progress `p` in 0..1."""
        p, start = min(max(p, 0.0), 1.0), self.start if self.ramp else self.peak
        if p < self.warmup:
            return start * p / self.warmup
        if p < self.warmup + self.ramp:
            return start + (self.peak - start) * (p - self.warmup) / self.ramp
        if p <= 1 - self.decay or self.shape == "constant":
            return self.peak
        x = (p - (1 - self.decay)) / self.decay
        left = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "sqrt": 1 - math.sqrt(x)}[self.shape]
        return self.peak * (self.final + (1 - self.final) * left)


class Clock:
    """The budget: seconds or steps, whichever ends first, and one monotone progress towards it."""

    current: "Clock | None" = None  # of this process, for emit_progress
    hook: Any = None  # of the current one, before a step of any optimizer

    def __init__(self, model: nn.Module, optimizer: Any, budget_s=TIME_BUDGET, max_steps=MAX_STEPS, now=time.monotonic):
        self.model, self.optimizer, self.budget_s, self.max_steps = model, optimizer, budget_s, max_steps or math.inf
        self.spent_s, self.num_steps, self.latest = 0.0, 0, 0.0  # what a checkpoint keeps
        self.begun: float | None = None
        self.now, self.rates, self.warming, self.stamps = now, list[float](), False, ["start", "done"]
        if Clock.hook:
            Clock.hook.remove()
        Clock.current, Clock.hook = self, register_optimizer_step_pre_hook(lambda one, *_: self._before_step(one))

    @contextlib.contextmanager
    def warmup(self) -> Iterator[None]:
        """Compile and try inside; parameters, buffers, optimizer and random state are put back afterwards."""
        if self.begun is not None:
            raise ClockError("clock.warmup() must come before clock.start()")
        tensors = [*self.model.parameters(), *self.model.buffers()]
        kept, state = [tensor.detach().clone() for tensor in tensors], copy.deepcopy(self.optimizer.state_dict())
        self.warming = True
        try:
            with torch.random.fork_rng():
                yield
        finally:
            self.warming = False
            for tensor, old in zip(tensors, kept, strict=True):
                tensor.detach().copy_(old)
            _restore(self.optimizer, state)
            self.optimizer.zero_grad(set_to_none=True)

    def start(self) -> None:
        """Begin the budget."""
        if self.begun is not None:
            raise ClockError("clock.start() must be called once")
        self.begun = self.now()
        self._stamp("start")

    def _stamp(self, name: str) -> None:
        """Tell the supervisor, once, who notes the time itself."""
        if self.stamps[:1] == [name] and self.stamps.pop(0) and STAMPS is not None:
            os.write(STAMPS, f"{name}\n".encode())

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far."""
        return self.spent_s + (self.now() - self.begun if self.begun is not None else 0.0)

    def progress(self, next_step_s: float = 0.0) -> float:
        """Share of the budget used, above 0 to 1, at the end of the coming update if that takes `next_step_s`."""
        used = max((self.num_steps + 1) / self.max_steps, (self.elapsed_s + next_step_s) / self.budget_s)
        self.latest = max(self.latest, 1e-6, min(1.0, used))
        return self.latest

    @property
    def done(self) -> bool:
        """Whether a budget is used up."""
        if is_done := self.elapsed_s >= self.budget_s or self.num_steps >= self.max_steps:
            self._stamp("done")
        return is_done

    def _before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Whatever optimizer is about to step; the clock's own is counted."""
        if self.warming:
            return
        if self.begun is None:
            raise ClockError("an optimizer step must come after clock.start() or inside `with clock.warmup():`")
        if not self.stamps:
            raise ClockError("an optimizer step must not come after clock.done")
        if optimizer is not self.optimizer:
            return
        self.num_steps += 1
        self.rates.append(float(self.optimizer.param_groups[0]["lr"]))
        if channel := _channel():
            channel.acknowledge(self.rates[-1])

    def report(self) -> dict[str, float | str | bool]:
        """How the schedule ended, for the summary (rates of the first parameter group)."""
        rates = self.rates or [math.nan]
        last = sum(1 for _ in itertools.takewhile(lambda rate: rate == rates[-1], reversed(rates)))
        return {
            "schedule_p_end": round(self.latest, 4),
            "schedule_lr_max": max(rates),
            "schedule_lr_last": rates[-1],
            "schedule_frac_updates_at_floor": round(last / len(rates), 4) if rates[-1] < max(rates) else 0.0,
            "schedule_ended_by": "steps" if self.num_steps >= self.max_steps else "seconds",
            "schedule_exhausted": rates[-1] < max(rates) and last > 1 + len(rates) / 20,  # too early, that is
        }


# ---- Progress channel: progress.jsonl and acks.jsonl out, control.json in ----
class Control(NamedTuple):
    """What the supervisor asks for now; the defaults change nothing."""

    lr_scale: float = 1.0  # factor on the learning rate
    schedule: Schedule | None = None  # a plan that takes the place of train.py's


def emit_progress(step: int, step_target: int | None = None, metrics: dict[str, float] | None = None) -> Control:
    """Report before update `step` and learn what to apply to it; exits 42 when cancelled; by hand nothing happens."""
    return channel.exchange(step, step_target, metrics or {}) if (channel := _channel()) else Control()


class Channel:
    """The trial's side of the control plane: commands of this run and branch only, each once, at their step."""

    def __init__(self, folder: Path):
        self.folder, self.control, self.seq, self.seen = folder, Control(), -1, b""
        self.waiting, self.applied = list[dict](), list[dict]()
        self.identity: list[str] | None = None  # run and branch, named by the command that lies there at launch
        self.poll(next_step=0)

    def exchange(self, step: int, step_target: int | None, metrics: dict[str, float]) -> Control:
        """Append a report, read commands, apply those that are due."""
        report: dict[str, Any] = {"step": step, "step_target": step_target}
        if clock := Clock.current:
            rate = float(clock.optimizer.param_groups[0]["lr"])
            report |= {"progress": clock.latest, "elapsed_s": round(clock.elapsed_s, 3), "lr": rate}
            report["num_steps"] = clock.num_steps
        finite = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        self.append("progress.jsonl", report | {"metrics": finite})
        self.poll(next_step=step + 1)
        while self.waiting and self.waiting[0]["effective_step"] <= step:
            command = self.waiting.pop(0)
            self.control = Control(command["lr_scale"], command["plan"] or self.control.schedule)
            self.applied.append({"seq": command["seq"], "branch_id": command["branch_id"], "applied_step": step})
        return self.control

    def poll(self, next_step: int) -> None:
        """Queue a new command, or leave if it cancels; a broken or foreign one is refused in a line of the log."""
        path = self.folder / "control.json"
        if not path.exists() or (text := path.read_bytes()) == self.seen:
            return
        self.seen = text
        try:
            command = {"lr_scale": 1.0, "effective_step": next_step, "plan": None, **json.loads(text)}
            identity, seq = [command["run_id"], command["branch_id"]], command["seq"]
            self.identity = self.identity or identity
            if identity != self.identity or seq <= self.seq:
                raise ClockError(f"{identity} seq {seq} must be of {self.identity} and after {self.seq}")
            if command.get("cancel"):
                print("cancelled on request", flush=True)
                sys.exit(42)
            if not 0 <= command["lr_scale"] < math.inf:
                raise ClockError(f"lr_scale must be finite and not negative but got {command['lr_scale']!r}")
            plan = command["plan"] and Schedule(**command["plan"])
            command |= {"plan": plan, "effective_step": int(command["effective_step"])}
            # what was asked for before and is due later must not undo this
            earlier = [one for one in self.waiting if one["effective_step"] < command["effective_step"]]
            self.waiting = [*earlier, command]
            self.seq = seq
        except (ValueError, TypeError, KeyError, OverflowError, ClockError) as error:
            print(f"control.json refused: {type(error).__name__}: {error}", flush=True)

    def acknowledge(self, lr: float) -> None:
        """Say which commands the update that begins now obeys first, with the rate really in the optimizer."""
        while self.applied:
            self.append("acks.jsonl", self.applied.pop(0) | {"lr": lr})

    def append(self, name: str, row: dict[str, Any]) -> None:
        """Add one JSON line."""
        with open(self.folder / name, "a") as file:
            file.write(json.dumps(row) + "\n")


@functools.cache
def _channel() -> Channel | None:
    return Channel(trial_dir()) if SUPERVISED else None


@functools.cache
def trial_dir() -> Path:
    """This run's folder, with the code as it began; by hand `results/manual`, emptied unless the run is resumed."""
    path = Path(os.environ.get("AUTORESEARCH_TRIAL_DIR") or HERE / "results" / "manual")
    if path == HERE / "results" / "manual" and not RESUME:
        shutil.rmtree(path, ignore_errors=True)
    (path / "code").mkdir(parents=True, exist_ok=True)
    if not SUPERVISED and (main_file := getattr(sys.modules["__main__"], "__file__", None)):
        shutil.copyfile(main_file, path / "code" / "train.py")
        shutil.copyfile(__file__, path / "code" / "prepare.py")
    return path


# ---- Checkpoints and the submission ----
def unwrap(model: nn.Module) -> nn.Module:
    """The module inside torch.compile and data-parallel wrappers."""
    inner = getattr(model, "_orig_mod", None) or (type(model).__name__.endswith("Parallel") and model.module)
    return unwrap(inner) if isinstance(inner, nn.Module) else model


def _restore(optimizer: Any, state: dict[str, Any]) -> None:
    """load_state_dict, without its cast of the state to the parameters' type."""
    optimizer.load_state_dict(state)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in state["state"].items():
        kept = optimizer.state[parameters[index]]
        kept |= {name: value.to(kept[name].device) for name, value in values.items() if isinstance(value, Tensor)}


def save_checkpoint(step: int, *, model: nn.Module, optimizer: Any, loader: Loader, clock: Clock) -> Path:
    """Write checkpoints/step-NNNNNNNN.pt (update `step` comes next) in the trial's folder; the newest ones stay."""
    path, channel = trial_dir() / "checkpoints" / f"step-{step:08d}.pt", _channel()
    state: dict[str, Any] = {"step": step, "row": loader.row, "branch": channel and channel.identity}
    state["clock"] = {"spent_s": clock.elapsed_s, **{key: vars(clock)[key] for key in ("num_steps", "latest", "rates")}}
    state |= {"random": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
    with replacing(path) as file:
        torch.save(state | {"model": unwrap(model).state_dict(), "optimizer": optimizer.state_dict()}, file)
    for old in sorted(path.parent.glob("step-*.pt"))[:-CHECKPOINTS_KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path, *, model: nn.Module, optimizer: Any, loader: Loader, clock: Clock) -> int:
    """Go on from a checkpoint, bit for bit, and return the number of the next update."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        unwrap(model).load_state_dict(state["model"])
        _restore(optimizer, state["optimizer"])
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["cuda"])
        loader.row, saved = state["row"], state["clock"]
    except Exception as error:  # whatever a broken file may raise
        raise PrepareError(f"{path} cannot be resumed from: {type(error).__name__}: {error}") from error
    channel, reports = _channel(), trial_dir() / "progress.jsonl"
    if channel and channel.identity != state["branch"] and reports.exists():  # rewinds steps, not the clock
        last = {"num_steps": 0, "elapsed_s": 0.0, "progress": 0.0}
        for row in reports.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last one may be cut off
                last |= json.loads(row)
        said = {"num_steps": "num_steps", "spent_s": "elapsed_s", "latest": "progress"}
        saved |= {name: max(saved[name], last[word]) for name, word in said.items()}
    vars(clock).update(saved)
    return state["step"]


def save_submission(model: nn.Module) -> None:
    """Write submission/{weights.pt, config.json}, so that nothing is lost if scoring fails."""
    inner, folder = unwrap(model), trial_dir()
    with replacing(folder / "submission" / "weights.pt") as file:
        torch.save({name.replace("_orig_mod.", ""): value.cpu() for name, value in inner.state_dict().items()}, file)
    try:
        write_json(folder / "submission" / "config.json", inner.config)
    except (AttributeError, TypeError) as error:
        if SUPERVISED:
            raise PrepareError(f"model.config must be the JSON dict given to build_model but: {error}") from error


def load_submission(folder: Path) -> nn.Module:
    """Rebuild the model of a trial from the trial's own train.py and weights."""
    sys.modules["prepare"] = sys.modules[__name__]  # the submission's train.py gets this prepare, not its copy
    try:
        spec = importlib.util.spec_from_file_location("train", folder / "code" / "train.py")
        train = sys.modules["train"] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(train)  # type: ignore[union-attr]
        model = train.build_model(read_json(folder / "submission" / "config.json"))
        weights = torch.load(folder / "submission" / "weights.pt", map_location="cpu", weights_only=True, mmap=True)
        model.load_state_dict(weights)
    except Exception as error:  # whatever the code of a trial may raise
        raise PrepareError(f"{folder} holds nothing that can be rebuilt: {type(error).__name__}: {error}") from error
    return model.to(DEVICE).eval()


def referee(channel: socket.socket, memory: int, rows: int, split: str) -> float:
    """Score the model that a player at the other end of `channel` has loaded, on text that is what was prepared."""
    ready, held = ready_dir(), find_dataset(DATASET_NAME).split_dir(split) / ready_dir().name
    for name, path in ((split, held / "tokens.bin"), ("tokenizer", ready / "tokenizer.json")):
        if file_digest(path) != (noted := read_json(ready / "data.json")[name]):
            raise PrepareError(f"{path} must have the sha256 {noted}; `rm -r {ready}` and prepare again")
    return bits_per_byte(Player(channel, memory, rows), Tokens.load(split).ids, Tokenizer.from_directory(), rows)


def score(folder: Path, split: str = "val", batch_size: int = 64) -> float:
    """Have a trial's submission played by a process of its own and score it; by hand and unsandboxed."""
    rows, (here, there) = rows_at_once(batch_size), socket.socketpair()
    with memory_file() as memory, here:
        descriptors = there.fileno(), memory.fileno()
        words = [__file__, "--play", folder, "--descriptors", *descriptors, "--rows", rows]
        with subprocess.Popen([sys.executable, *map(str, words)], pass_fds=descriptors) as player, there:
            there.close()
            try:
                return referee(here, memory.fileno(), rows, split)
            finally:
                here.close()  # which ends a player that listens
                with contextlib.suppress(subprocess.TimeoutExpired):
                    player.wait(5)
                player.kill()


# ---- Identity of a run, attention kernels, command line ----
def platform_name() -> str:
    """Short device name and count: H200x1, 4090x1, M4-Maxx1, EPYCx2 (cores)."""
    name, count = os.uname().machine, len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    if DEVICE.type == "cuda":
        name, count = torch.cuda.get_device_name(), int(os.environ.get("WORLD_SIZE", 1))
    elif sys.platform == "darwin":
        name = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True).stdout
    elif sys.platform == "linux":  # ARM names no model
        name = [*re.findall(r"model name\s*:(.*)", Path("/proc/cpuinfo").read_text()), name][0]
    noise = r"\(.*?\)|@.*|-SXM.*|-PCI.*|\d+-Core|\b(NVIDIA|GeForce|RTX|Apple|AMD|Intel|CPU|Processor)\b"
    return "-".join(re.sub(noise, " ", name).split()[:2]) + f"x{count}"


def run_identity() -> dict[str, Any]:
    """What names a run in its summary; two scores compare only within one regime."""
    lock = next((folder / "uv.lock" for folder in (HERE, *HERE.parents) if (folder / "uv.lock").exists()), None)
    name, data = find_dataset(DATASET_NAME).name, read_json(ready_dir() / "data.json")
    digests = [file_digest(file) for file in (Path(__file__), lock) if file]
    digests += [data[part] for part in (*SPLITS, "tokenizer")]
    regime = json.dumps([digests, SCALE, TIME_BUDGET, MAX_STEPS, platform_name()])
    digest = hashlib.sha256(regime.encode()).hexdigest()[:12]
    return {"dataset": name, "scale": SCALE, "platform": platform_name(), "regime": digest, "seed": SEED}


def attention_kernel(download: bool = False) -> tuple[Any, str]:
    """FlashAttention-3's interface for this GPU and its name, or None and the reasons; fetched only if `download`."""
    if DEVICE.type != "cuda":
        return None, f"no kernel for {DEVICE.type}"
    os.environ["KERNELS_CACHE"] = str(CACHE / "kernels")  # the library reads both when it is imported
    os.environ["HF_HUB_OFFLINE"] = os.environ.get("HF_HUB_OFFLINE", "0") if download else "1"
    reasons, on_hopper = list[str](), torch.cuda.get_device_capability() == (9, 0)
    for repository, revision in (HOPPER_KERNEL, COMMUNITY_KERNEL)[0 if on_hopper else 1 :]:
        try:
            get_kernel = importlib.import_module("kernels").get_kernel
            module = get_kernel(repository, revision=revision, trust_remote_code=[repository])
            return getattr(module, "flash_attn_interface", module), f"fa3 {repository}@{revision[:7]}"
        except Exception as error:  # whatever a missing or foreign binary may raise: training goes on without it
            reasons.append(f"{repository}: {type(error).__name__}: {error}".partition("\n")[0])
    return None, "; ".join(reasons)


def main() -> None:
    """Prepare the data, or score a trial by hand."""
    parser = argparse.ArgumentParser(description="Prepare data for train.py, or score a trial by hand.")
    parser.add_argument("--dataset", default=DATASET_NAME, help=f"{', '.join(DATASETS)} or a folder of parquet files")
    parser.add_argument("--num-shards", type=int, default=10, help="training shards of climbmix to fetch")
    parser.add_argument("--download-workers", type=int, default=8, help="parallel downloads")
    parser.add_argument("--score", type=Path, metavar="TRIAL_DIR", help="score the submission in a trial's folder")
    parser.add_argument("--split", choices=SPLITS[1:], default="val", help="with --score: the held-out text to use")
    parser.add_argument("--identity", action="store_true", help="print what names a run here, as JSON")
    parser.add_argument("--play", type=Path, metavar="TRIAL_DIR", help="answer a referee, with --descriptors")
    parser.add_argument("--referee", action="store_true", help="score a player, with --descriptors")
    parser.add_argument("--descriptors", type=int, nargs="+", help="inherited: socket, memory; referee: result too")
    parser.add_argument("--rows", type=int, default=rows_at_once(64), help="rows of a batch of --play and --referee")
    options = parser.parse_args()
    if options.descriptors:
        channel, (memory, *result) = socket.socket(fileno=options.descriptors[0]), options.descriptors[1:]
    if options.play:
        play(options.play, channel, memory, options.rows)
    elif options.referee:
        try:
            answer: dict[str, Any] = {f"{options.split}_bpb": referee(channel, memory, options.rows, options.split)}
        except PrepareError as error:
            answer = {"refused": type(error).__name__, "why": str(error)}
        os.write(result[0], json.dumps(answer).encode())
    elif options.identity:
        print(json.dumps({**run_identity(), "data": str(ready_dir() / "data.json")}))
    elif options.score:
        value = score(options.score, options.split)
        write_json(options.score / "score.json", {f"{options.split}_bpb": value})
        print(f"note: scored by hand, unsandboxed\n{options.split}_bpb: {value:.6f}")
    else:
        ready = prepare(find_dataset(options.dataset), options.num_shards, options.download_workers)
        meta = read_json(ready / "meta.json")
        print(f"{ready}: {meta['documents']:,} documents, {meta['tokens']:,} tokens, {meta['bytes'] / 1e6:.1f} MB")
        print(f"attention kernel: {attention_kernel(download=True)[1]}")


if __name__ == "__main__":
    try:
        main()
    except PrepareError as error:
        sys.exit(f"{type(error).__name__}: {error}")
