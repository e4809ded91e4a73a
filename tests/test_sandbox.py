"""What a confined trial can do and cannot, tried from inside, under bubblewrap and under Landlock."""

import os
import socket
import sys
from pathlib import Path

import pygments
import pytest
from boxes import ROOT, SECRETS, Box, is_scoped, listening

from autoresearch.sandbox.allowed import other_packages


@pytest.fixture(params=["bubblewrap", "landlock"])
def box(request, tmp_path) -> Box:
    return Box(tmp_path, request.param)


def did(text: str) -> list[str]:
    """What succeeded."""
    return [line for line in text.splitlines() if not line.startswith("failed ")]


# --- files


def test_trial_reads_its_code_training_data_and_packages(box):
    script = "import numpy; print(open('train.py').read(), open(sys.argv[1]).read(), numpy.ones(2).sum())"
    assert box.run(script, box.cache / "set/train/tokens") == (0, "of train.py of tokens 2.0\n")


def test_trial_cannot_read_what_is_not_shown(box):
    vendored = [path / "_vendor/pygments/__init__.py" for path in other_packages() if path.name == "pip"]
    bundled = [Path(sys.base_prefix, "lib", f"python3.{sys.version_info.minor}", "ensurepip/__init__.py")]
    paths = [*box.secret, *(path.parent for path in box.secret), Path(pygments.__file__), *vendored, *bundled]
    paths += [ROOT / "prepare.py", ROOT / ".git", Path("/etc/shadow"), Path("/root/.bashrc"), Path("/proc/kcore")]
    paths += [Path("/proc", str(os.getpid()), name) for name in ("environ", "root/etc/shadow", "mem")]
    code, text = box.run("for path in sys.argv[1:]: attempt('read', read, path)", *paths)
    assert (code, did(text), len(text.splitlines())) == (0, [], len(paths))


def test_trial_finds_nothing_hidden_by_walking(box):
    script = """
    for top in sys.argv[2:]:
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    if sys.argv[1].encode() in open(os.path.join(folder, name), "rb").read(100):
                        print("DID read", folder, name)
                except OSError:
                    pass
    """
    for path in box.secret:
        path.write_text("a secret of this test")
    assert box.run(script, "a secret of this test", box.root, "/etc", "/dev/shm") == (0, "")


def test_held_packages_cannot_be_imported(box):
    script = "for name in sys.argv[1:]: attempt('import', __import__, name)"
    code, text = box.run(script, "pygments.lexers", "rich.text")
    assert (code, did(text)) == (0, [])


def test_trial_writes_into_its_folder_and_the_compile_cache(box):
    script = """
    import tempfile
    for path in sys.argv[1:]:
        os.mkdir(path + "/made")
        os.rename(path + "/made", path + "/new")
        write(path + "/new/x")
    with tempfile.NamedTemporaryFile() as file:
        assert file.name.startswith(sys.argv[1])
    os.link(sys.argv[1] + "/new/x", sys.argv[1] + "/y")
    print(sorted(name for name, value in os.environ.items() if value.startswith(sys.argv[2])))
    """
    code, text = box.run(script, box.trial, box.compiled)
    assert code == 0, text
    assert text == "['TORCHINDUCTOR_CACHE_DIR', 'TRITON_CACHE_DIR']\n"
    assert (box.trial / "y").read_text() == (box.compiled / "new/x").read_text() == "x"


def test_trial_cannot_write_outside(box):
    script = """
    other, code, *folders = sys.argv[1:]
    for folder in folders:
        attempt("write", write, folder + "/made-by-a-test")
        attempt("mkdir", os.mkdir, folder + "/made-by-a-test")
    os.symlink(other, "../link")
    attempt("write", write, "../link")
    attempt("read", read, "../link")
    os.symlink(folders[0], "../folder")
    attempt("write", write, "../folder/made-by-a-test")
    attempt("link", os.link, other, "../hard")
    attempt("rename", os.rename, other, "../moved")
    attempt("rename", os.rename, "train.py", folders[0] + "/made-by-a-test")
    attempt("truncate", os.truncate, other, 0)
    attempt("remove", os.remove, other)
    attempt("write", write, other)
    """
    folders = [box.other, box.home, box.cache, box.cache / "set/train", box.root, Path(sys.prefix)]
    folders += [Path("/usr"), Path("/etc"), Path("/"), Path("/dev"), Path("/tmp")]
    code, text = box.run(script, box.secret[2], box.trial / "code", *folders)
    assert (code, did(text), text.count("failed")) == (0, [], 2 * len(folders) + 9)
    assert [path.read_text() for path in box.secret] == ["of diary", "of text", "of weights.pt"]
    assert not [path for path in folders if Path(path, "made-by-a-test").exists()]


def test_code_cannot_be_changed_in_bubblewrap(box):
    box.run("attempt('write', write, 'train.py')")
    changed = (box.trial / "code/train.py").read_text() != "of train.py"
    assert changed == (box.confinement.kind == "landlock"), "which takes no right away, as the package says"


# --- network and environment


def test_trial_has_no_network(box):
    assert box.confinement.network == "none"
    stream = listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    packets = listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    script = """
    import socket
    def send(port):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(port)))
    attempt("connect", lambda port: socket.create_connection(("127.0.0.1", int(port)), 5), sys.argv[1])
    attempt("connect to v6", lambda port: socket.create_connection(("::1", int(port)), 5), sys.argv[1])
    attempt("resolve", socket.getaddrinfo, "example.org", 443)
    try:
        send(sys.argv[2])
    except OSError:
        pass
    """
    ports = [stream.getsockname()[1], packets.getsockname()[1]]
    code, text = box.run(script, *ports)
    assert (code, did(text), text.count("failed")) == (0, [], 3), text
    for server, take in ((stream, stream.accept), (packets, lambda: packets.recv(1))):
        with server, pytest.raises(TimeoutError):
            take()


def test_trial_cannot_reach_abstract_sockets(box):
    if not is_scoped(box.confinement):
        pytest.skip("this Landlock cannot refuse them")
    name = f"autoresearch-test-{os.getpid()}"
    script = "import socket; attempt('connect', socket.socket(socket.AF_UNIX).connect, chr(0) + sys.argv[1])"
    with listening(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name):
        code, text = box.run(script, name)
    assert (code, did(text)) == (0, [])


def test_trial_has_pairs_of_sockets_pipes_and_worker_processes(box):
    script = """
    import concurrent.futures, multiprocessing, socket
    if __name__ == "__main__":
        here, there = socket.socketpair()
        here.send(b"x")
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            print(there.recv(1), list(pool.map(abs, [-1, -2])), multiprocessing.Value("i", 3).value)
    """
    assert box.run(script) == (0, "b'x' [1, 2] 3\n")


def test_trial_in_bubblewrap_finds_itself_by_name(tmp_path):
    box = Box(tmp_path, "bubblewrap")
    script = """
    import socket
    with socket.create_server((socket.getfqdn(), 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), 5)
        print(socket.gethostname(), server.getsockname()[0])
    """
    assert box.run(script) == (0, "localhost 127.0.0.1\n")


def test_environment_holds_no_key(box):
    script = """
    import glob
    names = set(os.environ)
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            names |= {one.partition("=")[0] for one in open(path).read().split(chr(0))}
        except OSError:
            pass
    print(*names)
    """
    code, text = box.run(script)
    assert code == 0 and "PATH" in text.split() and "HOME" in text.split()
    assert not set(text.split()) & {*SECRETS, "USER_KEY"}
    assert not [name for name in text.split() if name.endswith(("_KEY", "_TOKEN", "_SECRET"))]


# --- what training needs

COMPILE = """
import torch
f = torch.compile(lambda x: (x.sin() * 2 + 1).sum())
x = torch.ones(1000)
print(torch.allclose(f(x), (x.sin() * 2 + 1).sum()), torch.get_num_threads() > 0)
"""


@pytest.mark.slow
def test_torch_compiles_inside(box):
    code, text = box.run(COMPILE)
    assert (code, text.split()[-2:]) == (0, ["True", "True"]), text
    assert list((box.compiled / "inductor").rglob("*.so")), "compiled code is kept for the next trial of the tag"
