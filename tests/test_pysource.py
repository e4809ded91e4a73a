"""pysource: which files it takes, that it is the same again, and that training processes import nothing held out."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import launcher
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

import prepare

FOLDERS = {"train": "train", "val": "held/val", "sealed": "held/sealed"}


@pytest.fixture(scope="module")
def documents(cache: Path) -> dict[str, list[str]]:
    """Documents by split."""
    files = {split: cache / "pysource" / folder / "pysource.parquet" for split, folder in FOLDERS.items()}
    return {split: pq.read_table(path).column("text").to_pylist() for split, path in files.items()}


def sources(packages: Iterable[str]) -> list[bytes]:
    """Every Python file of the installed packages, as it is."""
    files = [file for package in packages for file in importlib.metadata.files(package) or []]
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".py" and ".." not in file.parts]
    return [path.read_bytes() for path in paths if path.exists()]


def is_wanted(data: bytes) -> bool:
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        return False
    length = sum(map(len, lines)) + len(lines) - 1
    return len(data) <= 256 * 1024 and length / len(lines) <= 200 and bool(data.decode().strip())


def installed(packages: Iterable[str]) -> list[str]:
    there = {(name or "").lower() for name in (dist.metadata["Name"] for dist in importlib.metadata.distributions())}
    return [package for package in packages if package in there]


def test_pysource_takes_each_wanted_file_of_its_packages_once(documents: dict[str, list[str]]) -> None:
    train, held = sources(installed(prepare.TRAIN_PACKAGES)), sources(prepare.HELD_PACKAGES)
    expected_train = {data.decode() for data in train if is_wanted(data)}
    expected_held = {data.decode() for data in held if is_wanted(data)} - expected_train
    assert set(documents["train"]) == expected_train
    assert set(documents["val"]) | set(documents["sealed"]) == expected_held
    for splits in (["train"], ["val", "sealed"]):
        assert sum(len(documents[split]) for split in splits) == len({t for split in splits for t in documents[split]})


def test_pysource_leaves_files_out_for_every_reason(documents: dict[str, list[str]]) -> None:
    files = sources(installed(prepare.TRAIN_PACKAGES + prepare.HELD_PACKAGES))
    texts = [data.decode(errors="replace") for data in files]
    taken = {text for split in documents.values() for text in split}
    assert len(files) > len(set(files)), "there are exact duplicates"
    large = [text for data, text in zip(files, texts, strict=True) if len(data) > 256 * 1024]
    wide = [text for text in texts if len(text) / (text.count("\n") + 1) > 200]
    empty = [text for text in texts if not text.strip()]
    for left_out in (large, wide, empty):
        assert left_out and not taken & set(left_out)


def test_pysource_shares_no_document_between_splits(documents: dict[str, list[str]]) -> None:
    sets = [set(texts) for texts in documents.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == sum(map(len, documents.values()))


def test_pysource_divides_held_out_text_in_halves(documents: dict[str, list[str]]) -> None:
    assert 0.4 < len(documents["val"]) / (len(documents["val"]) + len(documents["sealed"])) < 0.6
    assert len(documents["train"]) > 1000 and len(documents["val"]) > 300


NO_NETWORK = """
import sys


def refuse(event, values):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError("there is no network")


sys.addaudithook(refuse)
"""


@pytest.mark.slow
def test_first_run_without_a_network_prepares_the_same_data_even_after_a_kill(
    cache: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    variables = environment | {"AUTORESEARCH_CACHE": str(tmp_path), "PYTHONPATH": str(tmp_path / "site")}
    words: list[str | Path] = [ROOT / "prepare.py", "--dataset", "pysource"]
    killed = launcher.Child(words, variables, tmp_path / "log").kill_when(
        (tmp_path / "pysource" / "held" / "val" / "pysource.parquet").exists
    )
    assert killed.code == -9, killed.text
    variables["AUTORESEARCH_TRIAL_DIR"] = str(tmp_path / "trial")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py")], check=False, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0.5 < float(done.stdout.rpartition("\nval_bpb: ")[2].split()[0]) < 8
    one, two = (json.loads((root / "pysource/train/vocab-512/data.json").read_text()) for root in (cache, tmp_path))
    assert one == two


TRAINING = """
import sys
import prepare, train

config = train.make_config() | {"depth": 1, "width": 64, "num_heads": 1, "mlp_width": 64, "copy_orders": 0}
model = train.build_model(config)
model.initialize()
optimizer = train.build_optimizer(model)
clock = prepare.Clock(model, optimizer)
train.warm_up(train.compiled(train.loss_of), model, optimizer, clock)
assert train.can_compile()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.slow
def test_training_process_imports_nothing_that_is_held_out(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "training.py").write_text(TRAINING)
    compiles = {"AUTORESEARCH_SCALE": "cpu", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    variables = environment | {"PYTHONPATH": str(ROOT)} | compiles
    done = subprocess.run(
        [sys.executable, str(tmp_path / "training.py")], check=False, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split("\n")[-2].split())
    owners = importlib.metadata.packages_distributions()
    by_package = {
        owner.lower(): {name for name in owners if owner in owners[name]} for o in owners.values() for owner in o
    }
    held = set().union(*(by_package[package] for package in prepare.HELD_PACKAGES))
    assert {"pygments", "matplotlib", "PIL", "markdown_it", "fontTools"} <= held
    assert not imported & held
    assert {"torch", "sympy", "numpy"} <= imported and os.listdir(tmp_path / "inductor")
