"""The configuration of steering: defaults of the seed, overrides, and mistakes that are named."""

from pathlib import Path

import pytest

from autoresearch.errors import BadConfig
from autoresearch.steer import config
from autoresearch.steer.config import Config


def load(tmp_path: Path, text: str, **variables: str) -> Config:
    (tmp_path / "c.yaml").write_text(text)
    (tmp_path / "train.py").touch()
    return config.load(tmp_path / "c.yaml", variables)


def test_defaults_are_those_that_were_published(tmp_path: Path) -> None:
    found = load(tmp_path, "tag: a")
    assert (found.num_steps, found.k, found.warmup_steps, found.lr_init) == (10_000, 300, 1000, 3e-4)
    assert (found.clamp, found.history, found.rounds) == ((0.5, 2.0), 10, 10)
    plan = found.opening()
    assert (plan.warmup, plan.lr_peak, plan.lr(1)) == (0.1, 3e-4, 0)
    assert found.workdir == tmp_path.resolve()


def test_variables_override_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "{tag: a, k: 5}", K="50", DEVICE="2", RUN_TAG="b", LRS="1e-3 3e-3,5e-3", OTHER="x")
    assert (found.k, found.device, found.tag, found.sweep()) == (50, "2", "b", [1e-3, 3e-3, 5e-3])


def test_seconds_alone_may_end_a_round(tmp_path: Path) -> None:
    assert load(tmp_path, "{tag: a, budget_s: 20}").num_steps is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{tag: a, lr_ceil: 1e-4}",
            "lr_ceil must be above lr_floor and not below lr_init, plan and peaks but got lr_ceil 0.0001",
        ),
        ("{tag: a, lr_init: 1, lr_floor: 2, lr_ceil: 2}", "lr_floor 2"),
        ("{tag: a, lr_init: 1, lr_ceil: 2, peaks: [1, 4]}", "highest rate 4"),
        ("{tag: a, lr_init: 1, lr_ceil: 2, plan: {lr_peak: 3}}", "highest rate 3"),
        ("{tag: a, round: 3}", "round is unknown; did you mean rounds?"),
        ("{tag: a, llm: {controler: {url: x, model: y}}}", "llm.controler is unknown; did you mean controller?"),
        (
            "{tag: a, llm: {controller: {url: x, model: y, key: z}}}",
            "llm.controller.key is unknown; did you mean key_env",
        ),
        ("{tag: a/b}", "tag:"),
        ("{tag: a, k: 1}", "k:"),
        ("{tag: a, controller: llm}", "controller llm needs llm.controller"),
        ("{tag: a, controller: replay}", "controller replay needs replay"),
        ("{tag: a, k: 500, total_steps: 100}", "k must be at most total_steps but got 500 and 100"),
        ("{tag: a, clamp: [2, 3]}", "clamp must be"),
        ("{tag: a, plan: {decay: 0}}", "plan.decay:"),
        ("{tag: a, plan: {lr_peak: }}", "plan.lr_peak: Input should be a valid number, but got None"),
        ("{tag: a, plan: {lr_peak: [4]}}", "plan.lr_peak:"),
        ("{tag: a, plan: {lr_peak: abc}}", "plan.lr_peak:"),
        ("{tag: a, plan: {warmupp: 0.1}}", "plan.warmupp is unknown; did you mean warmup?"),
        ("{tag: a, lr_init: .nan}", "lr_init:"),
        ("[1, 2]", "must hold keys and values but holds list"),
        ("{tag: a", "must be YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)


def test_password_in_the_url_of_a_model_is_refused_and_not_told(tmp_path: Path) -> None:
    for url in ("https://me:hidden@host/v1", "me:hidden@host/v1?x=a@b", "https://me:hi/d@den@host/v1"):
        with pytest.raises(BadConfig) as caught:
            load(tmp_path, f"{{tag: a, llm: {{controller: {{url: '{url}', model: m}}}}}}")
        words = "llm.controller.url: must hold no user and password but got some; name the variable of a key in key_env"
        assert words in str(caught.value) and "den" not in str(caught.value)
    load(tmp_path, "{tag: a, llm: {controller: {url: 'https://host/v1?at=a@b', model: m}}}")


def test_command_that_is_elsewhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"command names none\.py, which must lie in"):
        load(tmp_path, "{tag: a, command: ['{python}', none.py]}")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="must be a readable file"):
        config.load(tmp_path / "none.yaml", {})


def test_several_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, "{tag: a, rounds: 0, kk: 3}")
    assert "rounds:" in str(caught.value) and "kk is unknown" in str(caught.value)
