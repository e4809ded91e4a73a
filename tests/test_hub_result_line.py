"""autoresearch/hub/result_line.py: what agents write, read back."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.hub.result_line import ResultLine, format_line, mark, parse_line, parse_lines, platform_name
from autoresearch.records import Status

SEED = """\
commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | increase LR to 0.04
commit:b2c3d4e platform:M4-Max val_bpb:1.0050 vram_gb:44.0 | switch to GeLU (DISCARD)
commit:c3d4e5f platform:A100 val_bpb:--- vram_gb:--- | double model width (CRASH: OOM)
"""
KEPT = ResultLine("a1b2c3d", "H100", 0.9932, 44.2, "increase LR to 0.04")
HEAD = "commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2"


def test_result_line_reads_the_lines_of_the_playbook():
    kept, discarded, crashed = parse_lines(SEED)
    assert kept == KEPT and kept.status == Status.KEEP
    assert (discarded.platform, discarded.val_bpb, discarded.status) == ("M4-Max", 1.005, Status.DISCARD)
    assert (crashed.val_bpb, crashed.vram_gb, crashed.status) == (None, None, Status.CRASH)
    assert crashed.description == "double model width (CRASH: OOM)"


@pytest.mark.parametrize(
    "text",
    [
        f"- `{HEAD} | increase LR to 0.04`",
        f"1. **{HEAD} | increase LR to 0.04**",
        f"* **`{HEAD} | increase LR to 0.04`**",
        f"```\n{HEAD} | increase LR to 0.04\n```\nMore tomorrow.",
        f"# Run 7\n\nBetter than I thought:\r\n{HEAD} | increase LR to 0.04\r\n\nNext: depth.",
        "**commit:** `a1b2c3d` **platform:** H100 **val_bpb:** `0.9932` **vram_gb:** 44.2 | increase LR to 0.04",
        "Result: COMMIT:A1B2C3D, platform:H100, val_bpb: 0.9932, vram_gb: 44.2GB | increase  LR to 0.04",
    ],
)
def test_result_line_sees_through_markdown(text):
    assert parse_lines(text) == [KEPT]


def test_result_line_keeps_the_back_ticks_of_a_description():
    assert parse_line(f"`{HEAD}` | use `relu`") == ResultLine("a1b2c3d", "H100", 0.9932, 44.2, "use `relu`")
    assert parse_line(f"{HEAD} | use `relu`") == ResultLine("a1b2c3d", "H100", 0.9932, 44.2, "use `relu`")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "commit:<7-char-hash> platform:<gpu> val_bpb:<value> vram_gb:<value> | <description>",
        f"> {HEAD} | as bob found",
        "I ran commit:a1b2c3d platform:H100 and got val_bpb:0.98 instead",
        "commit:a1b2c3 platform:H100 val_bpb:0.9932 vram_gb:44.2 | six digits",
        "commit:a1b2c3d platform:H100 val_bpb:better vram_gb:44.2 | no number",
        "commit:a1b2c3d val_bpb:0.9932 vram_gb:44.2 | no platform",
        "commit:a1b2c3d platform:H100 val_bpb:٠.٩ vram_gb:44.2 | other digits",
    ],
)
def test_result_line_passes_over_what_is_none(text):
    assert parse_lines(text) == []


@pytest.mark.parametrize(("shown", "value"), [("-0.5", -0.5), ("0", 0.0), ("1e9", 1e9), (".97", 0.97)])
def test_result_line_reads_any_finite_number_as_it_stands(shown, value):
    line = parse_line(f"commit:a1b2c3d platform:H100 val_bpb:{shown} vram_gb:-3 | odd")
    assert line and line.val_bpb == value and line.vram_gb is None and line.status == Status.KEEP


@pytest.mark.parametrize("shown", ["nan", "NaN", "inf", "-inf", "1e999", "—", "-", "N/A", "none", "---"])
def test_result_line_takes_what_is_no_score_for_a_crash(shown):
    line = parse_line(f"commit:a1b2c3d platform:H100 val_bpb:{shown} vram_gb:{shown} | diverged")
    assert line and line.val_bpb is None and line.vram_gb is None and line.status == Status.CRASH


@pytest.mark.parametrize(
    ("description", "status"),
    [
        ("DISCARD: no gain", Status.DISCARD),
        ("no gain (discard)", Status.DISCARD),
        ("DISCARDED", Status.DISCARD),
        ("CRASH", Status.CRASH),
        ("out of memory [Crashed]", Status.CRASH),
        ("discard every second head", Status.KEEP),
        ("CRASHLOG rotation", Status.KEEP),
    ],
)
def test_result_line_reads_the_marks(description, status):
    assert ResultLine("a1b2c3d", "H100", 0.9, None, description).status == status


def test_result_line_needs_neither_memory_nor_description():
    assert parse_line("commit:a1b2c3d platform:H100 val_bpb:0.9932") == ResultLine("a1b2c3d", "H100", 0.9932, None, "")


def test_result_line_mark_adds_what_is_missing_only():
    assert mark("wider", Status.CRASH, "OOM") == "wider (CRASH: OOM)"
    assert mark("wider", Status.DISCARD) == "wider (DISCARD)"
    assert mark("wider (DISCARD)", Status.DISCARD) == "wider (DISCARD)"
    assert mark("wider", Status.KEEP) == "wider"


def test_result_line_names_platforms_in_one_word():
    assert platform_name("RTX_4090×2 \x1b[31m<b>") == "RTX_4090×2-31m-b"
    assert platform_name(" NVIDIA H100,  80GB | x ") == "NVIDIA-H100-80GB-x"
    assert len(platform_name("x" * 500)) == 64
    assert platform_name(" | ") == ""


@given(
    commit=st.text("0123456789abcdef", min_size=7, max_size=64),
    platform=st.text().map(lambda text: platform_name(f"H100 {text}")),
    val_bpb=st.none() | st.floats(-1e6, 1e6),
    vram_gb=st.none() | st.floats(0, 1e6),
    description=st.text(),
)
def test_result_line_comes_back_as_it_was_written(commit, platform, val_bpb, vram_gb, description):
    line = ResultLine(commit, platform, val_bpb, vram_gb, description)
    text = format_line(line)
    assert text.splitlines() == [text] and "\t" not in text
    [back] = parse_lines(f"before\n{text}\nafter")
    assert (back.commit, back.platform, back.description) == (commit, platform, " ".join(description.split()))
    assert (back.val_bpb is None) == (val_bpb is None) and (back.vram_gb is None) == (vram_gb is None)
    assert math.isclose(back.val_bpb or 0, val_bpb or 0, abs_tol=5.1e-7)
    assert math.isclose(back.vram_gb or 0, vram_gb or 0, abs_tol=0.051)
    assert format_line(back) == text
    assert back.status == ResultLine(commit, platform, val_bpb, vram_gb, back.description).status


@given(st.text())
def test_result_line_reads_any_text(text):
    assert all(7 <= len(line.commit) <= 64 for line in parse_lines(text))


def test_result_line_reads_long_hostile_posts_at_once():
    start = time.perf_counter()
    for text in ("commit:" * 5000, f"{HEAD} " * 600, "commit:a1b2c3d platform:" + " ,;" * 10000, "`*" * 16000):
        parse_lines(text)
    for digits in (f"val_bpb:{'1' * 8000}x", f"val_bpb:{'1' * 200} vram_gb:{'1' * 5000}x"):
        assert parse_lines(f"commit:a1b2c3d platform:H100 {digits}") == []
    assert time.perf_counter() - start < 1
