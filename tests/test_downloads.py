"""download and download_all against a server that drops, truncates, delays, lies and refuses."""

import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import corpus
import fileserver
import pytest
from fileserver import Fault, FileServer

import prepare

NAME = "shard.parquet"
CONTENT = corpus.parquet([random.Random(index).randbytes(32768).hex() for index in range(64)])  # about 4 MB
MIB = 2**20
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def fetch(server: FileServer, folder: Path, tries: int = 6) -> tuple[str, list[float]]:
    """Download NAME into `folder`; its digest and the sleeps asked for."""
    sleeps: list[float] = []
    with prepare.meter("downloading") as bar:
        digest = prepare.download(f"{server.url}/{NAME}", folder / NAME, bar, tries=tries, sleep=sleeps.append)
    return digest, sleeps


def part_of(folder: Path) -> bytes:
    return (folder / f"{NAME}.part").read_bytes()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server that has NAME."""
    with fileserver.serve() as running:
        running.files[NAME] = CONTENT
        yield running


def test_download_states_the_digest_of_what_it_wrote(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path) == (DIGEST, [])
    assert part_of(tmp_path) == CONTENT


def test_download_follows_a_slow_server(server: FileServer, tmp_path: Path) -> None:
    server.faults[NAME].append(Fault(delay_s=0.05))
    assert fetch(server, tmp_path) == (DIGEST, [])


@pytest.mark.parametrize(
    "fault",
    [Fault(send_frac=0.5, reset=True), Fault(send_frac=0.5), Fault(send_frac=0.99)],
    ids=["reset", "closed", "late"],
)
def test_download_resumes_where_the_connection_broke(server: FileServer, tmp_path: Path, fault: Fault) -> None:
    server.faults[NAME].append(fault)
    digest, sleeps = fetch(server, tmp_path)
    assert (digest, len(sleeps)) == (DIGEST, 1)
    resumed_from = int(server.requests[1][1].removeprefix("bytes=").removesuffix("-"))
    sent = int(len(CONTENT) * fault.send_frac)
    assert sent - MIB <= resumed_from <= sent


def test_download_resumes_what_an_earlier_process_left(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path) == (DIGEST, [])
    assert server.requests == [(NAME, "bytes=1000-")]


@pytest.mark.parametrize("length", [{}, {"Content-Length": str(len(CONTENT) // 2)}], ids=["no length", "short length"])
def test_download_repeats_a_truncation_that_the_server_does_not_admit(
    server: FileServer, tmp_path: Path, length: dict[str, str]
) -> None:
    server.faults[NAME].append(Fault(send_frac=0.5, state_length=False, headers=length))
    digest, sleeps = fetch(server, tmp_path)
    assert (digest, len(sleeps)) == (DIGEST, 1)
    assert part_of(tmp_path) == CONTENT


def test_download_backs_off_longer_each_time(server: FileServer, tmp_path: Path) -> None:
    server.faults[NAME].extend(Fault(status=503) for _ in range(4))
    digest, sleeps = fetch(server, tmp_path)
    assert digest == DIGEST
    assert len(sleeps) == 4
    assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(sleeps, 1))


@pytest.mark.parametrize(("asked", "pause"), [("7", 7.0), ("0", 0.0), ("99999", 120.0)])
def test_download_waits_as_long_as_the_server_asks(
    server: FileServer, tmp_path: Path, asked: str, pause: float
) -> None:
    server.faults[NAME].append(Fault(status=503, headers={"Retry-After": asked}))
    assert fetch(server, tmp_path) == (DIGEST, [pause])


def test_download_backs_off_when_asked_to_wait_for_a_date(server: FileServer, tmp_path: Path) -> None:
    server.faults[NAME].append(Fault(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    _, sleeps = fetch(server, tmp_path)
    assert 1 <= sleeps[0] <= 2


@pytest.mark.parametrize("status", [429, 408, 500, 502, 503])
def test_download_retries_passing_troubles(server: FileServer, tmp_path: Path, status: int) -> None:
    server.faults[NAME].append(Fault(status=status))
    digest, sleeps = fetch(server, tmp_path)
    assert (digest, len(sleeps)) == (DIGEST, 1)


def test_download_gives_up_after_its_tries(server: FileServer, tmp_path: Path) -> None:
    server.always[NAME] = Fault(status=503)
    with pytest.raises(prepare.PrepareError) as caught:
        fetch(server, tmp_path, tries=3)
    assert len(server.requests) == 3
    assert f"{server.url}/{NAME}" in str(caught.value) and "Run the same command again" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_download_refused_fails_at_once_and_names_the_next_step(
    server: FileServer, tmp_path: Path, status: int
) -> None:
    server.always[NAME] = Fault(status=status)
    with pytest.raises(prepare.PrepareError) as caught:
        fetch(server, tmp_path)
    assert len(server.requests) == 1
    for words in (f"{server.url}/{NAME}", str(status), "AUTORESEARCH_DATASET=pysource uv run train.py"):
        assert words in str(caught.value)


def test_download_starts_over_when_the_server_ignores_the_range(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 1000)
    server.faults[NAME].append(Fault(ignore_range=True))
    assert fetch(server, tmp_path) == (DIGEST, [])


def test_download_starts_over_when_nothing_is_left_to_fetch(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * (len(CONTENT) + 5))
    digest, _ = fetch(server, tmp_path)
    assert digest == DIGEST
    assert [wanted for _, wanted in server.requests] == [f"bytes={len(CONTENT) + 5}-", ""]


def test_download_never_appends_another_range_than_it_asked_for(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    wrong = f"bytes 900-{len(CONTENT) - 1}/{len(CONTENT)}"
    server.faults[NAME].append(Fault(headers={"Content-Range": wrong}))
    digest, sleeps = fetch(server, tmp_path)
    assert (digest, len(sleeps)) == (DIGEST, 1)


def test_download_never_accepts_garbage(server: FileServer, tmp_path: Path) -> None:
    server.always[NAME] = Fault(body=b"<html>please log in</html>" * 100)
    with pytest.raises(prepare.PrepareError, match="footer"):
        fetch(server, tmp_path, tries=2)


def test_download_names_a_file_without_a_text_column(server: FileServer, tmp_path: Path) -> None:
    server.files[NAME] = corpus.parquet(["a"], column="words")
    with pytest.raises(prepare.PrepareError, match=r"column 'text'.*words"):
        fetch(server, tmp_path, tries=1)


@pytest.mark.parametrize("redirect", [False, True])
def test_download_believes_the_digest_that_the_server_states(
    server: FileServer, tmp_path: Path, redirect: bool
) -> None:
    wrong, right = ({"X-Linked-Etag": f'"{digest}"'} for digest in ("0" * 64, DIGEST))
    server.faults[NAME].extend([Fault(headers=wrong, redirect=redirect), Fault(headers=right, redirect=redirect)])
    digest, sleeps = fetch(server, tmp_path)
    assert (digest, len(sleeps)) == (DIGEST, 1)
    assert all(wanted == "" for _, wanted in server.requests), "what has the wrong digest is not worth resuming"


def test_download_names_both_digests_when_they_never_agree(server: FileServer, tmp_path: Path) -> None:
    server.always[NAME] = Fault(headers={"X-Linked-Etag": f'"{"0" * 64}"'})
    with pytest.raises(prepare.PrepareError, match=f"{'0' * 64}.*{DIGEST}"):
        fetch(server, tmp_path, tries=2)


@pytest.fixture
def dataset(tmp_path: Path) -> prepare.Dataset:
    """A data set whose folder in the cache is tmp_path / "cache"."""
    return prepare.Dataset(str(tmp_path / "cache"))


def test_download_all_renames_only_whole_files_and_records_them(server: FileServer, dataset: prepare.Dataset) -> None:
    names = [f"{index}.parquet" for index in range(4)]
    server.files |= {name: corpus.parquet(corpus.documents(50, seed=index)) for index, name in enumerate(names)}
    server.faults[names[1]].append(Fault(body=b"no parquet"))
    server.faults[names[2]].append(Fault(delay_s=0.05))
    wanted = [dataset.root / "train" / name for name in names]
    early: list[str] = []
    server.on_request = lambda name: early.extend([name] if (dataset.root / "train" / name).exists() else [])
    prepare.download_all(server.url, wanted, dataset, workers=3)
    assert len(server.requests) == 5 and not early
    assert [path.read_bytes() for path in wanted] == [server.files[name] for name in names]
    manifest = json.loads((dataset.root / "manifest.json").read_text())
    assert manifest == {f"train/{name}": hashlib.sha256(server.files[name]).hexdigest() for name in names}
    assert sorted(os.listdir(dataset.root / "train")) == names


def test_download_all_fetches_only_what_is_missing(server: FileServer, dataset: prepare.Dataset) -> None:
    wanted = [dataset.root / "there.parquet", dataset.root / NAME]
    dataset.root.mkdir()
    wanted[0].write_bytes(b"whatever")
    prepare.download_all(server.url, wanted, dataset, workers=2)
    assert [path for path, _ in server.requests] == [NAME]


def test_download_all_keeps_what_arrived_before_a_failure(server: FileServer, dataset: prepare.Dataset) -> None:
    wanted = [dataset.root / NAME, dataset.root / "absent.parquet"]
    with pytest.raises(prepare.PrepareError, match=r"absent\.parquet"):
        prepare.download_all(server.url, wanted, dataset, workers=1)
    server.files["absent.parquet"] = CONTENT
    prepare.download_all(server.url, wanted, dataset, workers=1)
    assert [path for path, _ in server.requests] == [NAME, "absent.parquet", "absent.parquet"]


def test_download_all_shows_rate_and_time_left(
    server: FileServer, dataset: prepare.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare.download_all(server.url, [dataset.root / NAME], dataset, workers=1)
    assert re.search(r"100%.*/.*\[\d\d:\d\d<\d\d:\d\d, .*B/s\]", capsys.readouterr().err)
