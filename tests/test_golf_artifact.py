"""examples/parameter_golf: what is read of weights, what comes out of the pack again, and how text is counted."""

import math
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from golf import GOLF, artifact, make_data, saved, score, shards


def test_artifact_gives_back_what_8_and_16_bits_can_hold() -> None:
    chance = np.random.default_rng(0)
    large = (chance.normal(size=(80, 60)) * chance.uniform(0.01, 100, size=(80, 1))).astype(np.float32)
    large[3] = 0
    weights = {"large": large, "vector": large.flatten(), "small": large[:5, :5], "one": np.array(0.5, np.float32)}
    packed = artifact.pack(weights)
    found = artifact.unpack(packed)
    assert {name: array.shape for name, array in found.items()} == {name: one.shape for name, one in weights.items()}
    units = np.abs(large).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(found["large"] - large) <= 0.51 * units + 1e-3 * np.abs(large))
    assert not np.array_equal(found["large"], large) and not found["large"][3].any()
    for name in ("vector", "small", "one"):
        assert np.array_equal(found[name], weights[name].astype(np.float16).astype(np.float32))
    assert len(packed) < 1.02 * (large.size * 3 + 2 * 80 + 50) + 300
    assert len(artifact.pack({"large": 0 * large})) < 200


def test_weights_are_read_without_running_code(tmp_path: Path) -> None:
    good = np.ones(3, np.float32)
    assert np.array_equal(artifact.read_weights(saved(tmp_path, a=good))["a"], good)
    for arrays, words in (
        ({"a": np.array([print], dtype=object)}, "must hold plain arrays"),
        ({"a": np.array([1.0, math.nan], np.float32)}, "finite numbers of 32 bits"),
        ({"a": np.ones(3)}, "finite numbers of 32 bits but is float64"),
    ):
        with pytest.raises(artifact.Invalid, match=words):
            artifact.read_weights(saved(tmp_path, **arrays))
    with pytest.raises(artifact.Invalid, match="fit into 16 bits"):
        artifact.pack({"a": np.full(3, 1e6, np.float32)})
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "link").symlink_to(saved(tmp_path, a=good))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").mkdir()
    saved(tmp_path / "real", a=good)
    (tmp_path / "submission").symlink_to("real")
    for name in ("text", "link", "pipe", "missing", "submission/weights.npz"):
        with pytest.raises(artifact.Invalid):
            artifact.read_weights(tmp_path / name)


def zipped(path: Path, kind: int, shape: str, num_bytes: int) -> Path:
    """An archive whose one array says that it has a shape, followed by so many zeros."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", kind) as archive, archive.open("a.npy", "w", force_zip64=True) as file:
        file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        for _ in range(num_bytes >> 20):
            file.write(bytes(1 << 20))
    return path


def saying(source: Path, path: Path, num_bytes: int) -> Path:
    """A copy of an archive which says that what it holds has so many bytes when it is unpacked."""
    with zipfile.ZipFile(source) as archive:
        (entry,) = archive.infolist()
    sizes = struct.pack("<LL", entry.compress_size, entry.file_size)
    text = source.read_bytes()
    assert sizes in text
    path.write_bytes(text.replace(sizes, struct.pack("<LL", entry.compress_size, num_bytes)))
    return path


def test_weights_that_unpack_to_any_size_are_refused_in_little_memory(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "honest", zipfile.ZIP_DEFLATED, "(50000000,)", 200 << 20)
    other = zipped(tmp_path / "honest bzip2", zipfile.ZIP_BZIP2, "(100,)", 200 << 20)
    shape = zipped(tmp_path / "shape", zipfile.ZIP_STORED, "(10000000000000000,)", 1 << 20)
    script = (
        f"import resource, sys; sys.path.insert(0, {str(GOLF)!r}); from pathlib import Path; import artifact\n"
        "most = 4096 * int(Path('/proc/self/statm').read_text().split()[0]) + (100 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "artifact.read_weights(Path(sys.argv[1]))"
    )
    for path, words in (
        (bomb, "must hold plain arrays"),  # for want of memory
        (saying(bomb, tmp_path / "large", 1 << 31), "at most 1,073,741,824 bytes but have 2,147,483,648"),
        (saying(bomb, tmp_path / "lying", 1000), "must hold plain arrays"),
        (saying(other, tmp_path / "other", 1000), "packed in another way"),
        (shape, "must hold plain arrays"),
    ):
        assert path.stat().st_size < 2 << 20
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith("Invalid: ") and words in done.stderr, done.stderr


def test_bytes_are_those_of_the_text(golf_data: Path) -> None:
    pieces = shards.read_pieces(golf_data / score.TOKENIZER)
    assert len(pieces) == make_data.VOCAB_SIZE and pieces[:3] == [*make_data.RESERVED]
    (path,) = golf_data.glob(score.SHARDS)
    tokens = shards.read_shards(str(path.relative_to(golf_data)), golf_data).astype(np.int64)
    held = [*make_data.read_texts(make_data.held_sources(), 20_000)]
    assert shards.count_bytes(pieces, tokens) == sum(len(text.encode()) for text in held)
    assert path.read_bytes()[:12] == np.array([20240520, 1, len(tokens)], "<i4").tobytes()


def test_leading_spaces_count_only_behind_text() -> None:
    pieces = [("<unk>", 2), ("<s>", 3), ("<0x41>", 6), ("▁the", 1), ("é", 1), ("▁▁", 1), ("▁", 1), ("left out", 5)]
    for tokens, expected in (
        ([1, 3, 3], 3 + 4),
        ([2, 2, 4], 1 + 2),
        ([3, 5, 6], 2 + 1),
        ([3, 0, 3], 0 + 3),
        ([3, 7, 1], 0),
    ):
        assert shards.count_bytes(pieces, np.array(tokens)) == expected


def test_shard_that_is_not_whole_is_refused(golf_data: Path, tmp_path: Path) -> None:
    (path,) = golf_data.glob(score.SHARDS)
    text = path.read_bytes()
    for damaged in (text[:-2], b"\0" + text[1:], text[:100]):
        (tmp_path / "a.bin").write_bytes(damaged)
        with pytest.raises(SystemExit, match="whole shard"):
            shards.read_shards("*.bin", tmp_path)
