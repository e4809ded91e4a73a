"""Edits and diffs of a model: what is found in the file, what is refused, and that git takes the outcome."""

import subprocess
from pathlib import Path

import pytest

from autoresearch.search import edits
from autoresearch.search.edits import Edit

SOURCE = "import os\n\nRATE = 0.1\n\n\ndef train():\n    step()\n    step()\n    return RATE\n\n\ntrain()\n"
DIFF = """--- a/train.py
+++ b/train.py
@@ -1,4 +1,4 @@
 import os
 
-RATE = 0.1
+RATE = 0.2
 
"""


def changed(find: str, replace: str, source: str = SOURCE) -> str:
    return edits.with_edits(source, [Edit(find=find, replace=replace)])


def test_edits_replace_text_that_stands_there_once():
    new = edits.with_edits(SOURCE, [Edit(find="0.1", replace="0.2"), Edit(find="RATE = 0.2\n", replace="RATE = 1\n")])
    assert new == SOURCE.replace("0.1", "1")


@pytest.mark.parametrize(
    ("find", "words"),
    [
        ("step()", "exactly once but stands 2 times"),
        ("", "stands 0 times"),
        ("RATE = 0.3", "stands 0 times; the nearest there is 'RATE = 0.1"),
    ],
)
def test_edits_say_what_was_not_found(find, words):
    with pytest.raises(ValueError, match="edit 1") as refused:
        changed(find, "x")
    assert words in str(refused.value)


def test_diff_changes_the_text():
    assert edits.with_diff(SOURCE, DIFF, "train.py") == SOURCE.replace("0.1", "0.2")


@pytest.mark.parametrize(
    "diff",
    [
        f"```diff\n{DIFF}```\n",
        DIFF.replace("@@ -1,4 +1,4 @@", "@@ -40,9 +2,1 @@ def train():"),
        DIFF.replace("@@ -1,4 +1,4 @@", "@@ ... @@"),
        DIFF.replace("\n", "\r\n"),
        DIFF.replace("\n \n", "\n\n"),
        DIFF.replace(" import os\n", "import os\n"),
        DIFF.replace("a/train.py", "a/code/train.py").replace("b/train.py", "code/train.py"),
        DIFF.replace("--- a/train.py\n+++ b/train.py\n", ""),
        "diff --git a/train.py b/train.py\nindex 123..456 100644\n" + DIFF,
        DIFF + "\n\n",
        DIFF.replace("+RATE = 0.2", "+RATE = 0.2\n\\ No newline at end of file"),
    ],
)
def test_diff_is_read_though_models_write_it_badly(diff):
    assert edits.with_diff(SOURCE, diff, "code/train.py") == SOURCE.replace("0.1", "0.2")


def test_diff_takes_the_place_that_is_nearest_to_its_number():
    first, second = (f"@@ -{line} +{line} @@\n-    step()\n+    leap()\n" for line in (7, 8))
    assert edits.with_diff(SOURCE, first, "train.py").index("leap") < SOURCE.index("step()\n    return")
    assert edits.with_diff(SOURCE, second, "train.py").index("leap") > SOURCE.index("step()")
    assert "step" not in edits.with_diff(SOURCE, first + second, "train.py")


def test_diff_may_only_add():
    new = edits.with_diff(SOURCE, "@@ -3,0 +4,1 @@\n+DEPTH = 4\n", "train.py")
    assert new == SOURCE.replace("RATE = 0.1\n", "RATE = 0.1\nDEPTH = 4\n")


def test_diff_that_deletes_a_line_of_dashes_is_no_header():
    source = "x = 1\n-- note\n++ note\n"
    assert edits.with_diff(source, "@@ -1,3 +1,1 @@\n x = 1\n--- note\n-++ note\n", "train.py") == "x = 1\n"


OTHER = DIFF.replace("train.py", "prepare.py")


@pytest.mark.parametrize(
    "diff",
    [
        OTHER,
        DIFF + OTHER,
        DIFF + "diff --git a/prepare.py b/prepare.py\n" + OTHER,
        DIFF.replace("a/train.py", "a/../train.py").replace("b/train.py", "b/../../etc/train.py"),
        DIFF.replace("+++ b/train.py", "+++ /etc/passwd"),
        DIFF.replace("+++ b/train.py", "+++ b/train.py/../prepare.py"),
        DIFF.replace("+++ b/train.py", "+++ /dev/null"),
        DIFF.replace("--- a/train.py", "--- /dev/null"),
        DIFF.replace("+++ b/train.py", "+++ "),
        DIFF.replace("+++ b/train.py", "+++ rain.py"),
        DIFF.replace("train.py", "trаin.py"),  # the second letter is Cyrillic
        "diff --git a/train.py b/train.py\nold mode 100644\nnew mode 120000\n" + DIFF,
        "diff --git a/train.py b/other.py\nsimilarity index 100%\nrename from train.py\nrename to other.py\n",
        "diff --git a/train.py b/train.py\ndeleted file mode 100644\n" + DIFF,
        "diff --git a/train.py b/train.py\nGIT binary patch\nliteral 3\nKcmZQ\n",
        "diff --git a/train.py b/train.py\nBinary files a/train.py and b/train.py differ\n",
        DIFF.replace("RATE = 0.1", "RATE = 0.3"),
        "No change is needed.",
        "",
    ],
)
def test_diff_that_is_more_than_a_change_of_this_text_is_refused(diff):
    with pytest.raises(ValueError, match=r"train\.py|hunk|must stand in the file"):
        edits.with_diff(SOURCE, diff, "train.py")


def test_gigantic_changes_are_refused():
    huge = "x" * edits.MOST_CHARS
    with pytest.raises(ValueError, match="at most 100,000 characters"):
        changed("0.1", huge)
    with pytest.raises(ValueError, match="at most 100,000 characters"):
        edits.with_diff(SOURCE, DIFF.replace("0.2", huge), "train.py")


@pytest.mark.parametrize(
    "source",
    [
        SOURCE,
        SOURCE.replace("\n", "\r\n"),
        SOURCE.rstrip("\n"),
        "\ufeff" + SOURCE,
        SOURCE.replace("import os\n", "# \x0c form feed, \x1c, \u2028 and \x85 end no row\nimport os\n"),
        SOURCE.replace("import os\n", "import os\r\n"),
        SOURCE + "# \udcff is no UTF-8\n",
    ],
)
@pytest.mark.parametrize("place", ["0.1", "\ntrain()", "import os\n"])
def test_unified_diff_applies_in_git_byte_for_byte(tmp_path: Path, source: str, place: str):
    new = edits.with_edits(source, [Edit(find=place, replace=f"{place}  # é\n")])
    file = tmp_path / "train.py"
    file.write_bytes(source.encode(errors="surrogateescape"))
    diff = edits.unified(source, new, "train.py").encode(errors="surrogateescape")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, check=True)
    assert file.read_bytes() == new.encode(errors="surrogateescape") != source.encode(errors="surrogateescape")


def test_edits_keep_the_line_ends_of_the_file():
    crlf = SOURCE.replace("\n", "\r\n")
    assert changed("RATE = 0.1\n", "RATE = 0.2\nDEPTH = 4\n", crlf) == crlf.replace("0.1", "0.2\r\nDEPTH = 4")
    assert edits.with_diff(crlf, DIFF, "train.py") == crlf.replace("0.1", "0.2")
    assert changed("0.1\r\n", "0.2\r\n") == SOURCE.replace("0.1", "0.2")


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\ue000", "\ud800"])
def test_invisible_characters_are_named_when_they_are_new(hidden):
    assert edits.invisible(SOURCE, SOURCE + hidden) == [f"U+{ord(hidden):04X}"]
    assert edits.invisible(SOURCE + hidden, SOURCE + hidden + "é漢\t\r\n") == []
