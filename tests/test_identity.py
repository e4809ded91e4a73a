"""The identity of a run: what its regime depends on, and what not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import launcher
import pytest
from conftest import ROOT, TEXTS

import prepare

SHOW = "import json, prepare\nprint(json.dumps(prepare.run_identity()))\n"


@pytest.fixture
def identify(
    run_script: Callable[..., launcher.Ended], tokenizer: prepare.Tokenizer, tmp_path: Path
) -> Callable[..., dict]:
    """Call with settings, and `edit` to change the copy of prepare.py: the identity of a run with them."""

    def call(edit: str = "", lock: str = "locked", **settings: object) -> dict:
        shutil.copy(ROOT / "prepare.py", tmp_path)
        with open(tmp_path / "prepare.py", "a") as file:
            file.write(edit)
        (tmp_path / "uv.lock").write_text(lock)
        (tmp_path / "show.py").write_text(SHOW)
        ended = run_script(tmp_path / "show.py", DATASET=TEXTS, **settings)
        assert ended.code == 0, ended.text
        return json.loads(ended.text)

    return call


def test_identity_names_the_run(identify: Callable[..., dict]) -> None:
    identity = identify(SEED=7)
    assert list(identity) == ["dataset", "scale", "platform", "regime", "seed"]
    assert identity["dataset"].startswith("folder-texts-") and identity["scale"] == "tiny" and identity["seed"] == 7
    assert len(identity["regime"]) == 12 and int(identity["regime"], 16) >= 0
    assert " " not in identity["platform"] and "x" in identity["platform"]


def test_regime_is_the_same_again_and_for_another_seed(identify: Callable[..., dict]) -> None:
    assert identify()["regime"] == identify(SEED=8)["regime"]


@pytest.mark.parametrize(
    "change", [{"TIME_BUDGET": 3}, {"MAX_STEPS": 5}, {"edit": "# changed\n"}, {"lock": "other packages"}], ids=str
)
def test_regime_changes_with_what_scores_depend_on(identify: Callable[..., dict], change: dict) -> None:
    assert identify(**change)["regime"] != identify()["regime"]


def test_attention_kernel_without_a_gpu_says_why(run_script: Callable[..., launcher.Ended], tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text("import prepare\nprint(prepare.attention_kernel())\n")
    ended = run_script(tmp_path / "show.py", CUDA_VISIBLE_DEVICES="")
    assert ended.code == 0 and "(None, 'no kernel for" in ended.text
