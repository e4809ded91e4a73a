"""summary.py: the summaries and the ends of logs."""

import re
import time
from pathlib import Path

import pytest

from autoresearch import summary
from autoresearch.records import SUMMARY_KEYS, Crash, Metrics

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = """step 00010 | loss 2.0
---
val_bpb: nan
training_seconds: 300.1
total_seconds: 325.9
peak_vram_mb: 45060.2
mfu_percent: 39.80
total_tokens_M: 499.600
num_steps: 953
num_params_M: 50.300
depth: 8
dataset: climbmix
note: a b: c
"""
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n'


# --- the summary


def test_summary_keys_are_those_that_train_py_prints_first():
    source = (ROOT / "train.py").read_text()
    table = source[source.index("    summary = {") : source.index('print("---")')]
    assert tuple(re.findall(r'^        "(\w+)":', table, re.MULTILINE))[: len(SUMMARY_KEYS)] == SUMMARY_KEYS


def test_summary_is_read_with_unknown_keys_as_text():
    found = summary.parse(SUMMARY)
    assert found == Metrics(
        training_seconds=300.1, total_seconds=325.9, peak_vram_mb=45060.2, mfu_percent=39.8, total_tokens_M=499.6,
        num_steps=953, num_params_M=50.3, depth=8,
        others={"val_bpb": "nan", "dataset": "climbmix", "note": "a b: c"},
    )  # fmt: skip


def test_summary_last_line_wins():
    assert summary.parse(SUMMARY + "depth: 9\nval_bpb: 1.2\n").depth == 9
    assert summary.parse(SUMMARY + "depth: 9\nval_bpb: 1.2\n").others["val_bpb"] == "1.2"
    assert summary.parse("---\ndepth: 1\nnum_steps: 5\n" + SUMMARY + "---\ndepth: 2\n") == Metrics(depth=2)


def test_summary_without_its_line_is_empty():
    assert summary.parse(SUMMARY.replace("---", "--")) == summary.parse("") == Metrics()


def test_summary_missing_and_broken_numbers_are_none():
    found = summary.parse("---\ndepth: nan\nnum_steps: many\npeak_vram_mb: inf\ntotal_seconds:\ntotal_seconds: 3\n")
    assert found == Metrics(total_seconds=3)
    assert summary.parse("---\nothers: 3\n").others == {"others": "3"}


def test_summary_after_a_progress_bar_on_the_same_line():
    assert summary.parse("\r 10%|#  |\r100%|###|\r---\r\ndepth: 3\r\n") == Metrics(depth=3)


def test_summary_of_a_huge_or_hostile_log_is_quick_and_small():
    begun = time.process_time()
    spaces = "key: " + " " * 500_000 + "x\n"
    found = summary.parse(
        "-\n" * 500_000 + "---\n" + "\n" * 500_000 + spaces + "".join(f"k{n}: v\n" for n in range(9999))
    )
    assert time.process_time() - begun < 3
    assert len(found.model_dump_json()) < 1 << 16


# --- why it crashed


def why(text: str, exit_code: int | None = 1, timeout: str = "") -> tuple[str, str]:
    crash = summary.explain(text, exit_code, timeout)
    return crash.kind, crash.why


MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (MEMORY, "out of memory"),
        ("MemoryError", "out of memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "out of memory"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", "out of memory"),
        ("FAIL: loss nan at step 7; the lowest, smoothed, was 5.1 nats", "diverged"),
        ("FAIL", "diverged"),
        ("NonFinite: every token must have a finite loss but tokens 0..9 have a sum of inf", "diverged"),
        ("PrepareError: logits must be (8, 64, 512) but are (8, 64)", "refused"),
        ("ClockError: an optimizer step must come after clock.start()", "refused"),
        ("NonCausal: logits must not depend on later tokens", "refused"),
        ("SyntaxError: invalid syntax", "syntax"),
        ("IndentationError: unexpected indent", "syntax"),
        ("ModuleNotFoundError: No module named 'flash_attn'", "syntax"),
        ("ImportError: cannot import name 'x' from 'prepare'", "syntax"),
        ("ValueError: bad", "error"),
        ("failed to load 3 of 4", "error"),
        ("fail: no such thing", "error"),
    ],
)
def test_crash_is_explained_by_its_last_line(line, kind):
    assert why(f"step 1\n{TRACE}{line}\n") == (kind, line)


def test_crash_of_the_frozen_code_drops_the_module():
    assert why(f"{TRACE}prepare.ClockError: clock.start() must be called once\n") == (
        "refused",
        "ClockError: clock.start() must be called once",
    )


def test_crash_line_before_later_words_is_found():
    assert why(f"{TRACE}ValueError: bad\nwandb: uploading\nwandb: done\n") == ("error", "ValueError: bad")
    assert why(f"{TRACE}{MEMORY}\nwandb: done\n") == ("out of memory", MEMORY)


def test_crash_is_not_explained_by_what_was_survived():
    notice = "notice: out of memory, so DEVICE_BATCH_SIZE is 32 in this run\n"
    assert why(f"{notice}TOTAL_BATCH_SIZE must be a multiple\n") == ("error", "TOTAL_BATCH_SIZE must be a multiple")
    assert why(f"{TRACE}{MEMORY}\ncaught, going on\n{TRACE}KeyError: 'x'\n") == ("error", "KeyError: 'x'")
    assert why("a.py:3: UserWarning: loss is nan\nValueError: x\n") == ("error", "ValueError: x")
    assert why("step 5 ImportError was caught\nend\n") == ("error", "end")


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (-11, "SIGSEGV"), (-15, "SIGTERM"), (137, "SIGKILL")])
def test_crash_by_a_signal_is_named(code, name):
    kind, words = why("step 5\n", code)
    assert (kind, name in words) == ("killed", True)
    assert ("memory" in words) == (name == "SIGKILL")


def test_crash_by_an_unknown_signal_or_a_large_exit_code():
    assert why("x\n", -99) == ("killed", "signal 99 (unknown)")
    assert why("x\n", 255) == ("error", "x")


def test_crash_by_a_signal_after_words_about_memory_is_about_memory():
    assert why(f"{TRACE}{MEMORY}\n", -6) == ("out of memory", MEMORY)
    assert why(f"{TRACE}ValueError: in a worker\n", -6)[0] == "killed"


def test_crash_by_a_deadline_comes_first():
    assert why(f"{MEMORY}\n", -9, "training took longer than 60 s") == ("timeout", "training took longer than 60 s")


def test_crash_on_request_and_without_a_word():
    assert why("bye\n", 42) == ("interrupted", "cancelled on request")
    assert why("", 1) == why(" \n\n", 1) == ("error", "no output")
    assert why("the end\n", None) == ("error", "the end")


def test_tail_shows_what_progress_bars_last_showed():
    assert summary.tail("a\r\n 1%\r 99%\r100%\nb\r\n 7%\r") == "a\n100%\nb\n 7%"


def test_tail_is_short_whatever_the_log():
    text = "\n".join(["x" * 100_000] * 200) + "\nlast"
    assert summary.tail(text).endswith("\nlast")
    assert 2 < len(summary.tail(text).split("\n")) <= summary.TAIL_LINES
    assert summary.tail("\n".join(map(str, range(99)))) == "\n".join(map(str, range(49, 99)))
    crash = summary.explain(text, 1)
    assert crash == Crash(kind="error", why="last", tail=summary.tail(text))
    assert len(crash.model_dump_json()) < 1 << 15
    assert len(summary.explain("y" * 10_000_000, 1).why) <= 300
    begun = time.process_time()
    for rows in (
        (TRACE * 9000, "ChildFailedError:\n" * 60_000, "ChildFailedError:\n=\nx\n" * 40_000),
        ("CalledProcessError: Command " * 40_000, "Root Cause \n" * 90_000),
        ("".join(f"[rank{number}]: Connection closed by peer\n" for number in range(30_000)),),
    ):
        assert summary.explain("".join(rows), 1, is_remote=True).kind in ("error", "interrupted")
    assert time.process_time() - begun < 3


def test_lost_connection_of_a_remote_run_says_nothing_about_the_code():
    text = "step 1\nRuntimeError: earlier\nConnectionResetError: [Errno 104] Connection reset by peer\n"
    assert summary.explain(text, 1).kind == "error"
    crash = summary.explain(text, 1, is_remote=True)
    assert (crash.kind, crash.why) == ("interrupted", "ConnectionResetError: [Errno 104] Connection reset by peer")
    assert (
        summary.explain("connection lost, trying again\nValueError: of the code\n", 1, is_remote=True).kind == "error"
    )


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: Broken pipe in my own DataLoader worker",
        "ValueError: the connection was lost between two layers",
        "[rank1]: torch.distributed.DistNetworkError: connection refused",
        "[rank1]: ConnectionResetError: [Errno 104] Connection reset by peer",
    ],
)
def test_words_about_a_connection_in_an_error_of_the_code_are_the_code_s(line: str) -> None:
    assert summary.explain(f"step 1\n{TRACE}{line}\n", 1, is_remote=True).kind == "error"


@pytest.mark.parametrize(
    "line",
    [
        "modal.exception.ConnectionError: Deadline exceeded",
        "grpclib.exceptions.StreamTerminatedError: Connection lost",
        "BrokenPipeError: [Errno 32] Broken pipe",
        "client_loop: send disconnect: Broken pipe",
        "Connection to 192.0.2.1 closed by remote host.",
        "socket.gaierror: [Errno -2] Name or service not known",
    ],
)
def test_client_that_lost_its_connection_says_so_by_type_or_by_words(line: str) -> None:
    assert summary.explain(f"step 1\n{line}\n", 1, is_remote=True).kind == "interrupted"
    assert summary.explain(f"step 1\n{line}\n", 1).kind == "error"


WRAPPER = (
    f"{TRACE}    subprocess.run(command, check=True)\nsubprocess.CalledProcessError: "
    "Command '['/bin/python3', '-m', 'torch.distributed.run', 'train.py']' {}.\n"
)


def test_wrapper_that_says_its_python_failed_explains_nothing() -> None:
    failed = WRAPPER.format("returned non-zero exit status 1")
    crash = summary.explain(f"step 1\nFAIL: loss is nan\n{failed}", 1)
    assert (crash.kind, crash.why, crash.tail) == ("diverged", "FAIL: loss is nan", "step 1\nFAIL: loss is nan")
    assert summary.explain(failed, 1) == Crash(kind="error", why="no output", tail=failed.rstrip())
    assert why(f"step 1\n{WRAPPER.format('died with <Signals.SIGKILL: 9>')}")[1].endswith("SIGKILL: 9>.")
    compiler = "subprocess.CalledProcessError: Command '['nvcc', 'a.cu']' returned non-zero exit status 1."
    assert why(f"step 1\n{TRACE}{compiler}\n") == ("error", compiler)


def test_process_that_ends_because_another_did_explains_nothing() -> None:
    peer = "RuntimeError: [/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:30412. GLHF!"
    follower = "".join(f"[rank{{0}}]: {row}\n" for row in (*TRACE.splitlines(), *["  File 'x', line 1"] * 20, peer))
    text = "FAIL: loss is nan at step 3\n" + "".join(follower.format(rank) for rank in range(1, 8))
    crash = summary.explain(text, 1)
    assert (crash.kind, crash.tail) == ("diverged", "FAIL: loss is nan at step 3")
    assert why(f"[rank0]: {MEMORY}\n{follower.format(10)}") == ("out of memory", MEMORY)
    assert why(f"{follower.format(1)}[rank0]: KeyError: 'x'\n") == ("error", "KeyError: 'x'")


def test_submission_that_a_scorer_calls_invalid_is_refused():
    assert summary.explain("Invalid: logits must be finite\n", 1).kind == "refused"
