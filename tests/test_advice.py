"""autoresearch/advice and the verb: ranges, what the history tells, and what comes of it."""

import json
import math
from pathlib import Path

import night
import numpy as np
import pytest

from autoresearch.advice.dials import Dial, dials_of
from autoresearch.advice.history import Sample, samples_of
from autoresearch.advice.model import Model
from autoresearch.advice.suggest import candidates, suggest
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import Refused

SOURCE = """
DEPTH = 8  # layers
BATCH = 2**14
LR = 0.04
FINAL_FRAC = 0.05
WARMUP_RATIO = 0.0
DROPOUT = 0.0
SECONDS = 10.0  # between lines; range: none
BETA = 0.9  # range: 0.5..0.99
EPS = 1e-8  # small; range: 1e-12..1e-4 log
NAME = "x"
FLAG = True
if SCALE == "tiny":
    DEPTH = 2
elif SCALE == "cpu":
    LR = 0.1
"""


def dial(key: str, scale: str = "") -> Dial:
    return next(one for one in dials_of(SOURCE, scale) if one.key == key)


def test_dials_are_the_numbers_that_hold_at_a_scale() -> None:
    assert {one.key for one in dials_of(SOURCE, "gpu")} == {
        *("DEPTH", "BATCH", "LR", "FINAL_FRAC", "WARMUP_RATIO", "BETA", "EPS"),
    }
    assert {"tiny.DEPTH", "LR"} <= {one.key for one in dials_of(SOURCE, "tiny")}
    assert "DEPTH" not in {one.key for one in dials_of(SOURCE, "tiny")}


def test_dials_range_around_the_value_unless_a_comment_says_otherwise() -> None:
    assert (dial("LR").low, dial("LR").high, dial("LR").is_log) == (pytest.approx(0.04 / 3), pytest.approx(0.12), True)
    assert (dial("DEPTH").low, dial("DEPTH").high, dial("DEPTH").is_whole) == (4, 16, True)
    assert (dial("FINAL_FRAC").low, dial("FINAL_FRAC").high) == (0.0, 0.2)
    assert (dial("BETA").low, dial("BETA").high, dial("BETA").is_log) == (0.5, 0.99, False)
    assert (dial("EPS").low, dial("EPS").high, dial("EPS").is_log) == (1e-12, 1e-4, True)


def test_dials_write_whole_numbers_and_powers_of_two() -> None:
    assert {dial("BATCH").at(place / 20) for place in range(21)} == {2**power for power in range(12, 17)}
    assert all(isinstance(dial("DEPTH").at(place / 7), int) for place in range(8))
    for key in ("LR", "FINAL_FRAC", "EPS", "BATCH", "DEPTH"):
        assert dial(key).at(dial(key).place(dial(key).value)) == dial(key).value


@pytest.mark.parametrize("words", ["1..x", "2..1", "0..1 log", "-3..-1 log"])
def test_dials_refuse_a_range_that_is_none(words: str) -> None:
    with pytest.raises(Refused, match="range of LR"):
        dials_of(f"LR = 0.5  # range: {words}\n", "")


def test_dials_take_ranges_as_they_are_edited_and_widen_them_to_the_value() -> None:
    source = "LR = 0.5  # range: 0.9..1.1\nDEPTH = 4  # range: 9..1\n"
    (rate,) = dials_of(source, "", ["LR"])
    assert (rate.value, rate.low, rate.high) == (0.5, 0.5, 1.1)
    (rate,) = dials_of(source, "", ["LR"], "NEW = 3\nLR = 0.7  # range: 0.2..0.9\n")
    assert (rate.value, rate.low, rate.high) == (0.5, 0.2, 0.9)
    with pytest.raises(Refused, match="range of DEPTH"):
        dials_of(source, "")
    assert [one.key for one in dials_of(source, "", edited="DEPTH = 4  # range: none\n")] == ["LR"]


def test_dials_keep_zero_momenta_and_batches_where_they_may_be() -> None:
    source = "X = 0.0  # range: -1..1\nMUON_MOMENTUM = 0.95\nDEVICE_BATCH_SIZE = 4\n"
    x, momentum, batch = dials_of(source, "")
    assert x.place(0.0) == 0.5 and x.at(0.5) == 0.0
    assert momentum.low > 0.8 and momentum.high < 1.0 and momentum.at(momentum.place(0.95)) == 0.95
    assert {batch.at(place / 10) for place in range(11)} == {1, 2, 4, 8, 16}


@pytest.mark.parametrize("scale", ["", "cpu", "tiny"])
def test_dials_of_train_py_always_make_a_schedule(scale: str) -> None:
    high = {dial.key: dial.high for dial in dials_of((night.ROOT / "train.py").read_text(), scale)}
    assert high["WARMUP_RATIO"] + high["WARMDOWN_RATIO"] <= 1


def test_dials_name_an_unknown_constant() -> None:
    with pytest.raises(Refused, match=r"RATE must be numeric.*known: .*LR"):
        dials_of(SOURCE, "", ["RATE"])


TWO = [Dial("LR", 0.5, 0.0, 1.0), Dial("IDLE", 0.5, 0.0, 1.0)]


def bowl(place: tuple[float, ...]) -> float:
    return 1.0 + (place[0] - 0.8) ** 2


def bowl_samples(count: int, sigma: float) -> list[Sample]:
    rng = np.random.default_rng(1)
    places = [(0.5, 0.5), *(tuple(rng.random(2)) for _ in range(count))]
    return [Sample(place, bowl(place) + sigma * rng.standard_normal()) for place in places]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_suggest_finds_the_better_place_and_the_dial_that_matters(sampler: str) -> None:
    found = suggest(TWO, bowl_samples(14, 0.002), 0.002, 3, sampler, 0)  # type: ignore[arg-type]
    assert len(found.suggestions) == 3 and found.importance["LR"] > 0.9
    first = found.suggestions[0]
    assert abs(first.values["LR"] - 0.8) < 0.12
    assert first.gain == pytest.approx(0.09, abs=0.03) and first.error < 0.03
    assert len({tuple(one.values.items()) for one in found.suggestions}) == 3


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
@pytest.mark.parametrize("count", [0, 2, 3, 8, 9])
def test_suggest_has_an_answer_from_the_first_run_on(sampler: str, count: int) -> None:
    crash = Sample((0.9, 0.9), None)
    assert suggest(TWO, [*bowl_samples(count, 0.002), crash], 0.002, 1, sampler, 0).suggestions  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_suggest_turns_few_dials_while_little_is_known(sampler: str) -> None:
    many = [Dial(name, 0.5, 0.0, 1.0) for name in "ABCDEFGHIJKL"]
    start = Sample((0.5,) * len(many), 1.0)
    few = candidates(many, [start], sampler, np.random.default_rng(0))  # type: ignore[arg-type]
    assert len(few) > 50 and set(num_turned(few)) <= {1, 2, 3, 4}
    rng = np.random.default_rng(0)
    later = [start, *(Sample(tuple(rng.random(len(many))), 1.0 + rng.random()) for _ in range(30))]
    found = candidates(many, later, sampler, np.random.default_rng(0))  # type: ignore[arg-type]
    assert max(num_turned(found)) == len(many)


def num_turned(pool: np.ndarray) -> list[int]:
    """How many dials each candidate takes away from the middle."""
    return [int(count) for count in (pool != 0.5).sum(1)]


def test_suggest_is_the_same_for_the_same_seed() -> None:
    results = [suggest(TWO, bowl_samples(6, 0.002), 0.002, 2, "tpe", 7) for _ in range(2)]
    assert results[0] == results[1]


def test_suggest_keeps_away_from_crashes() -> None:
    crashed = [Sample((0.7 + 0.05 * i, 0.1 * j), None) for i in range(6) for j in range(0, 11, 2)]
    samples = [*bowl_samples(14, 0.002), *crashed]
    for one in suggest(TWO, samples, 0.002, 3, "tpe", 0).suggestions:
        assert one.values.get("LR", 0.5) < 0.72 and one.p_runs >= 0.5


def test_model_takes_a_lucky_run_for_what_it_is() -> None:
    quiet, loud = 0.001, 0.05
    places = [(0.1 * i,) for i in range(10)]
    samples = [Sample(place, 1.0 - (0.1 if place == places[3] else 0.0)) for place in places]
    here = np.array([places[3]])
    believing, doubting = (Model(samples, sigma).predict(here)[0][0] for sigma in (quiet, loud))
    assert believing < 0.94 and doubting > believing + 0.02


def test_model_says_how_sure_it_is_of_a_difference() -> None:
    model = Model([Sample((0.5,), 1.0, 4), Sample((0.55,), 0.99)], 0.01)
    near, far = (model.difference(np.array([0.5]), np.array([end]))[1] for end in (0.55, 1.0))
    assert 0 < near < far and math.isfinite(far)


# --- the verb, on real records


def history(one: night.Night) -> None:
    for number, value in enumerate((0.9, 0.7, 0.4, 0.3)):
        one.attempt(f"rate {number}", LR=value)
    one.attempt("too much", DEPTH=5, MODE="memory")


def test_samples_are_the_attempts_that_changed_numbers_alone(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    one.attempt("rate", LR=0.9)
    one.attempt("crash", LR=3.0, MODE="memory")
    one.edit(LR=0.7)
    path = one.root / "train.py"
    path.write_text(path.read_text().replace("def main() -> None:", "def main() -> None:\n    print('new')\n"))
    one.run("try", "-m", "structure")
    campaign = Campaign.open(one.root, one.env, lambda text: None)
    champion = campaign.champion(campaign.attempts())
    turned = dials_of(campaign.repo.show(champion.commit, "train.py"), "", ["LR", "DEPTH"])
    samples = samples_of(campaign, turned)
    assert len(samples) == 3 and [one.loss is None for one in samples] == [False, False, False]  # 3.0 is out of range


def test_samples_rank_what_led_to_the_champion_as_it_was_measured(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    for number, value in enumerate((0.9, 0.7, 0.4)):
        one.attempt(f"rate {number}", "--once", LR=value)
    assert [row["status"] for row in one.rows()] == ["keep"] * 4
    campaign = Campaign.open(one.root, one.env, lambda text: None)
    champion = campaign.champion(campaign.attempts())
    (dial,) = dials_of(campaign.repo.show(champion.commit, "train.py"), "", ["LR"])
    samples = samples_of(campaign, [dial])
    by_value = {dial.at(sample.places[0]): sample.loss or 0.0 for sample in samples}
    assert list(by_value) == [0.4, 1.0, 0.9, 0.7] and by_value[0.4] < by_value[0.7] < by_value[0.9] < by_value[1.0]


def test_suggest_verb_tells_and_applies(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    history(one)
    told = one.run("suggest", "--only", "LR,DEPTH").stdout
    assert "importance: " in told and "predicted gain" in told and len(told.splitlines()) <= 12
    facts = json.loads(one.run("suggest", "--only", "LR,DEPTH", "--json", "-k", "2").stdout)
    assert len(facts["suggestions"]) == 2 and set(facts["ranges"]) == {"LR", "DEPTH"}
    done = one.run("suggest", "--only", "LR,DEPTH", "--apply")
    wanted = facts["suggestions"][0]["values"]
    assert wanted
    for key, value in wanted.items():
        assert f"\n{key} = {value!r}\n" in one.text("train.py")
    assert "try -m" in done.stderr
    again = one.run("suggest", "--only", "LR,DEPTH", "--apply", code=1)
    assert "have edits" in again.stderr
    assert one.run("try", "-m", "suggested").returncode == 0
