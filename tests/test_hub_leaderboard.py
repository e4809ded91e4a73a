"""autoresearch/hub/leaderboard.py: who leads, and whether that is more than luck; and the leaderboard over HTTP."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hubs import Live, serving
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.hub.leaderboard import boards, quantile
from autoresearch.verdict import probability_below

SIGMA = 0.0004


def rows(*told: tuple[str, str, float], platform: str = "H100", regime: str = "") -> list[dict[str, Any]]:
    """Results that count: code, agent, value."""
    return [
        {
            "id": n, "agent_id": agent, "commit": code, "train_blob": None, "platform": platform, "regime": regime,
            "value": value, "description": code,
        }
        for n, (code, agent, value) in enumerate(told, 1)
    ]  # fmt: skip


def runs(code: str, agent: str, *values: float) -> list[tuple[str, str, float]]:
    return [(code, agent, value) for value in values]


BASELINE = runs("0000000", "ann", 0.9979, 0.9983, 0.9976, 0.9981)


def entries(*told: tuple[str, str, float], **more: Any) -> dict[str, dict[str, Any]]:
    """The only board of these results, by code."""
    [board] = boards(rows(*told), **more)
    return {entry["commit"]: entry for entry in board["entries"]}


def test_leaderboard_tells_a_group_by_its_numbers():
    [board] = boards(rows(*BASELINE, *runs("1111111", "bob", 0.9900, 0.9910)))
    entry = board["entries"][0]
    assert (board["platform"], board["num_results"], board["num_groups"]) == ("H100", 6, 2)
    assert (entry["rank"], entry["commit"], entry["n"], entry["best"]) == (1, "1111111", 2, 0.9900)
    assert entry["mean"] == pytest.approx(0.9905) and entry["sd"] == pytest.approx(math.sqrt(0.5) * 1e-3)
    half = quantile(0.975, board["degrees_of_freedom"]) * board["sigma"] / math.sqrt(2)
    assert (entry["low"], entry["high"]) == (pytest.approx(0.9905 - half), pytest.approx(0.9905 + half))
    assert (entry["first_result"], entry["last_result"], entry["agents"]) == (5, 6, ["bob"])


def test_leaderboard_ranks_three_good_runs_above_one_lucky_one():
    found = entries(*BASELINE, *runs("1111111", "bob", 0.9900), *runs("2222222", "bob", 0.9901, 0.9902, 0.9900))
    assert found["1111111"]["mean"] < found["2222222"]["mean"]
    assert (found["2222222"]["rank"], found["1111111"]["rank"]) == (1, 2)


def test_leaderboard_calls_record_what_clears_the_noise_and_candidate_what_does_not():
    clear, unclear = runs("1111111", "bob", 0.9900, 0.9903), runs("2222222", "cas", 0.9897)
    found = entries(*BASELINE, *clear, *unclear, *runs("3333333", "cas", 0.9950))
    assert {code: entry["label"] for code, entry in found.items()} == {
        "0000000": "baseline", "1111111": "record", "2222222": "candidate", "3333333": "",
    }  # fmt: skip
    record, candidate = found["1111111"], found["2222222"]
    assert record["against"] == "0000000" and record["gain"] > record["needed"] > 0
    assert candidate["against"] == "1111111" and 0 < candidate["gain"] < candidate["needed"]
    assert found["3333333"]["against"] is found["3333333"]["gain"] is None


def test_leaderboard_has_no_record_until_something_was_run_twice():
    single = (*runs("0000000", "ann", 0.99), *runs("1111111", "bob", 0.98), *runs("2222222", "cas", 0.5))
    [board] = boards(rows(*single))
    assert (board["sigma"], board["degrees_of_freedom"]) == (None, 0)
    assert [(one["commit"][0], one["label"], one["low"], one["high"], one["needed"]) for one in board["entries"]] == [
        ("2", "candidate", None, None, None), ("1", "candidate", None, None, None), ("0", "baseline", None, None, None),
    ]  # fmt: skip
    assert board["entries"][1]["gain"] == pytest.approx(0.01)
    [board] = boards(rows(*single, *runs("0000000", "bob", 0.9901)))
    assert board["sigma"] > 0 and board["record"]["commit"] == "2222222" and board["record"]["low"] < 0.5


def test_leaderboard_makes_a_candidate_a_record_once_it_was_run_again():
    less = runs("1111111", "bob", 0.9972)
    assert entries(*BASELINE, *less)["1111111"]["label"] == "candidate"
    assert entries(*BASELINE, *less, *runs("1111111", "cas", 0.9968, 0.9971, 0.9969))["1111111"]["label"] == "record"


def test_leaderboard_names_the_holder_of_the_record_whatever_its_rank():
    many = [run for n in range(1, 9) for run in runs(f"{n:07x}", "bob", 0.9978)]
    [board] = boards(rows(*BASELINE, *many), limit=2)
    assert len(board["entries"]) == 2 and board["num_groups"] == 9
    assert (board["record"]["commit"], board["record"]["label"]) == ("0000000", "baseline")


def test_leaderboard_of_equal_codes_has_a_false_record_in_at_most_one_of_twenty():
    chance, false = random.Random(7), 0
    for _ in range(200):
        told = [(f"{n:07x}", "ann", chance.gauss(0.99, SIGMA)) for n in range(100)]
        told += [(f"{n:07x}", "bob", chance.gauss(0.99, SIGMA)) for n in range(20)]
        [board] = boards(rows(*told))
        false += board["record"]["label"] != "baseline"
    assert false <= 10, f"{false} of 200 boards"


def test_leaderboard_finds_a_gain_of_a_good_step_among_many_tries():
    """Three runs each of a code that is five times the noise better, after 300 others without effect."""
    chance, found = random.Random(8), 0
    for _ in range(20):
        told = [("0000000", "ann", chance.gauss(0.99, SIGMA)) for _ in range(6)]
        told += [(f"{n:07x}", "bob", chance.gauss(0.991, SIGMA)) for n in range(1, 300)]
        told += [("fffffff", agent, chance.gauss(0.988, SIGMA)) for agent in ("bob", "cas", "dan")]
        [board] = boards(rows(*told))
        found += board["record"]["commit"] == "fffffff"
    assert found >= 18


def test_leaderboard_trusts_what_two_agents_measured():
    found = entries(
        *BASELINE,
        *runs("1111111", "bob", 0.990, 0.991), *runs("2222222", "bob", 0.980), *runs("2222222", "cas", 0.984),
        *runs("3333333", "bob", 0.900), *runs("3333333", "cas", 0.980),
        *runs("4444444", "bob", 0.900), *runs("4444444", "cas", 0.980), *runs("4444444", "dan", 0.981),
    )  # fmt: skip
    assert [found[str(n) * 7]["trust"] for n in range(1, 5)] == [
        "self-reported", "replicated", "disputed", "replicated",
    ]  # fmt: skip


def test_leaderboard_ranks_a_disputed_score_by_its_scatter():
    steady = [run for n in range(1, 7) for run in runs(f"{n:07x}", "ann", 0.9900 + n / 1e4, 0.9903 + n / 1e4)]
    found = entries(*BASELINE, *steady, *runs("fffffff", "liar", 0.900), *runs("fffffff", "bob", 0.991))
    assert found["fffffff"]["mean"] < 0.95 and found["fffffff"]["rank"] == len(found)
    assert found["fffffff"]["label"] == "candidate"


def test_leaderboard_keeps_platforms_and_regimes_apart():
    told = rows(*BASELINE) + rows(("1111111", "bob", 1.5), platform="M4") + rows(("1111111", "bob", 0.5), regime="cpu")
    assert [(board["platform"], board["regime"], board["num_results"]) for board in boards(told)] == [
        ("H100", "", 4), ("H100", "cpu", 1), ("M4", "", 1),
    ]  # fmt: skip


def test_leaderboard_groups_by_train_py_else_by_commit():
    told = rows(
        ("1111111aa", "ann", 0.99), ("1111111", "bob", 0.98), ("2222222", "ann", 0.97), ("3333333", "bob", 0.96)
    )
    for row in told[2:]:
        row["train_blob"] = "blob"
    [board] = boards(told)
    assert {(entry["commit"], entry["train_blob"], entry["n"]) for entry in board["entries"]} == {
        ("1111111aa", None, 2), ("2222222", "blob", 2),
    }  # fmt: skip


def test_leaderboard_of_no_results_is_empty_and_of_one_has_a_baseline():
    assert boards([]) == []
    assert entries(("0000000", "ann", 0.0))["0000000"]["label"] == "baseline"


@given(
    st.lists(
        st.tuples(st.sampled_from(["aaaaaaa", "bbbbbbb", "ccccccc"]), st.just("ann"), st.floats(-1e9, 1e9)), min_size=1
    )
)
def test_leaderboard_of_a_maximised_metric_mirrors_that_of_a_minimised_one(told):
    [low] = boards(rows(*told))
    [high] = boards(rows(*((code, agent, -value) for code, agent, value in told)), "max")
    assert [(one["commit"], one["label"], one["best"]) for one in low["entries"]] == [
        (one["commit"], one["label"], -one["best"]) for one in high["entries"]
    ]


@given(st.floats(0.5, 0.9999999), st.integers(1, 300))
def test_leaderboard_quantile_inverts_the_distribution(probability, degrees_of_freedom):
    t = quantile(probability, degrees_of_freedom)
    assert probability_below(t, degrees_of_freedom) == pytest.approx(probability, abs=1e-9)


# Over HTTP


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory):
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


def test_hub_leaderboard_follows_every_result(live: Live) -> None:
    agent = live.join("leader")
    assert agent.get("/api/leaderboard").json() == []
    agent.post("/api/results", commit="0000000", platform="H100", value=0.99)
    [board] = agent.get("/api/leaderboard").json()
    assert (board["platform"], board["metric"], board["direction"], board["num_results"]) == (
        "H100",
        "val_bpb",
        "min",
        1,
    )
    agent.post("/api/results", commit="0000000", platform="H100", value=0.98)
    agent.post("/api/results", commit="0000001", platform="h100", value=0.97)
    agent.post("/api/results", commit="0000002", platform="A100", value=0.96)
    agent.post("/api/results", commit="0000003", platform="A100")
    agent.post("/api/results", commit="0000003", platform="A100", value=-1)
    a100, h100 = agent.get("/api/leaderboard").json()
    assert (a100["num_results"], h100["num_results"], h100["num_groups"]) == (1, 3, 2)
    assert agent.get("/api/leaderboard", platform="h100").json() == [h100]
    assert len(agent.get("/api/leaderboard", limit=1, platform="H100").json()[0]["entries"]) == 1


def test_hub_leaderboard_ranks_another_metric_as_its_reader_asks(live: Live) -> None:
    agent = live.join("other")
    for n, value in enumerate((0.5, 0.7)):
        agent.post("/api/results", commit=f"000000{n}", platform="H100", value=value, metric="accuracy")

    def first(direction: str) -> float:
        return agent.get("/api/leaderboard", metric="accuracy", direction=direction).json()[0]["entries"][0]["mean"]

    assert (first("min"), first("max")) == (0.5, 0.7)
    assert agent.get("/api/leaderboard", metric="unknown").json() == []
    assert agent.get("/api/leaderboard", direction="up").status_code == 400


def test_hub_leaderboard_counts_a_post_and_leaves_out_spare_runs(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent = live.join("poster")
        agent.post("/api/channels", name="results")
        for n in range(5):
            line = f"commit:a1b2c3d platform:H100 val_bpb:0.99{n}0 vram_gb:44.2 | seed {n}"
            agent.post("/api/channels/results/posts", content=line)
        [board] = agent.get("/api/leaderboard").json()
        assert board["entries"][0]["n"] == live.hub.limits.replicates == 3
