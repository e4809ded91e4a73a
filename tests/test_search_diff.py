"""What a diff must not do: every way out of the mutable file, and every way around a call that is required."""

import os
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from autoresearch.repo import Repo
from autoresearch.search import edits, reach
from autoresearch.search.diffs import MOST_CHARS, Code

PREPARE = "def emit_progress(**k):\n    pass\n"
SOURCE = """from prepare import emit_progress

RATE = 0.1


def train():
    for step in range(9):
        emit_progress(step=step)
    return RATE


if __name__ == "__main__":
    train()
"""
CALL = "        emit_progress(step=step)\n"
DELETED = "--- a/train.py\n+++ /dev/null\n@@ -1,14 +0,0 @@\n" + "".join(f"-{row}\n" for row in SOURCE.splitlines())


BINARY = "diff --git a/job/train.py b/job/train.py\nindex 111..222 100644\nGIT binary patch\nliteral 1\nIcmZQz00\n\n"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    """A repository with both files, in a folder of its own."""
    root = tmp_path_factory.mktemp("repo")
    (root / "job").mkdir()
    (root / "job" / "train.py").write_text(SOURCE)
    (root / "job" / "prepare.py").write_text(PREPARE)
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm begin"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    found = Code(
        Repo(root, dict(os.environ)), "test", "job/train.py", "job/prepare.py", required_calls=("emit_progress",)
    )
    found.begin()
    return found


def diff(new: str, old: str = SOURCE, name: str = "train.py") -> str:
    return edits.unified(old, new, name)


def made(old: str, new: str) -> str:
    assert old in SOURCE
    return diff(SOURCE.replace(old, new))


def added(path: str) -> str:
    return f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+evil = 1\n"


@pytest.mark.parametrize(
    "good",
    [
        made("0.1", "0.2"),
        made("0.1", "0.1  # é 漢"),
        diff(SOURCE.replace("0.1", "0.2"), name="job/train.py"),
        made("range(9)", "range(99)"),
        made(CALL, "        if step % 2:\n            pass\n        else:\n    " + CALL),
        made(CALL, "        while True:\n    " + CALL + "            break\n"),
        made("    train()\n", "    for run in (train,):\n        run()\n"),
        made("(step=step)", "(step=step, metrics={'loss': 1.0})"),
        made("emit_progress(step", "\uff45mit_progress(step"),  # Python reads wide letters as their plain ones
    ],
)
def test_diff_that_keeps_the_contract_is_taken(code, good):
    assert code.check(code.tip, good) == ""


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (diff("evil = 1\n", PREPARE, "job/prepare.py"), "may change job/train.py alone"),
        (
            made("0.1", "0.2") + "diff --git a/job/x.py b/job/x.py\nnew file mode 100644\n" + added("b/job/x.py"),
            "alone",
        ),
        (added("b/job/sitecustomize.py"), "alone but changes job/sitecustomize.py"),
        (added("b/../outside.py"), "invalid path '../outside.py'"),
        (added("b/job/../../outside.py"), "invalid path"),
        (added("/etc/cron.d/evil"), "alone but changes etc/cron.d/evil"),
        (added("b/.git/hooks/post-commit"), "invalid path"),
        (added("b/.gitattributes"), "alone"),
        ("diff --git a/job/train.py b/job/b.py\nrename from job/train.py\nrename to job/b.py\n", "alone"),
        ("diff --git a/job/train.py b/job/b.py\ncopy from job/train.py\ncopy to job/b.py\n", "alone"),
        ("diff --git a/job/train.py b/job/train.py\ndeleted file mode 100644\n" + DELETED, "the diff removes it"),
        ("diff --git a/job/train.py b/job/train.py\nold mode 100644\nnew mode 100755\n", "100644 to 100755"),
        ("diff --git a/job/train.py b/job/train.py\nold mode 100644\nnew mode 120000\n" + made("0.1", "1"), "new mode"),
        (
            f"diff --git a/job/train.py b/job/train.py\ndeleted file mode 100644\n{DELETED}"
            "diff --git a/job/train.py b/job/train.py\nnew file mode 120000\n--- /dev/null\n+++ b/job/train.py\n"
            "@@ -0,0 +1 @@\n+prepare.py\n\\ No newline at end of file\n",
            "100644 to 120000",
        ),
        (
            "diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n+++ b/sub\n"
            f"@@ -0,0 +1 @@\n+Subproject commit {'1' * 40}\n",
            "alone but changes sub",
        ),
        (BINARY, "corrupt binary patch"),
        (made("0.1", "x" * MOST_CHARS), "at most 1,048,576 characters"),
        (made("0.1", "0.2").replace("\n", "\r\n"), "patch does not apply"),
        (made("0.1", "0.2").replace("-RATE = 0.1", "-RATE = 0.3"), "patch does not apply"),
        (made("0.1", "0.1  # \u202e drawkcab"), "invisible characters but gets U+202E"),
        (made("0.1", "0.1  # \u200b"), "U+200B"),
        (made("0.1", "0.1  # \x00"), "U+0000"),
        (made("0.1", "0.1  # \x1b[2K"), "U+001B"),
        (made("0.1", "0.1  # \udcff"), "U+DCFF"),
        (made("0.1", "(0.1"), "must parse after the diff but: '(' was never closed"),
        (made("0.1", "-" * 100_000 + "1"), "line None: MemoryError()"),
        (made("0.1", "(" * 500 + ")" * 500), "too many nested parentheses"),
        (made("emit_progress(step", "\u0435mit_progress(step"), "go on calling emit_progress"),  # Cyrillic
        ("I would change the rate.", "No valid patches"),
        ("", "No valid patches"),
        (diff(SOURCE), "No valid patches"),
    ],
)
def test_diff_that_is_hostile_or_broken_is_refused_in_words(code, evil, words):
    begun = time.monotonic()
    complaint = code.check(code.tip, evil)
    assert words in complaint and len(complaint) < 2000
    assert str(code.repo.root) not in complaint and time.monotonic() - begun < 10


def test_diff_that_is_binary_is_held_to_the_same(code):
    evil = code.repo.with_text(code.tip, "job/train.py", "x = 1 \x00\n", "binary")
    patch = code.repo.run("diff", "--binary", "--full-index", code.tip, evil)
    assert "GIT binary patch" in patch and "U+0000" in code.check(code.tip, patch + "\n")


def test_diff_that_is_refused_leaves_the_checkout_alone(code, tmp_path):
    before = {
        path: path.read_bytes() for path in code.repo.root.rglob("*") if path.is_file() and ".git" not in path.parts
    }
    for evil in (made("0.1", "0.2"), added("b/../outside.py"), added("/outside.py"), added("b/job/new.py")):
        code.check(code.tip, evil)
    after = {
        path: path.read_bytes() for path in code.repo.root.rglob("*") if path.is_file() and ".git" not in path.parts
    }
    assert after == before and not (code.repo.root.parent / "outside.py").exists() and not Path("/outside.py").exists()
    assert code.repo.dirty() == []


@pytest.mark.parametrize(
    "around",
    [
        made(CALL, "        pass\n"),
        made(CALL, "        'emit_progress(step=step)'\n"),
        made(CALL, "        # emit_progress(step=step)\n        pass\n"),
        made(CALL, "        emit_progress\n"),
        made(CALL, "        if False:\n    " + CALL),
        made(CALL, "        if not True:\n    " + CALL),
        made(CALL, "        if 1 > 2:\n    " + CALL),
        made(CALL, "        if 0 and step:\n    " + CALL),
        made(CALL, "        if step or True:\n            pass\n        else:\n    " + CALL),
        made(CALL, "        while 0:\n    " + CALL),
        made(CALL, "        for step in []:\n    " + CALL),
        made(CALL, "        continue\n" + CALL),
        made(CALL, "        if step:\n            continue\n        else:\n            break\n" + CALL),
        made(CALL, "        if True:\n            break\n" + CALL),
        made(CALL, "        with open('x'):\n            continue\n" + CALL),
        made(CALL, "        assert False\n" + CALL),
        made(CALL, "        False and emit_progress(step=step)\n"),
        made(CALL, "        True or emit_progress(step=step)\n"),
        made(CALL, "        None if True else emit_progress(step=step)\n"),
        made(CALL, "        lambda: emit_progress(step=step)\n"),
        made(CALL, "        def never():\n    " + CALL),
        made(CALL, "        class Never:\n            def call(self):\n        " + CALL),
        made("    for step", "    return RATE\n    for step"),
        made("    for step", "    raise SystemExit\n    for step"),
        made("    for step", "    import sys\n    sys.exit()\n    for step"),
        made("    for step", "    import os\n    os._exit(0)\n    for step"),
        made("    for step", "    while True:\n        pass\n    for step"),
        made("    train()\n", "    pass\n"),
        made('"__main__"', '"__never__"'),
        made("if __name__", "if TYPE_CHECKING and __name__"),
        made("if __name__", "exit()\nif __name__"),
        made("RATE = 0.1", "def emit_progress(**k): pass"),
        made("RATE = 0.1", "RATE = 0.1\nemit_progress = print"),
        made("RATE = 0.1", "RATE = 0.1\nfor emit_progress in (print,): pass"),
        made("RATE = 0.1", "import prepare\nprepare.emit_progress = print"),
        made("RATE = 0.1", "from os.path import *"),
        made("from prepare import", "from os import path as"),
        made("from prepare import", "from .other import"),
        made("def train():", "def train(emit_progress=print):"),
        made("RATE = 0.1", "(emit_progress := print)"),
        made("RATE = 0.1", "del emit_progress"),
        made(CALL, "        Other().emit_progress(step=step)\n"),
        made(CALL, "        self.emit_progress(step=step)\n"),
    ],
)
def test_diff_that_goes_around_a_required_call_is_refused(code, around):
    complaint = code.check(code.tip, around)
    assert "emit_progress" in complaint and ("go on calling" in complaint or "its meaning" in complaint)


def test_diff_must_leave_the_module_of_a_dotted_call_its_meaning(code, tmp_path):
    old = "import prepare\nfor step in range(9):\n    prepare.emit_progress(step=step)\n"
    tip = code.repo.with_text(code.tip, "job/train.py", old, "dotted")
    assert code.check(tip, diff(old.replace("9", "99"), old)) == ""
    for new in (old.replace("import prepare", "import os as prepare"), old.replace("prepare.e", "other.e")):
        assert "emit_progress" in code.check(tip, diff(new, old)) or "`prepare`" in code.check(tip, diff(new, old))


def test_diff_may_mend_a_file_that_does_not_parse(code):
    tip = code.repo.with_text(code.tip, "job/train.py", "x = (\n", "broken")
    assert code.check(tip, diff("x = ()\n", "x = (\n")) == ""


def test_diff_of_a_file_without_the_call_need_not_add_it(code):
    tip = code.repo.with_text(code.tip, "job/train.py", "x = 1\n", "short")
    assert code.check(tip, diff("x = 2\n", "x = 1\n")) == ""


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a()\nif x:\n    b()\nelif y:\n    c()\nelse:\n    d()", "a b c d"),
        ("try:\n    a()\nexcept E:\n    b()\nfinally:\n    c()", "a b c"),
        ("while True:\n    a()\n    if x: break\nb()", "a b"),
        ("while True:\n    a()\nb()", "a"),
        ("if x:\n    exit()\na()", "a exit"),
        ("@a\ndef f(x=b()):\n    c()\nd(f)", "b c d"),
        ("def f(): g()\ndef g(): f()\nf()", "f g"),
        ("class A:\n    a()\n    def f(self): b()\nA()", "A a b"),
        ("class A:\n    a()\n    def f(self): b()", "a"),
        ("[a(x) for x in y if b(x)]", "a b"),
        ("match x:\n    case 1 if a(): b()", "a b"),
        ("run(lambda: a())", "a run"),
        ("if (): a()\nif {}: b()\nif [0]: c()", "c"),
        ("if 'a' < 1: a()\nif __name__ == '__main__': b()\nif __name__ != '__main__': c()", "a b"),
    ],
)
def test_reach_finds_the_calls_that_execution_can_get_to(source, names):
    tree = reach.ast.parse(textwrap.dedent(source))
    assert sorted(reach.called(tree)) == names.split()
