"""What a player sees of validation text must not reach a later process: it leaves no trace, wherever it writes."""

import json

import night
import pytest
from boxes import SHARED
from solo import Solo, with_passage

SPRAY = """
import glob
import signal

MARK = "mark-of-a-player-{name}"


def places():
    names = "HOME TMPDIR XDG_CACHE_HOME TORCHINDUCTOR_CACHE_DIR TRITON_CACHE_DIR AUTORESEARCH_TRIAL_DIR"
    found = [os.environ[name] for name in names.split() if name in os.environ]
    found += [".", "..", "../..", "../submission", "../play", "/dev/shm", "/tmp", "/var/tmp", "/run", "/run/lock"]
    return [*found, *(os.path.dirname(place) for place in found[:5])]


def leave():
    for place in places():
        try:
            os.makedirs(place, exist_ok=True)
            Path(place, MARK).write_text("what validation text says")
        except OSError:
            pass
    assert find(), "there is no place to write to"


def find():
    return [place for place in places() if os.path.exists(os.path.join(place, MARK))]


"""
BUILD = '    """Stands in for the referee\'s way to the model."""\n'
MAIN = '    """Train."""\n'
KILLED = "    if not find():\n        leave()\n        os.kill(os.getpid(), signal.SIGKILL)\n"
LOOKS = '    print("found", find(), flush=True)\n    assert not find()\n'


def spray(name: str, build: str, main: str = "") -> str:
    """A trainer whose player, or which itself, leaves marks or looks for them."""
    source = with_passage("def build_model", SPRAY.replace("{name}", name) + "def build_model")
    return with_passage(MAIN, MAIN + main, with_passage(BUILD, build, source))


@pytest.fixture(params=["bubblewrap", "landlock"])
def solo(request, tmp_path):
    yield Solo(tmp_path / "repo", request.param)
    for path in SHARED.glob(f"mark-of-a-player-{tmp_path.name}"):
        path.unlink()


def test_second_try_of_a_killed_player_finds_nothing(solo, tmp_path):
    """Each try kills itself where it finds no mark: two in a row are a crash."""
    one = solo.run(spray(tmp_path.name, KILLED))
    assert one.sealed == solo.campaign.kind and one.score is None, "the second try found a mark of the first"
    assert one.crash and one.crash.kind == "killed" and "the player failed: signal 9" in one.crash.why


def test_later_trial_and_its_player_find_nothing(solo, tmp_path):
    first = solo.run(spray(tmp_path.name, "    leave()\n"))
    assert first.score and first.crash is None, first.crash
    second = solo.run(spray(tmp_path.name, LOOKS, LOOKS))
    assert second.score and second.crash is None, second.crash
    assert "found []" in (solo.path(second) / "run.log").read_text()
    assert not list(solo.night.root.rglob(f"mark-of-a-player-{tmp_path.name}")), "nothing of it stays anywhere"
    assert not list(SHARED.glob(f"mark-of-a-player-{tmp_path.name}"))


def test_submission_is_the_same_after_scoring(solo, tmp_path):
    change = "    leave()\n    for path in glob.glob('../submission/*') + glob.glob('../code/*'):\n"
    change += "        try:\n            open(path, 'a').write('x')\n        except OSError:\n            pass\n"
    one = solo.run(spray(tmp_path.name, change))
    assert one.score, one.crash
    submission = solo.path(one) / "submission"
    assert json.loads((submission / "config.json").read_text()) == {"score": one.score}
    assert (submission / "weights.pt").read_bytes() == b""
    assert (solo.path(one) / "code" / "prepare.py").read_text() == night.PREPARE.read_text()
