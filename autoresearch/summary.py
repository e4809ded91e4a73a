"""The text of a run log: its summary, or the tail that explains the crash."""

import contextlib
import math
import re
import signal

from autoresearch.records import Crash, CrashKind, Metrics

TAIL_LINES = 50
LINE_CHARS = 400
NUM_OTHERS = 100
MOST_CHARS = 1 << 20  # of a log, from its end
KEY = re.compile(r"[A-Za-z_]\w*")
# What the last lines of a log are searched for, from the end; the first hit decides.
EXPLAINING: tuple[tuple[CrashKind, re.Pattern[str]], ...] = (
    ("out of memory", re.compile(r"(?i)out of memory|can't allocate memory|cannot allocate memory|bad_alloc")),
    ("out of memory", re.compile(r"OutOfMemoryError|MemoryError|ALLOC_FAILED")),
    ("diverged", re.compile(r"^FAIL\b|^(?:prepare\.)?NonFinite\b|(?i:loss is nan|non-finite)")),
    ("refused", re.compile(r"^(?:prepare\.)?(?:PrepareError|ClockError|NonCausal|Stateful|PlayerFailed|Invalid)\b")),
    ("syntax", re.compile(r"^(?:SyntaxError|IndentationError|TabError|ModuleNotFoundError|ImportError)\b")),
)
EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Iteration)(?::|$)")
LOST_BY_TYPE = re.compile(r"^(?:\w+\.)*(?:Connection\w*|BrokenPipe|StreamTerminated)Error(?::|$)")
LOST_BY_WORDS = re.compile(
    r"(?i)connection (?:was )?(?:lost|reset|closed|refused|aborted)|^Connection to .* closed|broken pipe"
    r"|name or service not known|network is unreachable|preempted"
)
SURVIVED = re.compile(r"^(?:notice|warning)\b|Warning(?::|$)", re.IGNORECASE)
# What launchers add when the code that they launched has failed: torchrun, and a Python that runs another one.
TRACEBACK = r"^(?:Traceback \(most recent call last\):\n(?:[ \t].*\n)*)?"
LAUNCHER = re.compile(
    rf"{TRACEBACK}(?:\w+\.)*ChildFailedError:.*\n=+\n(?:.*\n)*?=+$"
    rf"|{TRACEBACK}(?:subprocess\.)?CalledProcessError: Command (?!.* died with).*(?:python|torchrun).*$"
    r"|^[IWE]\d{4} \S+ \d+ torch/distributed/.*$|^\*+\nSetting OMP_NUM_THREADS .*\n\*+$",
    re.MULTILINE,
)
ROOT_CAUSE = re.compile(r"^Root Cause .*\n(?:.*\n){0,5} +exitcode +: (-\d+)", re.MULTILINE)
RANK = re.compile(r"^(\[rank\d+\]): ?")
FOLLOWS = re.compile(r"Connection (?:closed|reset) by peer|remote process exited")  # it ended because another one did


def parse(text: str) -> Metrics:
    """Read the `key: value` lines after the last line `---`; a key that appears twice counts by its last line."""
    rows = _rows(text)
    begin = next((number for number in reversed(range(len(rows))) if rows[number].rstrip() == "---"), len(rows))
    pairs: dict[str, str] = {}
    for row in rows[begin + 1 :]:
        key, colon, value = row.partition(": ")
        if colon and KEY.fullmatch(key):
            pairs[key] = value.strip()
    names = Metrics.model_fields.keys() - {"others"}
    known = {name: found for name in names if (found := number(pairs.pop(name, ""))) is not None}
    for name in ("num_steps", "depth"):
        if name in known:
            known[name] = int(known[name])
    others = {key: value[:LINE_CHARS] for key, value in list(pairs.items())[:NUM_OTHERS]}
    return Metrics.model_validate({**known, "others": others})


def number(text: str) -> float | None:
    """A finite number that a text spells; None where it spells none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rows(text: str) -> list[str]:
    """Lines, progress bars resolved to what they last showed."""
    return [row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n")]


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, none of them long."""
    return "\n".join(row[:LINE_CHARS] for row in _rows(text[-MOST_CHARS:].rstrip())[-lines:])


def explain(text: str, exit_code: int | None, timeout: str = "", is_remote: bool = False) -> Crash:
    """Why a trial failed.

    Args:
        text: its log.
        exit_code: negative for a signal, None when it is unknown.
        timeout: which deadline ended it, if one did.
        is_remote: it ran on another machine: a connection that was lost says nothing about the code.
    """
    said = "\n".join(_rows(text[-MOST_CHARS:]))
    if exit_code and exit_code > 0 and (signals := ROOT_CAUSE.findall(said)):
        exit_code = int(signals[-1])  # of the process that failed first; torchrun itself ends with 1
    end = tail(_without_launcher(said))
    kind, why = _reason(end.split("\n"), exit_code, is_remote)
    if timeout:
        kind, why = "timeout", timeout
    return Crash(kind=kind, why=why[:300], tail=end if end.strip() else tail(said))


def _without_launcher(text: str) -> str:
    """What the code itself said, and of its processes those that did not just follow another."""
    rows = LAUNCHER.sub("", text).split("\n")
    ranks = [found[1] if (found := RANK.match(row)) else "" for row in rows]
    followers = {rank for rank, row in zip(ranks, rows, strict=True) if rank and FOLLOWS.search(row)}
    return "\n".join(row for rank, row in zip(ranks, rows, strict=True) if rank not in followers)


def _reason(rows: list[str], exit_code: int | None, is_remote: bool) -> tuple[CrashKind, str]:
    """What the last lines say, unless a signal did it without a word."""
    killed = _signal(exit_code)
    bare = [RANK.sub("", row) for row in rows]
    for raw, row in reversed([*zip(rows, bare, strict=True)]):
        if SURVIVED.search(row):
            continue
        if is_remote and _is_lost(raw):
            return "interrupted", row.strip()
        kind = next((kind for kind, pattern in EXPLAINING if pattern.search(row)), None)
        if kind:
            return kind, row.strip().removeprefix("prepare.")
        if EXCEPTION.search(row):
            break  # what stands above it was survived
    if killed:
        return "killed", killed
    if exit_code == 42:
        return "interrupted", "cancelled on request"
    exception = next((row.strip() for row in reversed(bare) if EXCEPTION.search(row)), "")
    return "error", exception or next((row.strip() for row in reversed(bare) if row.strip()), "no output")


def _is_lost(row: str) -> bool:
    """Whether a client says that it lost its connection.

    An exception does so by its type, for its words may be about another one: a pipe to a worker, a peer over there.
    """
    if RANK.search(row):
        return False
    return bool((LOST_BY_TYPE if EXCEPTION.search(row) else LOST_BY_WORDS).search(row))


def _signal(exit_code: int | None) -> str:
    """A signal in words, also as a shell reports it (128 and its number); empty when there was none."""
    number = 0 if exit_code is None else -exit_code if exit_code < 0 else exit_code - 128
    if number <= 0:
        return ""
    name = ""
    with contextlib.suppress(ValueError):
        name = signal.Signals(number).name
    if not name and exit_code is not None and exit_code > 0:
        return ""
    hint = ", often the kernel for want of memory" if number == signal.SIGKILL else ""
    return f"signal {number} ({name or 'unknown'}{hint})"
