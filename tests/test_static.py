"""What is said about a train.py that was not run."""

import pytest
from night import ROOT, TRAIN

from autoresearch.attempt import static

GOOD = """
import prepare
from prepare import Clock
def build_model(config): ...
if __name__ == "__main__":
    Clock(None, None)
"""


def said(source: str, own: bool = True) -> str:
    crash = static.crash_of(source, "train.py", {"prepare"}, own)
    return f"{crash.kind}: {crash.why}" if crash else ""


@pytest.mark.parametrize("source", [GOOD, (ROOT / "train.py").read_text(), TRAIN.read_text()])
def test_good_file_is_not_crashed(source):
    assert said(source) == "" and static.notices(source, "train.py") == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("def build_model", "def make_model"), "refused: train.py must have `build_model(config)`"),
        (('if __name__ == "__main__":', "if True:"), "refused: train.py must have `if __name__"),
        (("Clock", "Timer"), "refused: train.py must have a `Clock`"),
        (("import prepare\n", "import prepare\nimport no_such_module\n"), "syntax: train.py imports 'no_such_module'"),
        (("def build_model", "def build_model("), "syntax: "),
    ],
)
def test_what_is_wanting_is_named(change, what):
    assert said(GOOD.replace(*change)).startswith(what)


def test_file_of_more_than_256_kb_is_refused():
    assert said(f"{GOOD}# {'x' * (255 << 10)}\n") == ""
    assert said(f"{GOOD}# {'x' * (256 << 10)}\n").startswith("refused: train.py must have at most 262,144 bytes")
    assert said(f"{GOOD}# {'東' * (100 << 10)}\n").startswith("refused: train.py must have at most 262,144 bytes")
    assert said(f"{GOOD}# {'x' * (256 << 10)}\n", own=False) == ""


def test_all_that_is_wanting_is_named_at_once():
    assert said("pass").count("; and ") == 2


def test_other_arenas_need_no_referee():
    assert said("pass", own=False) == ""
    assert static.crash_of("import no_such_module", "x.py", None, False) is None


def test_build_model_may_be_assigned():
    assert said(GOOD.replace("def build_model(config): ...", "build_model = dict")) == ""


@pytest.mark.parametrize("call", ["torch.manual_seed(1337)", "manual_seed(7)", "torch.cuda.manual_seed_all(1)"])
def test_literal_seed_is_reported(call):
    assert call in static.notices(f"{GOOD}    {call}\n", "train.py")[0]
    assert static.notices(f"{GOOD}    torch.manual_seed(prepare.SEED)\n", "train.py") == []
