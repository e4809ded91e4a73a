"""Dead ends, plateau and regression, from records alone."""

import math

import pytest

from autoresearch import signals
from autoresearch.records import Attempt, Crash, CrashKind, State, Status, Trial
from autoresearch.verdict import Decision, Noise, Verdict

KNOWN = Noise(0.001, math.inf)


def past(
    number: int, status: str, changed: tuple[str, ...] = (), gain: float = 0.0, kind: CrashKind | None = None
) -> Attempt:
    """A closed attempt."""
    decision: Decision = "keep" if status == "keep" else "discard"
    p_better = 0.999 if gain > 0 else 0.1
    verdict = Verdict(decision, -gain, 5e-4, 7e-4, 1, 2, p_better, "noise", "") if not kind else None
    crash = Crash(kind=kind, why="why") if kind else None
    return Attempt(
        tag="t", id=number, state=State.CLOSED, commit=f"c{number}", parent="p", description="d", status=Status(status),
        changed=list(changed), verdict=verdict, trials=[Trial(commit=f"c{number}", seed=1, folder="f", crash=crash)],
    )  # fmt: skip


def test_dead_end_after_three_losses_in_one_direction():
    lost = [
        past(2, "discard", ("LR",)),
        past(3, "crash", ("LR", "DEPTH"), kind="diverged"),
        past(4, "discard", ("LR",)),
    ]
    assert signals.dead_end(lost[:2]) == ""
    line = signals.dead_end(lost)
    assert "0002, 0003, 0004" in line and "LR" in line and "DEPTH" not in line
    assert signals.dead_end([*lost, past(5, "keep", ("LR",), 0.01)]) == ""
    assert signals.dead_end([past(2, "discard", ("A",)), past(3, "discard", ("B",)), past(4, "discard", ("A",))]) == ""


def test_what_was_cut_off_counts_neither_way():
    lost = [past(number, "discard", ("LR",)) for number in (2, 3)]
    cut = past(4, "crash", ("LR",), kind="interrupted")
    assert signals.is_cut_off(cut) and not signals.is_cut_off(lost[0])
    assert signals.directives([*lost, cut], 5e-4) == []
    assert "0002, 0003, 0005" in signals.directives([*lost, cut, past(5, "discard", ("LR",))], 5e-4)[0]


@pytest.mark.parametrize(
    ("noise", "gain", "is_flat"), [(1e-4, 0.0009, True), (1e-4, 0.0011, False), (0.01, 0.009, True)]
)
def test_plateau_after_five_attempts_within_noise_or_a_thousandth(noise, gain, is_flat):
    attempts = [past(1, "keep"), *(past(number, "discard") for number in range(2, 6)), past(6, "keep", (), gain)]
    assert ("plateau: 5 attempts" in signals.plateau(attempts, noise)) == is_flat
    assert signals.plateau(attempts[:-1], noise) == ""


def test_plateau_begins_anew_after_a_backtrack_and_ignores_the_sign_of_a_simplification():
    attempts = [past(number, "discard") for number in range(2, 7)]
    assert signals.plateau([*attempts, past(7, "backtrack")], 5e-4) == ""
    worse = past(7, "keep", (), -0.01)  # kept as simpler, though it lost
    assert signals.gain(worse) == 0.0


def test_regression_names_the_step_to_go_back_to():
    steps = [signals.Step("0001", [1.0, 1.0]), signals.Step("0002", [0.98]), signals.Step("0003", [0.97, 0.999, 0.998])]
    line = signals.regression(steps, 0.001)
    assert "backtrack 0002" in line and "0003 measures 0.0090 worse" in line
    assert signals.regression(steps, 0.01) == ""  # within noise
    assert signals.regression(steps[:2], 0.001) == "" and signals.regression(steps[:1], 0.001) == ""


def test_drift_names_score_and_throughput():
    history = [signals.Measured(1.0, 1000.0), signals.Measured(1.001, 1010.0)]
    assert signals.drift(history, signals.Measured(1.0, 1000.0), KNOWN) == ""
    assert "score moved by +0.0055" in signals.drift(history, signals.Measured(1.006, 1000.0), KNOWN)
    assert "tokens/s moved by −5.5%" in signals.drift(history, signals.Measured(1.0, 950.0), KNOWN)


def test_drift_needs_a_history_and_known_throughput():
    assert signals.drift([], signals.Measured(9.0, 1.0), KNOWN) == ""
    assert signals.drift([signals.Measured(1.0, 0.0)], signals.Measured(1.0, 900.0), KNOWN) == ""


def test_throughput_of_a_restless_machine_drifts_beyond_its_own_spread():
    history = [signals.Measured(1.0, speed) for speed in (1000.0, 1100.0, 1050.0)]
    assert signals.drift(history, signals.Measured(1.0, 960.0), KNOWN) == ""
    assert "tokens/s moved by −23.8%" in signals.drift(history, signals.Measured(1.0, 800.0), KNOWN)


def test_throughput_is_judged_by_what_repeats_of_any_commit_vary_by():
    slow, fast = signals.Measured(1.0, 900.0), signals.Measured(1.0, 1100.0)
    spread = signals.pace_spread([[slow, fast], [slow], [], [signals.Measured(1.0, 0.0), fast]])
    assert spread == pytest.approx(0.1 * 2**0.5)
    assert signals.pace_spread([]) == signals.pace_spread([[slow]]) == 0.0
    once = [signals.Measured(1.0, 1000.0)]
    assert "tokens/s moved" in signals.drift(once, signals.Measured(1.0, 900.0), KNOWN)
    assert signals.drift(once, signals.Measured(1.0, 900.0), KNOWN, spread) == ""
    assert "tokens/s moved" in signals.drift(once, signals.Measured(1.0, 500.0), KNOWN, spread)


def test_uneven_names_the_speeds_of_the_same_code():
    runs = [signals.Measured(1.0, 0.0), signals.Measured(1.0, 5600.0), signals.Measured(1.1, 4300.0)]
    assert "trained at 4,300 to 5,600 tokens/s" in signals.uneven(runs)
    assert signals.uneven(runs[:2]) == signals.uneven([]) == ""
    assert signals.uneven([signals.Measured(1.0, 1000.0), signals.Measured(1.0, 1090.0)]) == ""


def test_champion_is_stale_after_the_set_number_of_attempts():
    assert not signals.is_champion_stale(signals.CHAMPION_CHECK_ATTEMPTS - 1)
    assert signals.is_champion_stale(signals.CHAMPION_CHECK_ATTEMPTS)
