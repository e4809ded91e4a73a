"""What tests share. prepare.py resolves its constants at import, so the environment is set here, before any test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SESSION = Path(tempfile.mkdtemp(prefix="autoresearch-tests-"))
TEXTS = SESSION / "texts"
ALLOWED = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CC", "CXX"),
    *("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TORCHINDUCTOR_CACHE_DIR"),
)

sys.path.insert(0, str(ROOT))
for setting in [name for name in os.environ if name.startswith("AUTORESEARCH_")]:
    del os.environ[setting]
os.environ |= {
    "AUTORESEARCH_SCALE": "tiny",
    "AUTORESEARCH_CACHE": str(SESSION / "cache"),
    "AUTORESEARCH_DATASET": str(TEXTS),  # a small folder; child processes with `environment` read pysource
    "AUTORESEARCH_TRIAL_DIR": str(SESSION / "trial"),
    "NO_PROXY": "127.0.0.1",
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),  # the workers share the cores, and tiny models are tiny
}

import corpus  # noqa: E402
import launcher  # noqa: E402
import morning  # noqa: E402
import numpy as np  # noqa: E402
from ring import Ring  # noqa: E402
from torch import nn  # noqa: E402

import prepare  # noqa: E402


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background of a shell: children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    shutil.rmtree(SESSION, ignore_errors=True)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables of a child process: pysource at scale tiny, two seconds of training, nothing of the outer session."""
    inherited = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return inherited | {
        "AUTORESEARCH_CACHE": str(SESSION / "cache"),
        "AUTORESEARCH_SCALE": "tiny",
        "AUTORESEARCH_TIME_BUDGET": "2",
        "AUTORESEARCH_DATASET": "pysource",
        "AUTORESEARCH_TRIAL_DIR": "",  # empty counts as unset, also where this is laid over os.environ
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def cache(environment: dict[str, str]) -> Path:
    """A cache in which pysource is prepared at scale tiny."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "prepare.py")], check=False, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SESSION / "cache"


@pytest.fixture(scope="session")
def texts() -> Path:
    """The folder of parquet files that this process has as its data set."""
    return corpus.write_folder(TEXTS, corpus.documents(3000))


@pytest.fixture(scope="session")
def tokenizer(texts: Path) -> prepare.Tokenizer:
    """The tokenizer of the small folder, which is prepared."""
    return prepare.Tokenizer.from_directory()


@pytest.fixture(scope="session")
def ids(tokenizer: prepare.Tokenizer) -> np.ndarray:
    """Validation text: 1000 targets, which are no whole number of rows."""
    return np.array(prepare.Tokens.load("val").ids[:1001])


@pytest.fixture(scope="session")
def bpb(tokenizer: prepare.Tokenizer) -> Callable[..., float]:
    """bits_per_byte on the device, in batches of 4 rows unless told."""

    def measure(model: nn.Module, ids: np.ndarray, batch_size: int = 4) -> float:
        return prepare.bits_per_byte(model.to(prepare.DEVICE), ids, tokenizer, batch_size)

    return measure


@pytest.fixture(scope="session")
def long_night(tmp_path_factory: pytest.TempPathFactory) -> morning.Maker:
    """A night of 40 attempts for tests of the report; those that change it take `root`."""
    return morning.build(tmp_path_factory.mktemp("night") / "repo", 40, num_reports=60)


@pytest.fixture
def root(long_night: morning.Maker, tmp_path: Path) -> Path:
    """A copy of that checkout."""
    return Path(shutil.copytree(long_night.root, tmp_path / "repo", symlinks=True))


@pytest.fixture(scope="session")
def golf_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small data of examples/parameter_golf, to be read."""
    import golf  # it puts the example's modules on the path

    return golf.with_data(tmp_path_factory.mktemp("golf"))


@pytest.fixture
def run_script(environment: dict[str, str], tmp_path: Path) -> Callable[..., launcher.Ended]:
    """Call with words and AUTORESEARCH_ settings (without the prefix): run a script to its end in tmp_path."""

    def run(*words: str | Path, **settings: object) -> launcher.Ended:
        named = {
            name if name in (*ALLOWED, "HF_ENDPOINT") else f"AUTORESEARCH_{name}": str(value)
            for name, value in settings.items()
        }
        return launcher.run([*words], environment | named, tmp_path / "run.log")

    return run


@pytest.fixture
def run_trial(
    run_script: Callable[..., launcher.Ended], tokenizer: prepare.Tokenizer, tmp_path: Path
) -> Callable[..., launcher.Ended]:
    """Like run_script, for the small trainer on the small folder, in the trial folder `tmp_path / "trial"`."""

    def run(**settings: object) -> launcher.Ended:
        defaults = {"DATASET": TEXTS, "TRIAL_DIR": tmp_path / "trial", "TIME_BUDGET": 1000, "MAX_STEPS": 12}
        return run_script(ROOT / "tests" / "trials" / "small.py", **defaults | settings)

    return run


@pytest.fixture(scope="session")
def ring(environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """A tag with the real prepare.py, on the small folder."""
    own = {"AUTORESEARCH_DATASET": str(TEXTS), "AUTORESEARCH_TIME_BUDGET": "2"}
    variables = {name: value for name, value in environment.items() if value} | own
    return Ring(tmp_path_factory.mktemp("ring") / "repo", variables)
