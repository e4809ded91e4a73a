"""process.py, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoresearch import process
from autoresearch.process import BoundedLog, Deadline, Launch, end_group, environment, family_of, start_time

ENV = {"PATH": os.defpath}


def launch(folder: Path, script: str, *, shell: bool = False) -> Launch:
    command = ["/bin/sh", "-c", script] if shell else [sys.executable, "-c", script]
    return Launch(command, folder, ENV | {process.MARK: str(folder)}, folder / "log")


def is_running(pid: int) -> bool:
    found = process.processes().get(pid)
    return found is not None and found.state not in "ZX"


def read_soon(path: Path) -> str:
    """The text of a file that another process is about to write."""
    until = time.monotonic() + 20
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until, f"{path} was never written"
        time.sleep(0.01)
    return path.read_text().strip()


def test_launch_returns_exit_code_and_output_of_both_streams(tmp_path):
    ended = launch(tmp_path, "echo out; echo err >&2; exit 3", shell=True).wait()
    assert (ended.exit_code, ended.timeout) == (3, "")
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_launch_names_the_signal_that_ended_it(tmp_path):
    assert launch(tmp_path, "kill -SEGV $$", shell=True).wait().exit_code == -signal.SIGSEGV


def test_launch_replaces_an_older_log(tmp_path):
    (tmp_path / "log").write_text("of yesterday\n")
    launch(tmp_path, "echo new", shell=True).wait()
    assert (tmp_path / "log").read_text() == "new\n"


def test_launch_gives_nothing_to_read_and_the_given_environment_alone(tmp_path):
    launch(tmp_path, "cat; env", shell=True).wait()
    names = {line.partition("=")[0] for line in (tmp_path / "log").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_", process.MARK}


def test_launch_of_a_missing_command_raises_and_leaves_no_descriptor_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Launch(["/no/such/command"], tmp_path, ENV, tmp_path / "log")
    with pytest.raises(FileNotFoundError):
        Launch(["true"], tmp_path, ENV, tmp_path / "no folder" / "log")
    launch(tmp_path, "true", shell=True).wait()
    assert len(os.listdir("/proc/self/fd")) == before


def test_child_leads_a_group_of_its_own(tmp_path):
    one = launch(tmp_path, "sleep 30", shell=True)
    assert os.getpgid(one.pid) == one.pid != os.getpgrp()
    one.stop()


def test_deadline_is_polite_first(tmp_path):
    script = "trap 'echo goodbye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    ended = launch(tmp_path, script, shell=True).wait([Deadline("training", 0.5)])
    assert (ended.exit_code, ended.timeout) == (5, "training took longer than 0 s")
    assert "goodbye" in (tmp_path / "log").read_text()


def test_deadline_is_hard_where_politeness_is_ignored(tmp_path):
    one = launch(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done", shell=True)
    begun = time.monotonic()
    assert end_group(one.pid, one.started, one.mark, grace_s=0.3)
    assert 0.3 < time.monotonic() - begun < process.GRACE_S
    assert one.wait().exit_code == -signal.SIGKILL


def test_deadline_is_lifted_by_what_it_waits_for(tmp_path):
    lifted = Deadline("start-up", 0.05, lambda: True)
    ended = launch(tmp_path, "sleep 0.4", shell=True).wait([lifted, Deadline("the whole", 20)])
    assert (ended.exit_code, ended.timeout) == (0, "")


def test_wait_ends_background_children_of_a_finished_command(tmp_path):
    ended = launch(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; exit 0", shell=True).wait()
    assert ended.exit_code == 0
    assert not is_running(int((tmp_path / "child").read_text()))


def test_wait_ends_a_background_child_without_the_mark(tmp_path):
    ended = launch(tmp_path, f"env -i sleep 60 & echo $! > {tmp_path}/child; exit 0", shell=True).wait()
    assert ended.exit_code == 0
    assert not is_running(int((tmp_path / "child").read_text()))


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("grandchild", "w").write(f"{os.getpid()}\\n")
        time.sleep(60)
    os._exit(0)
os.wait()
while not os.path.exists("grandchild"):
    time.sleep(0.01)
"""


def test_wait_ends_a_grandchild_that_left_the_session_and_outlives_its_parent(tmp_path):
    ended = launch(tmp_path, ESCAPE).wait()
    assert ended.exit_code == 0
    grandchild = int(read_soon(tmp_path / "grandchild"))
    assert not is_running(grandchild)


def test_grandchild_that_left_without_the_mark_does_not_hang_the_launcher(tmp_path):
    script = "env -i setsid sleep 60 & sleep 0.2; echo $! > child; echo said"
    begun = time.monotonic()
    ended = launch(tmp_path, script, shell=True).wait()
    assert ended.exit_code == 0
    assert time.monotonic() - begun < 3 * process.GRACE_S
    assert "said" in (tmp_path / "log").read_text()
    pid = int((tmp_path / "child").read_text())
    if is_running(pid):  # documented: nothing tells that it was ours
        os.kill(pid, signal.SIGKILL)


def test_keyboard_interrupt_in_tick_leaves_nothing_running(tmp_path):
    one = launch(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait", shell=True)
    child = int(read_soon(tmp_path / "child"))

    def tick(elapsed_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.wait(tick=tick)
    assert not is_running(one.pid)
    assert not is_running(child)


SUPERVISOR = """
import os, sys
from pathlib import Path
from autoresearch.process import Launch
script = "trap '' TERM; echo $$ > child; while :; do sleep 0.05; done"
one = Launch(["/bin/sh", "-c", script], Path.cwd(), {"PATH": os.defpath}, Path("log"))
one.wait(tick=lambda seconds: Path("watched").write_text("\\n"))
"""


def test_second_ctrl_c_during_the_grace_ends_the_child_at_once(tmp_path):
    path = {**os.environ, "PYTHONPATH": str(Path(process.__file__).parents[1])}
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR], cwd=tmp_path, env=path, stderr=subprocess.DEVNULL)
    child = int(read_soon(tmp_path / "child"))
    read_soon(tmp_path / "watched")
    supervisor.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert is_running(child), "it ignores the polite signal, and has its grace"
    begun = time.monotonic()
    supervisor.send_signal(signal.SIGINT)
    supervisor.wait(20)
    assert time.monotonic() - begun < process.GRACE_S - 1
    assert not is_running(child)


def test_waiting_costs_no_processor_time(tmp_path):
    one = launch(tmp_path, "sleep 2", shell=True)
    ticks: list[float] = []
    begun = time.process_time()
    one.wait(tick=ticks.append)
    assert time.process_time() - begun < 0.3
    assert 5 < len(ticks) < 80


# --- what must never be signalled


def test_end_group_without_a_process_does_nothing():
    assert not end_group(0, "", "")
    assert not end_group(1, start_time(1), "")
    assert not end_group(-1, "", "")
    assert not end_group(os.getpid(), "", "")


def test_end_group_leaves_a_recycled_number_alone(tmp_path):
    one = launch(tmp_path, "sleep 60", shell=True)
    assert not end_group(one.pid, "1", "")
    assert is_running(one.pid)
    assert end_group(one.pid, one.started, "")
    one.wait()


def test_end_group_without_a_leader_spares_what_has_no_mark(tmp_path):
    one = launch(tmp_path, f"env -i sleep 60 & echo $! > {tmp_path}/child; wait", shell=True)
    child = int(read_soon(tmp_path / "child"))
    os.kill(one.pid, signal.SIGKILL)
    one.child.wait()  # reaped: its number could be anybody's now
    assert not end_group(one.pid, one.started, one.mark)
    assert is_running(child)
    os.kill(child, signal.SIGKILL)
    one.stop()


def test_family_never_holds_this_process_its_group_or_its_ancestors():
    own = start_time(os.getpgrp())
    assert not family_of(os.getpgrp(), own, "") & {os.getpid(), os.getppid(), os.getpgrp()}
    parent = os.getppid()
    assert os.getpid() not in family_of(parent, start_time(parent), "")


MARKED = """
import os
from autoresearch.process import MARK, end_group
print(end_group(0, "", os.environ[MARK]), flush=True)
"""


def test_end_group_called_by_a_marked_process_spares_it_and_its_parents(tmp_path):
    env = {**ENV, process.MARK: str(tmp_path), "PYTHONPATH": str(Path(process.__file__).parents[1])}
    command = ["/bin/sh", "-c", f"setsid --wait {sys.executable} -c '{MARKED}'; echo alive"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, start_new_session=True)
    assert (done.returncode, done.stdout.split()) == (0, ["False", "alive"])


def test_zombies_do_not_count_as_alive():
    child = subprocess.Popen(["true"], start_new_session=True)
    while process.processes()[child.pid].state != "Z":
        time.sleep(0.01)
    assert start_time(child.pid)
    assert child.pid not in family_of(child.pid, start_time(child.pid), "")
    assert not end_group(child.pid, start_time(child.pid), "")
    child.wait()
    assert start_time(child.pid) == ""


def test_end_group_finds_a_family_by_its_mark_alone(tmp_path):
    """As after a kill of the supervisor before it could write the number down."""
    one = launch(tmp_path, "sleep 60", shell=True)
    assert end_group(-1, "", f"{tmp_path}x") is False
    assert end_group(-1, "", str(tmp_path)) is True
    assert one.wait().exit_code in (-signal.SIGTERM, 128 + signal.SIGTERM)  # the latter if the shell saw its child end


def test_end_group_tells_a_parent_before_its_children(tmp_path):
    """A wrapper that saw its children end first would think that they were done, and clean nothing up."""
    script = (
        "import signal, subprocess\n"
        "news = {signal.SIGTERM, signal.SIGCHLD}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, news)\n"
        "polite = lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, news)\n"
        "for _ in range(40): subprocess.Popen(['sleep', '60'], preexec_fn=polite)\n"
        "print('ready', flush=True)\n"
        "print(signal.sigwait(news).name)\n"
    )
    one = launch(tmp_path, script)
    read_soon(tmp_path / "log")
    one.stop()
    assert (tmp_path / "log").read_text() == "ready\nSIGTERM\n"


def test_mark_may_be_any_bytes(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    one = launch(folder, "sleep 60", shell=True)
    assert end_group(-1, "", str(folder))
    one.wait()


def test_ps_tells_what_proc_tells(tmp_path):
    one = launch(tmp_path, "sleep 60", shell=True)
    by_ps, by_proc = process.processes_by_ps()[one.pid], process.processes()[one.pid]
    assert (by_ps.parent, by_ps.group) == (by_proc.parent, by_proc.group) == (os.getpid(), one.pid)
    assert by_ps.started == process.processes_by_ps()[one.pid].started != ""
    one.stop()


# --- output


def test_log_keeps_head_and_tail(tmp_path):
    log = BoundedLog(tmp_path / "log", head_bytes=100, tail_bytes=100)
    lines = [f"line {number:04d}\n".encode() for number in range(1000)]
    for line in lines:
        log.write(line)
        assert (tmp_path / "log").stat().st_size <= 100 + 2 * 100 + 50
    log.close()
    head, note, tail = (tmp_path / "log").read_text().partition("\n... 9810 bytes left out ...\n")
    assert note
    assert head.encode() == b"".join(lines)[:100]
    assert tail == "".join(f"line {number:04d}\n" for number in range(991, 1000)), "from the start of a line"


def test_log_within_bounds_is_exact(tmp_path):
    log = BoundedLog(tmp_path / "log", head_bytes=100, tail_bytes=100)
    log.write(b"\xff" * 150 + b"\n" * 50)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"\xff" * 150 + b"\n" * 50


FLOOD = """
import os, resource, sys
from pathlib import Path
from autoresearch.process import Launch
script = "import sys; [sys.stdout.write(('x' * 999 + chr(10)) * 1000) for _ in range(200)]; print('the end')"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ended = Launch([sys.executable, "-c", script], Path.cwd(), {}, Path("log")).wait()
print(ended.exit_code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_flood_of_output_leaves_memory_flat_and_the_file_bounded(tmp_path):
    env = {"PYTHONPATH": str(Path(process.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FLOOD], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    exit_code, grown_kb = map(int, done.stdout.split())
    assert exit_code == 0
    assert grown_kb < 16 << 10
    assert (tmp_path / "log").stat().st_size <= process.HEAD_BYTES + process.TAIL_BYTES + 100
    with open(tmp_path / "log", "rb") as file:
        file.seek(-8, os.SEEK_END)
        assert file.read() == b"the end\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_does_not_hang_the_child(tmp_path):
    (tmp_path / "log").symlink_to("/dev/full")
    ended = launch(tmp_path, "print('x' * 1_000_000)").wait([Deadline("the child", 20)])
    assert (ended.exit_code, ended.timeout) == (0, "")


# --- environment


def test_environment_passes_no_secrets():
    secrets = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AUTORESEARCH_HUB_KEY"}
    loaders = {"PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "BASH_ENV"}
    found = environment(dict.fromkeys(secrets | loaders | {"PATH", "CUDA_VISIBLE_DEVICES"}, "x"), {})
    assert found == {"PATH": "x", "CUDA_VISIBLE_DEVICES": "x"}


def test_environment_passes_the_settings_of_the_contract_and_not_the_state_of_another_trial():
    settings = {f"AUTORESEARCH_{name}": "x" for name in ("CACHE", "DATASET", "SCALE", "TIME_BUDGET", "MAX_STEPS")}
    state = {f"AUTORESEARCH_{name}": "x" for name in ("TRIAL_DIR", "SEED", "SUPERVISED", "RESUME")}
    assert environment(settings | state, {}) == settings


def test_environment_takes_named_variables_and_lets_extra_ones_win():
    found = environment({"WANDB_MODE": "offline", "PATH": "a"}, {"PATH": "b", "NEW": "c"}, ["WANDB_MODE", "UNSET"])
    assert found == {"WANDB_MODE": "offline", "PATH": "b", "NEW": "c"}
