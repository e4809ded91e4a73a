"""knobs.py: reading, editing and comparing constants, on the repository's train.py and on made-up ones."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch import knobs
from autoresearch.errors import Refused
from autoresearch.knobs import changed_parts, code_digest, edit

SOURCE = '''"""A trainer."""
import os

DEPTH = 9  # layers
TOTAL_BATCH_SIZE = 2**18  # tokens
BETAS = (0.8, 0.95)
RATE: float = -1e-3
WIDTH = (64)
SHIFTED = 1 << 4
PATTERN = "SSSL"  # ünïcode
lower = 3
NAME = os.name
A = B = 3
TABLE = {
    "a": 1,
}

if SCALE == "cpu":
    DEPTH = 4; HEADS = 2
elif SCALE == "tiny":
    DEPTH = 2
else:
    LAST = 1

if os.name:
    HIDDEN = 1
else:
    HIDDEN = 2


class Model:
    """Doc."""

    size = 3

    def forward(self, x):
        """Doc."""
        return x + 1


def train(x):
    DEPTH = 77
    return x  # as it is
'''


def values(source: str) -> dict[str, object]:
    return {key: knob.value for key, knob in knobs.read(source).items()}


def test_read_finds_constants_of_all_kinds():
    assert values(SOURCE) == {
        "DEPTH": 9, "TOTAL_BATCH_SIZE": 2**18, "BETAS": (0.8, 0.95), "RATE": -0.001, "WIDTH": 64, "SHIFTED": 16,
        "PATTERN": "SSSL", "TABLE": {"a": 1}, "cpu.DEPTH": 4, "cpu.HEADS": 2, "tiny.DEPTH": 2, "LAST": 1,
    }  # fmt: skip


def test_read_of_train_py_finds_its_constants():
    source = (Path(__file__).resolve().parent.parent / "train.py").read_text()
    found = values(source)
    assert {"DEPTH", "TOTAL_BATCH_SIZE", "ADAM_BETAS", "WINDOW_PATTERN", "cpu.DEPTH", "tiny.DEPTH"} <= found.keys()
    edited = edit(source, "tiny.DEPTH", "3")
    assert values(edited) == {**found, "tiny.DEPTH": 3}
    assert edited.splitlines()[:5] == source.splitlines()[:5]


def test_read_takes_the_last_assignment():
    assert values("X = 1\nX = 2\n") == {"X": 2}
    assert edit("X = 1\nX = 2\n", "X", "3") == "X = 1\nX = 3\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**18", 2**18), ("3 * 64 + 1", 193), ("-(2**3)", -8), ("(2**3, [1 / 4])", (8, [0.25])), ("1_000", 1000),
        ("None", None), ("'a' 'b'", "ab"), ("{1, 2}", {1, 2}), ("True", True),
    ],
)  # fmt: skip
def test_read_calculates(text, value):
    assert values(f"X = {text}\n") == {"X": value}


@pytest.mark.parametrize(
    "text",
    ["9**9**9**9", "2**65", "1 << 99", "1 / 0", "'a' * 9**9", "[0] * 10**9", "f(1)", "DEPTH * 2", "{[]: 1}",
     "1.5 << 2", "__import__('os').system('false')", "(lambda: 1)()", "f'{1}'", "(-8) ** 0.5 * 2"],
)  # fmt: skip
def test_read_passes_over_what_is_no_literal_and_never_runs_it(text):
    assert values(f"X = {text}\nY = 1\n") == {"Y": 1}


def test_read_never_executes_the_source(tmp_path):
    source = f"open({str(tmp_path / 'ran')!r}, 'w')\nX = 1\nraise SystemExit\n"
    assert values(source) == {"X": 1}
    edit(source, "X", "2")
    code_digest(source)
    changed_parts(source, source + "Y = 2\n")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", ["X = (\n", "def f(:\n", "X = 1\n  Y = 2\n", "\0", "X = '\ud800'", "(" * 500])
def test_read_of_what_is_no_python_is_refused(source):
    with pytest.raises(Refused, match=r"train\.py must be Python but line"):
        knobs.read(source)


def test_read_names_the_line():
    with pytest.raises(Refused, match="line 3"):
        knobs.read("X = 1\n\nY = = 2\n")


@pytest.mark.filterwarnings("error")
def test_read_does_not_warn_of_other_people_s_strings():
    assert values('X = "\\d"\n') == {"X": "\\d"}


def test_edit_keeps_everything_else():
    assert edit(SOURCE, "DEPTH", "12") == SOURCE.replace("DEPTH = 9  # layers", "DEPTH = 12  # layers")
    assert edit(SOURCE, "cpu.DEPTH", "5") == SOURCE.replace("DEPTH = 4; HEADS", "DEPTH = 5; HEADS")
    assert edit(SOURCE, "cpu.HEADS", "8") == SOURCE.replace("HEADS = 2", "HEADS = 8")
    assert edit(SOURCE, "TOTAL_BATCH_SIZE", "2**17") == SOURCE.replace("2**18", "2**17")
    assert edit(SOURCE, "BETAS", "(0.9, 0.99)") == SOURCE.replace("(0.8, 0.95)", "(0.9, 0.99)")
    assert edit(SOURCE, "RATE", "1e-4") == SOURCE.replace("-1e-3", "1e-4")
    assert edit(SOURCE, "WIDTH", "32") == SOURCE.replace("(64)", "(32)")
    assert edit(SOURCE, "PATTERN", '"ÄL"') == SOURCE.replace('"SSSL"', '"ÄL"')


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "\ufeff", "# a\x0cb\x1cc\u2028d\x85e\n", "\x0c\n", "S = 'ü\u2028ü'; "])
def test_edit_counts_lines_as_python_does(before, ending):
    source = f"{before}X = 1  # one\nY = 2\n".replace("\n", ending)
    assert edit(source, "X", "3") == source.replace("X = 1", "X = 3")
    assert edit(source, "Y", "3") == source.replace("Y = 2", "Y = 3")


def test_edit_of_an_unknown_name_tells_the_nearest():
    with pytest.raises(Refused, match="nearest: DEPTH"):
        edit(SOURCE, "DEPHT", "3")
    with pytest.raises(Refused, match=r"nearest: cpu\.DEPTH"):
        edit(SOURCE, "gpu.DEPTH", "3")
    with pytest.raises(Refused, match="known: DEPTH, "):
        edit(SOURCE, "zzz", "3")


def test_edit_of_a_value_over_several_lines_is_refused():
    with pytest.raises(Refused, match=r"TABLE spans lines 14\.\.16"):
        edit(SOURCE, "TABLE", "{}")


@pytest.mark.parametrize("text", ["", "1 2", "1; import os", "1\nimport os", "f()", "3  # three", "X", ")", "1) + (2"])
def test_edit_takes_one_value_and_nothing_else(text):
    for source in ("X = 1; Y = 2\n", "X = (1)\nY = 2\n"):
        with pytest.raises(Refused, match="X must get one literal"):
            edit(source, "X", text)


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["DEPTH", "cpu.HEADS", "tiny.DEPTH", "PATTERN", "RATE", "WIDTH"]), LITERALS)
def test_edit_is_read_back(key, value):
    edited = edit(SOURCE, key, repr(value))
    assert values(edited) == {**values(SOURCE), key: value}
    assert changed_parts(SOURCE, edited) == ([] if repr(values(SOURCE)[key]) == repr(value) else [key])
    assert edit(edited, key, repr(values(SOURCE)[key])) == edit(SOURCE, key, repr(values(SOURCE)[key]))


# --- digests and parts


SAME = [
    ("# layers", "# many layers"), ("\n\n\n", "\n\n\n\n\n# hm\n"), ('"""A trainer."""', '"""Another."""'),
    ('"""A trainer."""\n', ""), ('        """Doc."""\n', ""), ("x + 1", "( x+1 )"), ('"SSSL"', "'SSSL'"),
    ("size = 3", 'size = 3\n    """Its size."""'), ("return x  # as it is", "return (\n        x\n    )"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SAME)
def test_digest_ignores_comments_layout_and_docstrings(old, new):
    assert old in SOURCE
    assert code_digest(SOURCE.replace(old, new, 1)) == code_digest(SOURCE)
    assert changed_parts(SOURCE, SOURCE.replace(old, new, 1)) == []


def test_digest_ignores_line_ends_and_byte_order_mark():
    assert code_digest(SOURCE.replace("\n", "\r\n")) == code_digest(SOURCE) == code_digest("\ufeff" + SOURCE)


OTHER = [
    ("DEPTH = 9", "DEPTH = 10", ["DEPTH"]),
    ("DEPTH = 4", "DEPTH = 5", ["cpu.DEPTH"]),
    ("DEPTH = 9", "DEPTH = 9.0", ["DEPTH"]),
    ("DEPTH = 9  # layers\n", "", ["DEPTH"]),
    ("BETAS = ", "BETA = ", ["BETA", "BETAS"]),
    ("x + 1", "x + 2", ["Model.forward()"]),
    ("size = 3", "size = 4", ["Model"]),
    ("class Model:", "class Model(object):", ["Model"]),
    ("return x  #", "return -x  #", ["train()"]),
    ("def train(x)", "def train(x=1)", ["train()"]),
    ("def train(x)", "def teach(x)", ["teach()", "train()"]),
    ("DEPTH = 77", "DEPTH = 78", ["train()"]),
    ("import os", "import sys", ["top level"]),
    ("NAME = os.name", "NAME = os.sep", ["NAME"]),
    ("lower = 3", "lower = 4", ["lower"]),
    ('"SSSL"', '"# SSSL"', ["PATTERN"]),
    ("    return x  #", '    f"{x}"\n    return x  #', ["train()"]),
    ("HIDDEN = 2", "HIDDEN = 3", ["top level"]),
]


@pytest.mark.parametrize(("old", "new", "parts"), OTHER)
def test_digest_and_parts_see_everything_else(old, new, parts):
    assert old in SOURCE
    edited = SOURCE.replace(old, new, 1)
    assert code_digest(edited) != code_digest(SOURCE)
    assert changed_parts(SOURCE, edited) == changed_parts(edited, SOURCE) == parts


def test_parts_name_constants_first():
    edited = SOURCE.replace("x + 1", "x + 2").replace("PATTERN = ", "ZETA = ").replace("return x  #", "return 0  #")
    assert changed_parts(SOURCE, edited) == ["PATTERN", "ZETA", "Model.forward()", "train()"]


def test_digest_of_what_does_not_parse_is_that_of_its_text():
    assert code_digest("X = (") != code_digest("X = ( ") == knobs.text_digest("X = ( ")
    deep = "X = " + "+".join("1" * 20_000)
    assert code_digest(deep) == code_digest(deep)
    assert changed_parts("X = (", "X = 1") == []
    assert code_digest("\udcff(") == knobs.text_digest("\udcff(")


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text):
    code_digest(text)
    changed_parts(SOURCE, text)
    try:
        knobs.read(text)
    except Refused:
        with pytest.raises((SyntaxError, ValueError)):
            ast.parse(text.encode(errors="surrogateescape"))
