"""The artifact of a submission: weights in few bits, compressed, and what they are when they come out of it again.

Reads files of strangers: arrays alone, never anything that runs code.
"""

import io
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

SMALL_NUMEL = 4096
"""Tensors of so many numbers, and vectors, are kept in 16 bits."""
MOST_BYTES = 1 << 30
"""Of weights before they are packed."""
KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How numpy writes archives; what is packed otherwise may unpack to any size at once."""
Weights = dict[str, np.ndarray]


class Invalid(SystemExit):
    """A submission that is not scored; says why."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Invalid: {why}")


def read_weights(path: Path) -> Weights:
    """Arrays of an .npz file, which never runs code; neither it nor its folder may be a link, which leads elsewhere."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            handle = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Invalid(f"{path} must be a plain file but {error.strerror}") from error
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Invalid(f"{path} must be a plain file")
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
            if (total := sum(one.file_size for one in entries)) > MOST_BYTES:
                raise Invalid(f"weights must have at most {MOST_BYTES:,} bytes but have {total:,}")
            if odd := next((one.filename for one in entries if one.compress_type not in KINDS), ""):
                raise Invalid(f"{path} must be as numpy.savez writes it but {odd!r} is packed in another way")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except Exception as error:  # numpy and zipfile raise ten kinds of them at files that they did not write
            raise Invalid(f"{path} must hold plain arrays but: {str(error)[:200]}") from error
    for name, array in found.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise Invalid(f"{name} must be finite numbers of 32 bits but is {array.dtype}")
    return found


def pack(weights: Weights) -> bytes:
    """Matrices in 8 bits with a scale for each row, what is small in 16; all compressed."""
    places, parts = [], []
    for name, array in sorted(weights.items()):
        if array.size and np.abs(array).max() > 65504:
            raise Invalid(f"{name} must fit into 16 bits but reaches {np.abs(array).max():.3g}")
        is_small = array.ndim < 2 or array.size <= SMALL_NUMEL
        scales, values = (np.empty(0, "<f2"), array.astype("<f2")) if is_small else quantize(array)
        places.append([name, list(array.shape), len(scales)])
        parts += [scales.tobytes(), values.tobytes()]
    head = json.dumps(places, separators=(",", ":")).encode()
    return zlib.compress(struct.pack("<I", len(head)) + head + b"".join(parts), 9)


def quantize(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale of each row, and the rows in units of it."""
    rows = array.reshape(len(array), -1)
    scales = (np.abs(rows).max(axis=1) / 127).astype("<f2")
    units = np.where(scales > 0, scales, 1).astype(np.float32)[:, None]
    return scales, np.clip(np.rint(rows / units), -127, 127).astype("i1")


def unpack(artifact: bytes) -> Weights:
    """The weights that an artifact stands for."""
    data = io.BytesIO(zlib.decompress(artifact))
    (size,) = struct.unpack("<I", data.read(4))
    found: Weights = {}
    for name, shape, num_rows in json.loads(data.read(size)):
        scales = np.frombuffer(data.read(2 * num_rows), "<f2").astype(np.float32)
        count = math.prod(shape)
        if num_rows:
            values = np.frombuffer(data.read(count), "i1").astype(np.float32).reshape(num_rows, -1) * scales[:, None]
        else:
            values = np.frombuffer(data.read(2 * count), "<f2").astype(np.float32)
        found[name] = values.reshape(shape)
    return found
