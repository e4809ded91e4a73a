"""What the record says of who was confined: the trial, and later the player of its submission."""

from pathlib import Path

import night

ESCAPES = """    try:
        Path({place!r}, f"escaped-{{DEPTH}}").touch()
    except OSError:
        pass
"""
BUILD = '    """Stands in for the referee\'s way to the model."""\n'


def escaping(one: night.Night) -> Path:
    """Edit the trainer so that its player writes escaped-DEPTH into a folder that is returned, if nothing stops it."""
    place, path = one.root / "results", one.root / "train.py"
    text = path.read_text()
    assert BUILD in text
    path.write_text(text.replace(BUILD, ESCAPES.format(place=str(place))))
    return place


def test_try_without_a_sandbox_says_so_in_the_record(tmp_path):
    one = night.begun(tmp_path, own=True)
    place = escaping(one)
    one.edit(LR=0.5)
    out = one.run("try", "-m", "open", "--no-sandbox").stdout
    record = one.record(2)
    assert record["status"] == "keep" and (place / "escaped-4").exists()
    assert (record["trials"][0]["sealed"], record["trials"][0]["network"]) == ("open", "open")
    assert "note: nothing confines a trial (sealed: open)" in out
    assert any("sealed: open" in notice for notice in record["notices"])


def test_player_of_a_sealed_trial_is_confined_though_the_next_command_confines_nothing(tmp_path):
    one = night.begun(tmp_path, own=True, AUTORESEARCH_CHECKPOINT_STEPS="30")
    sealed = one.record(1)["trials"][0]["sealed"]
    place = escaping(one)
    one.edit(LR=0.5)
    first = one.start("try", "-m", "sealed")
    night.until((one.root / "results/t1/0002/1/score.log").exists)
    first.kill()
    first.communicate()
    later = night.Night(one.root)
    later.edit(DEPTH=3)
    assert "0002 was cut off" in later.run("try", "-m", "open", "--no-sandbox").stderr
    run = one.record(2)["trials"][0]
    assert run["score"] and run["sealed"] == sealed, "the record says what was true of trial and player"
    assert (place / "escaped-4").exists() == (sealed == "open")
    assert one.record(3)["trials"][0]["sealed"] == "open" and (place / "escaped-3").exists()
