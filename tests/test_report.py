"""autoresearch/report: what is read of a night, what is told of it, and what becomes of damage."""

import json
import math
import shutil
from pathlib import Path

import morning
import pytest
from telling import NOW, UPSTREAM, edit, ledger_story, source_in, story_in

from autoresearch.errors import Damaged, Refused
from autoresearch.records import Attempt, State, Status, Trial
from autoresearch.report import chart, headline, page, sources

# --- what is told


def test_story_has_every_attempt_in_order_with_the_champion_of_the_records(long_night: morning.Maker) -> None:
    told = story_in(long_night.root)
    assert [entry.name for entry in told.entries] == [one.name for one in long_night.attempts]
    assert [entry.kind for entry in told.entries] == [str(one.status) for one in long_night.attempts]
    assert told.champion and told.champion.attempt == long_night.champion
    assert sum(told.counts.values()) == 40
    assert not told.found.problems
    levels = [entry.level for entry in told.entries]
    assert levels[0] == pytest.approx(told.entries[0].score) and levels[-1] == pytest.approx(
        long_night.truth, abs=0.002
    )
    assert all(entry.score is None for entry in told.entries if entry.kind == "crash")


def test_story_share_of_training_is_training_seconds_over_wall_time(root: Path) -> None:
    shutil.rmtree(root / "results" / morning.TAG)
    ledger = morning.Ledger(root, morning.TAG)
    runs = [
        Trial(commit="a" * 40, seed=1, folder="", score=1.0, metrics=morning.Metrics(training_seconds=900))
        for _ in range(2)
    ]
    first = Attempt(
        tag=morning.TAG, id=1, state=State.CLOSED, commit="a" * 40, parent="a" * 40, description="baseline",
        trials=runs, status=Status.KEEP, started="2026-11-20T20:00:00+00:00", closed="2026-11-20T20:50:00+00:00",
    )  # fmt: skip
    ledger.write(first)
    again = [Trial(commit="a" * 40, seed=2, folder="", score=1.0, metrics=morning.Metrics(training_seconds=900))]
    update = {"id": 2, "trials": [], "champion_trials": again, "status": Status.DISCARD, "previous": ledger.digest(1)}
    times = {"started": "2026-11-20T21:00:00+00:00", "closed": "2026-11-20T23:00:00+01:00"}
    ledger.write(first.model_copy(update=update | times))
    told = story_in(root)
    assert told.hours == pytest.approx(2.0) and told.training_frac == pytest.approx(2700 / 7200)


def test_kept_changes_come_in_order_with_what_ablate_measured(long_night: morning.Maker) -> None:
    told = story_in(long_night.root)
    kept = [one for one in long_night.attempts[1:] if one.status == Status.KEEP]
    assert len(kept) > 2 and [one.entry.attempt for one in told.kept] == kept
    assert {one.carries for one in told.kept} == {True, False}
    for one in told.kept:
        assert one.again.startswith("−") and " ± 0.0011" in one.again and one.why and one.lesson
        assert one.gain in headline.verdict.headline(one.entry.attempt.verdict)  # type: ignore


def test_directions_in_vain_are_those_that_no_keep_changed(long_night: morning.Maker) -> None:
    told = story_in(long_night.root)
    kept = {part for one in long_night.attempts if one.status == Status.KEEP for part in one.changed}
    lost = [one for one in long_night.attempts if one.status in (Status.DISCARD, Status.CRASH)]
    parts = {part for one in lost for part in one.changed} - kept
    wanted = {part: sum(part in one.changed for one in lost) for part in parts}
    assert wanted and {one.name: one.tries for one in told.directions} == wanted
    assert [one.tries for one in told.directions] == sorted(wanted.values(), reverse=True)
    crashed = sum(one.status == Status.CRASH for one in long_night.attempts)
    assert told.crashes == {"out of memory": crashed} and crashed


def test_headline_is_of_fresh_seeds_and_sealed_text_once_confirmed(long_night: morning.Maker, root: Path) -> None:
    head = headline.of_story(story_in(root))
    assert head and head.state == "confirmed" and "no decision ever saw" in head.why
    found = json.loads(next((root / "results" / morning.TAG).glob("confirm-*.json")).read_text())
    assert head.change == f"{found['gains']['sealed'][0]:+.4f}".replace("-", "−") and head.half == "0.0009"
    path = next((root / "results" / morning.TAG).glob("confirm-*.json"))
    lost = [{**one, "sealed_score": None} for one in found["trials"]["champion"][:1]]
    edit(path, trials={**found["trials"], "champion": lost + found["trials"]["champion"][1:]})
    head = headline.of_story(story_in(root))
    assert head and f"the champion {found['num_runs'] - 1}." in head.why and "Scores are missing" in head.why
    edit(path, trials=found["trials"], gains={"val": [-0.0005, 0.0009]})
    head = headline.of_story(story_in(root))
    assert head and head.state == "refuted" and "does not stand up" in head.why and "validation" in head.why
    trials = found["trials"]
    edit(path, trials={**trials, "champion": [{**one, "commit": "b" * 40} for one in trials["champion"]]})
    head = headline.of_story(story_in(root))  # of another champion: it says nothing about this one
    assert head and head.state == "decided" and "confirm" in head.why and float(head.half) > 0.0002
    assert "drifted" not in head.why
    edit(root / "results" / morning.TAG / "0040.json", drift="same commit, tokens/s moved by −7.4%")
    head = headline.of_story(story_in(root))
    assert head and "drifted at 0040" in head.why


def test_headline_before_anything_was_kept_or_scored(tmp_path: Path) -> None:
    one = morning.build(tmp_path / "a", 1, num_reports=5, again=False)
    head = headline.of_story(story_in(one.root))
    assert head and head.state == "nothing" and head.change == ""
    edit(one.root / "results" / morning.TAG / "0001.json", state="running", trials=[])
    for is_alive, kind in ((True, "running"), (False, "cut off")):
        told = story_in(one.root, is_alive)
        assert headline.of_story(told) is None and [entry.kind for entry in told.entries] == [kind]
        assert "No score yet" in page.render(told, NOW)


def test_backtrack_moves_the_champion_and_drift_begins_anew(root: Path) -> None:
    told = story_in(root)
    first, second = (one.entry for one in told.kept[:2])
    assert first.attempt and second.attempt and first.level != second.level
    ledger = morning.Ledger(root, morning.TAG)
    last = told.found.attempts[-1]
    update = {"id": 41, "commit": first.attempt.commit, "status": Status.BACKTRACK, "trials": [], "verdict": None}
    ledger.write(last.model_copy(update=update | {"previous": ledger.digest(40)}))
    told = story_in(root)
    assert told.champion and told.champion.name == first.name and told.entries[-1].kind == "backtrack"
    assert told.entries[-1].score == told.entries[-1].level == pytest.approx(first.score or 0, abs=0.002)
    again = [Trial(commit=first.attempt.commit, seed=3, folder="", score=1.5)]
    update = {"id": 42, "champion_trials": again, "drift": "score moved", "previous": ledger.digest(41)}
    ledger.write(last.model_copy(update=update | {"parent": first.attempt.commit}))
    assert story_in(root).entries[-1].level == 1.5


# --- tables of any kind


def test_table_of_five_columns_without_records_is_told(tmp_path: Path) -> None:
    table = f"{UPSTREAM}aaaaaaa\t0.997900\t44.0\tkeep\tbaseline\nbbbbbbb\t0.986000\t44.2\tkeep\thalve the batch\n"
    table += "ccccccc\t0.989000\t44.2\tdiscard\tGeLU\nddddddd\t0.000000\t0.0\tcrash\tdouble the width (OOM)\n"
    told = ledger_story(tmp_path, table)
    assert [entry.level for entry in told.entries] == [0.9979, 0.986, 0.986, 0.986]
    assert told.entries[3].score is None and told.noise is None and told.hours is None
    head = headline.of_story(told)
    assert head and (head.baseline, head.champion, head.change) == ("0.9979", "0.9860", "−0.0119")
    assert head.half == "" and head.state == "written"
    html = page.render(told, NOW)
    assert "double the width (OOM)" in html and "95% interval" not in html and ">44.2<" in html


def test_table_with_artifact_size_shows_its_column(tmp_path: Path) -> None:
    header = "commit\tval_bpb\tartifact_mb\tstatus\treasoning\tdescription\n"
    told = ledger_story(tmp_path, f"{header}aaaaaaa\t1.2\t15.91\tkeep\tit fits\tbaseline\n")
    html = page.render(told, NOW)
    assert "artifact_mb" in html and ">15.91<" in html and '"why_reasoning":"it fits"' in html


def test_table_of_a_search_with_its_own_metric_and_direction(tmp_path: Path) -> None:
    columns = "commit metric_name metric_value status decision description params budget_s comparable reason"
    rows = (
        ("a1", "accuracy", "0.71", "ok", "keep", "first", "{}", "60", "true", ""),
        ("a2", "accuracy", "", "oom", "", "large", "{}", "60", "true", "no memory"),
        ("a3", "accuracy", "0.78", "ok", "keep", "more", "{}", "60", "true", ""),
        ("a4", "accuracy", "0.75", "ok", "discard", "less", "{}", "60", "true", ""),
        ("a5", "accuracy", "nan", "rejected", "", "", "{'lr': 1}", "60", "", ""),
    )
    table = "".join("\t".join(row) + "\n" for row in (columns.split(), *rows))
    told = ledger_story(tmp_path, table, "accuracy", "max")
    assert [entry.kind for entry in told.entries] == ["keep", "crash", "keep", "discard", "crash"]
    assert told.champion and told.champion.commit == "a3" and told.entries[-1].level == 0.78
    assert told.entries[4].description == "{'lr': 1}"
    head = headline.of_story(told)
    assert head and head.change == "+0.070" and "higher is better" in page.render(told, NOW)
    plain = table.replace("metric_value", "accuracy").replace("\taccuracy\t0", "\tx\t0")
    assert ledger_story(tmp_path, plain, "accuracy", "max").champion


def test_table_without_the_metric_or_the_file_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="name one of commit, score, status with --metric"):
        ledger_story(tmp_path, "commit\tscore\tstatus\na\t1\tkeep\n")
    with pytest.raises(Refused, match="no file"):
        sources.of_ledger(tmp_path / "none.tsv", "", "min", None)
    with pytest.raises(Damaged, match="must name the columns commit, status"):
        ledger_story(tmp_path, "a\tb\n1\t2\n")
    assert "No attempt yet" in page.render(ledger_story(tmp_path, UPSTREAM), NOW)


def test_rows_of_equal_commits_measure_the_noise(tmp_path: Path) -> None:
    rows = "aaaaaaa\t1.000\t1\tkeep\tbaseline\naaaaaaa\t1.002\t1\tdiscard\tthe same, seed 43\n"
    told = ledger_story(tmp_path, UPSTREAM + rows)
    assert told.noise and told.noise.sigma == pytest.approx(math.sqrt((3 * 0.0005005**2 + 2e-6) / 4), rel=1e-3)


def test_rows_by_hand_among_records_are_shown_in_their_place_and_never_compared(root: Path) -> None:
    table = root / "results.tsv"
    lines = table.read_text().splitlines()
    lines.insert(10, "abcdef1\t0.100000\t1.0\tkeep\tmine\t")
    table.write_text("\n".join(lines) + "\n")
    told = story_in(root)
    assert len(told.entries) == 41 and told.entries[9].kind == "by hand" and told.entries[9].score == 0.1
    assert told.champion and told.champion.score and told.champion.score > 0.9
    low, _ = chart.bounds(told.entries, 1, 0.0005)
    assert low > 0.9


# --- damage and every state in between


def test_damage_is_named_on_the_page_and_ends_nothing(root: Path) -> None:
    before = story_in(root).entries
    folder = root / "results" / morning.TAG
    (folder / "0007.json").write_text('{"tag": "nov20", "id": 7, "sta')
    edit(folder / "0011.json", description="nicer than it was")
    (folder / "0015.json").write_bytes(b"\xff\xfe\x00")
    (folder / "pins.json").write_text("{}")
    next(folder.glob("ablate-*.json")).write_text("[]")
    with open(root / "results.tsv", "a") as file:
        file.write("abc\tdef\n")
    (root / "autoresearch.toml").write_text("nonsense = 1\n")
    told = story_in(root)
    damaged = [entry.name for entry in told.entries if entry.kind == "damaged"]
    assert damaged == ["0007", "0015", "row 42"] and len(told.entries) == 41
    assert told.entries[6].description == before[6].description and told.entries[6].score is None
    html = page.render(told, NOW)
    changed = "0011.json was changed after attempt 0012"
    for words in (changed, "pins.json: ", "ablate-", "nonsense", "the record cannot be read"):
        assert words in html, words
    (root / "results.tsv").write_text("no header\n")
    (root / "notes.md").unlink()
    assert "line 1 must name the columns" in page.render(story_in(root), NOW)
    shutil.rmtree(root / "results" / morning.TAG)
    (root / "results" / morning.TAG).mkdir()
    assert "No attempt yet" in page.render(story_in(root), NOW)


@pytest.mark.parametrize("state", list(State))
def test_every_state_of_the_last_attempt_is_told(root: Path, state: State) -> None:
    path = root / "results" / morning.TAG / "0040.json"
    decided = state in (State.DECIDED, State.CLOSED)
    trials = [] if state == State.STARTED else json.loads(path.read_text())["trials"][:1]
    edit(path, state=state, trials=trials, **({} if decided else {"status": None, "verdict": None, "analysis": None}))
    for is_alive in (True, False):
        told = story_in(root, is_alive)
        kind = told.entries[-1].kind
        assert kind == (json.loads(path.read_text())["status"] if decided else "running" if is_alive else "cut off")
        html = page.render(told, NOW)
        assert ("attempt 0040, run" in html) == (is_alive and not decided)


def test_tag_that_was_never_begun_is_refused_with_the_command(root: Path) -> None:
    morning._git(root, "switch", "-q", "-c", "autoresearch/other")
    with pytest.raises(Refused, match="setup other"):
        source_in(root)
    morning._git(root, "switch", "-q", "-c", "main")
    with pytest.raises(Refused, match="autoresearch setup TAG"):
        source_in(root)


def test_table_and_notes_of_a_tag_that_was_put_aside_are_found(root: Path) -> None:
    folder = root / "results" / morning.TAG
    for name in ("results.tsv", "notes.md"):
        shutil.move(root / name, folder / name)
    (root / "results" / ".tag").write_text("nov21\n")
    (root / "results.tsv").write_text(UPSTREAM + "fffffff\t0.5\t1\tkeep\tof another tag\n")
    found = sources.read(source_in(root))
    assert len(found.rows) == 40 and "Slower matrices" in found.notes
    beside = sources.read(sources.of_ledger(folder / "results.tsv", "", "min", None))
    assert beside.attempts == found.attempts and beside.pins == found.pins
