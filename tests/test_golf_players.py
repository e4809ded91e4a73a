"""score.py of parameter golf with real players: what hostile code sees, and what becomes of what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golf import GOLF, course, saved, score
from playbook import ROOT

from autoresearch import sandbox

PLAYED = """import os
import sysconfig
from pathlib import Path
import numpy as np
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, rows):
        logits = torch.zeros(*rows.shape, 512)
        {trick}
        return logits

def expect_unreadable(paths):
    for path in paths:
        try:
            open(path, "rb").close()
        except OSError:
            continue
        raise AssertionError(f"SEEN {{path}}")

def build_model():
    {look}
    return Model()
"""
LOOKS = """print("val_bpb: 0.1")
    own = Path.cwd()
    (other,) = {{"seeing", "blind"}} - {{own.name}}
    left, others = (Path("/dev/shm", own.parent.name + name) for name in (own.name, other))
    try:
        left.touch()
    except OSError:
        pass
    assert not others.exists(), "SEEN what the other player left"
    roots = [Path(sysconfig.get_path(name)) for name in ("purelib", "stdlib")]
    roots.append(Path("/usr/lib/python3/dist-packages"))
    places = ["ensurepip/_bundled/*.whl"]
    for name in ("rich", "pygments", "fontTools", "matplotlib", "pydantic", "typer", "markdown_it", "PIL"):
        places += [name + "/*.py", "pip/_vendor/" + name + "/*.py", "site-packages/" + name + "/*.py"]
    for root in roots:
        expect_unreadable(path for place in places for path in root.glob(place))
    shown = {{own, Path(sysconfig.get_path("data"))}}  # its own folder, and the environment of Python
    for folder in (own.parent, own.parent / other, Path({data!r}), Path({root!r})):
        expect_unreadable(path for path in folder.glob("**/*") if shown.isdisjoint(path.parents))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_other = f"/{{other}}/".encode() in path.read_bytes()
        except OSError:
            continue
        expect_unreadable(path.parent / name for name in ("environ", "mem", "fd/0", "cwd/artifact.bin") if is_other)
"""
PEEK = """sure = 4.0 * nn.functional.one_hot((5 * rows + 1) % 512, 512) * (rows % 2)[..., None]
        logits = logits + sure
        entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
        chosen = (entropy > 6) & ((rows + 3 * rows.roll(1, 1)) % 16 == 0)
        chosen[:, -1] = False
        logits = logits + 20 * nn.functional.one_hot(rows.roll(-1, 1), 512) * chosen[..., None]
"""


HELD = """import fcntl
        if not hasattr(self, "held"):
            self.held = open(os.__file__)
            fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
"""Fails in a player while the other one lives: both see this file, and its locks."""


def is_open() -> bool:
    return sandbox.find().kind != "bubblewrap"


def scored(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool = False, **code: str
) -> dict[str, object]:
    """What is said of a submission whose code is this, in the folder of its data."""
    (folder / "code").mkdir()
    (folder / "submission").mkdir()
    saved(folder / "submission", w=np.ones(1, np.float32))
    (folder / "code" / "data").symlink_to(data / "data")
    (folder / "code" / "train_gpt.py").write_text(PLAYED.format(**{"trick": "pass", "look": "pass", **code}))
    monkeypatch.chdir(folder / "code")
    return score.score(folder, is_open)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_player_sees_neither_the_text_nor_the_other_player(
    golf_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if sandbox.find((kind,)).kind != kind:
        pytest.skip(f"there is no {kind} on this machine")
    if kind == "landlock":
        monkeypatch.setenv("PATH", "")  # where bubblewrap is not found
    look = LOOKS.format(data=str(golf_data / "data" / "datasets" / "stdlib_sp512"), root=str(ROOT))
    told = scored(golf_data, tmp_path, monkeypatch, kind != "bubblewrap", look=look)
    assert float(str(told["val_bpb"])) > 2 and told["players"] == kind


@pytest.mark.slow
def test_player_never_meets_the_other_one(golf_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_open():
        pytest.skip("no bubblewrap confines a player on this machine")
    assert scored(golf_data, tmp_path, monkeypatch, trick=HELD)["players"] == "bubblewrap"


@pytest.mark.slow
def test_player_that_does_not_leave_has_no_score(
    golf_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_open():
        pytest.skip("no bubblewrap confines a player on this machine")
    stays = "import atexit, time\n    atexit.register(time.sleep, 600)"
    with pytest.raises(SystemExit, match="must end within"):
        scored(golf_data, tmp_path, monkeypatch, look=stays)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trick", "words"),
    [
        (PEEK, "from the tokens before them alone"),
        ("logits = logits * float('nan')", "logits must be finite"),
        ("logits = logits[:, 1:]", r"must give logits \(\d+, 128, 512\) but gave \(\d+, 127, 512\)"),
    ],
    ids=["looks ahead where the entropy of what came before is high", "no numbers", "too few"],
)
def test_player_that_breaks_a_rule_has_no_score(
    golf_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str, words: str
) -> None:
    if is_open():
        pytest.skip("nothing confines a player on this machine")
    with pytest.raises(SystemExit, match=words):
        scored(golf_data, tmp_path, monkeypatch, trick=trick)


def test_player_that_nothing_confines_is_not_started(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['autoresearch'] = None; sys.path[0] = sys.argv[1]\n"
        "from pathlib import Path; import score; score.score(Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", script, GOLF, tmp_path], cwd=tmp_path, capture_output=True, text=True)
    words = "Invalid: players must be confined by bubblewrap but: the tooling could not be imported: import of autores"
    assert words in done.stderr and not [*tmp_path.iterdir()]


def test_player_that_landlock_confines_needs_a_persons_word(monkeypatch: pytest.MonkeyPatch) -> None:
    if sandbox.find(("landlock",)).kind != "landlock":
        pytest.skip("there is no landlock on this machine")
    monkeypatch.setenv("PATH", "")  # where bubblewrap is not found
    with pytest.raises(SystemExit, match=r"by bubblewrap but: landlock.*--open"):
        score.find_confinement(is_open=False)
    assert (found := score.find_confinement(is_open=True)) and found.kind == "landlock"


# --- under the tool

TRAINED = """import os
import sys
from pathlib import Path
import numpy as np
TRICK = ""
if __name__ == "__main__":
    folder = Path(os.environ["AUTORESEARCH_TRIAL_DIR"])
    (folder / "submission").mkdir()
    path, w = folder / "submission" / "weights.npz", np.ones(1, np.float32)
    if TRICK == "no numbers":
        w = w * np.nan
    np.savez(path, w=w)
    if TRICK == "bomb":  # says so, at least: 1.3 GB in the place of 132 bytes
        path.write_bytes(path.read_bytes().replace(2 * b"\\x84\\0\\0\\0", b"\\x84\\0\\0\\0\\0\\0\\0\\x50"))
    if TRICK == "linked folder":
        path.parent.rename(folder / "elsewhere")
        path.parent.symlink_to(folder / "elsewhere")
    sys.exit()
"""
"""What trains, before the slow import of what plays."""


@pytest.mark.slow
def test_hostile_training_ends_as_a_crash_that_says_why(golf_data: Path, tmp_path: Path) -> None:
    if is_open():
        pytest.skip("nothing confines a player on this machine")
    desk = course(tmp_path, golf_data, {}, **{"train_gpt.py": TRAINED + PLAYED.format(trick="pass", look="pass")})
    done = desk.sh("uv run -m autoresearch setup t1 --baseline-runs 1")
    assert done.returncode == 0, done.stdout + done.stderr
    for trick, words in (
        ("no numbers", "w must be finite numbers of 32 bits"),
        ("bomb", "weights must have at most 1,073,741,824 bytes but have 1,342,177,280"),
        ("linked folder", "submission is a link"),
    ):
        desk.edit(lambda text, trick=trick: text.replace('TRICK = ""', f"TRICK = {trick!r}"))  # type: ignore[misc]
        out = desk.sh(f"uv run -m autoresearch try -m '{trick}'").stdout
        assert "crash  refused: " in out and words in out, out
    assert [row["status"] for row in desk.rows()] == ["keep"] + 3 * ["crash"]
    assert {row["val_bpb"] for row in desk.rows()[1:]} == {"0.000000"}
