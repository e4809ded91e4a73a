"""How a confined trial ends: exit status, signals, what it leaves behind; under bubblewrap and under Landlock."""

import fcntl
import os
import signal
import subprocess
import time

import pytest
from boxes import Box, is_scoped

from autoresearch import process
from autoresearch.process import Deadline


@pytest.fixture(params=["bubblewrap", "landlock"])
def box(request, tmp_path) -> Box:
    return Box(tmp_path, request.param)


@pytest.mark.parametrize("status", [0, 1, 3, 42, 126, -signal.SIGSEGV, -signal.SIGKILL, -signal.SIGTERM])
def test_exit_status_is_that_of_the_trial(box, status):
    script = f"import signal; os.kill(os.getpid(), {-status}); signal.pause()" if status < 0 else f"sys.exit({status})"
    assert box.run(script)[0] == status


def test_exit_code_above_128_reads_as_a_signal_at_most(box):
    assert box.run("sys.exit(255)")[0] == 255
    assert box.run(f"sys.exit({128 + signal.SIGSTOP})")[0] == 128 + signal.SIGSTOP


def test_missing_command_is_named(box):
    box.trial.joinpath("run.log").write_text("")
    code, text = box.run("os.execvp('no-such-command', ['x'])")
    assert code == 1 and "No such file" in text


def test_deadline_is_polite_first(box):
    script = """
    import signal, time
    def leave(number, frame):
        print("goodbye", flush=True)
        sys.exit(5)
    signal.signal(signal.SIGTERM, leave)
    write("../ready")
    time.sleep(60)
    """
    until_ready = Deadline("training", 0, lambda: not (box.trial / "ready").exists())
    assert box.run(script, deadlines=[until_ready]) == (5, "goodbye\n")


def test_deadline_is_hard_where_politeness_is_ignored(box):
    script = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write("../ready")
    time.sleep(60)
    """
    one = box.start(script)
    while not (box.trial / "ready").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    assert process.end_group(one.pid, one.started, one.mark, grace_s=0.3)
    assert 0.3 < time.monotonic() - begun < process.GRACE_S
    assert one.wait().exit_code == -signal.SIGKILL


LEAVE_BEHIND = """
import fcntl, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, ["x", "-c", '''
import fcntl, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
file = open("../lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
open("../held", "w").close()
for number in range(3, 100):
    if number != file.fileno():
        try:
            os.close(number)
        except OSError:
            pass
time.sleep(60)
'''], {})
    os._exit(0)
os.wait()
while not os.path.exists("../held"):
    time.sleep(0.01)
"""


def is_free(box: Box) -> bool:
    """Whether nobody holds the lock that the grandchild took."""
    with open(box.trial / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_grandchild_without_mark_dies_when_the_trial_finishes(box):
    assert box.run(LEAVE_BEHIND)[0] == 0
    assert is_free(box)


def test_grandchild_without_mark_dies_when_the_trial_is_ended(box):
    is_held = Deadline("training", 0, lambda: not (box.trial / "held").exists())
    code, _ = box.run(LEAVE_BEHIND + "write('../on'); time.sleep(60)", deadlines=[is_held])
    assert code == -signal.SIGTERM
    assert is_free(box)


def test_trial_dies_with_its_warden(box):
    script = "import fcntl, time; file = open('../lock', 'w'); fcntl.flock(file, 2); write('../held'); time.sleep(60)"
    one = box.start(script)
    while not (box.trial / "held").exists():
        time.sleep(0.01)
    assert not is_free(box)
    os.kill(one.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while not is_free(box):
        assert time.monotonic() < until
        time.sleep(0.01)
    one.wait()


def test_trial_cannot_signal_or_trace_what_is_outside(box):
    script = """
    import ctypes
    attempt("signal", os.kill, int(sys.argv[1]), 0)
    traced = ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), None, None) == 0
    print("traced" if traced else "not traced")
    """
    with subprocess.Popen(["sleep", "60"]) as victim:
        code, text = box.run(script, victim.pid)
        victim.kill()
    assert code == 0 and "not traced" in text
    assert ("failed signal" in text) == is_scoped(box.confinement)


def test_descriptors_are_inherited(box):
    ours, theirs = os.pipe()
    memory = os.memfd_create("logits")
    os.write(memory, b"12345")
    done = box.call(
        "os.write(int(sys.argv[1]), os.pread(int(sys.argv[2]), 5, 0))", theirs, memory, pass_fds=[theirs, memory]
    )
    assert (done.returncode, os.read(ours, 9)) == (0, b"12345"), done.stderr
    for number in (ours, theirs, memory):
        os.close(number)


def test_trial_leads_a_session_of_its_own_and_has_no_rights_of_root(box):
    script = """
    status = open("/proc/self/status").read()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    print(int(fields["CapEff"], 16) & ~2, fields["NoNewPrivs"].strip(), os.getsid(0) != int(sys.argv[1]))
    """
    assert box.run(script, os.getsid(0)) == (0, "0 1 True\n")
