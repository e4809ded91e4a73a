"""What is found to confine trials, what it says, and which paths a view holds; nothing is confined here."""

import os
import sys
from pathlib import Path

import pytest
from boxes import ROOT, SECRETS, Box

from autoresearch import process, sandbox
from autoresearch.errors import BadConfig, Refused
from autoresearch.sandbox import OPEN, REMOTE, Confinement, View
from autoresearch.sandbox.confinement import bubblewrap
from autoresearch.sandbox.probe import SWITCHES, mending

NOTHING = View(readable=(), writable=(), hidden=())


# --- what is found


def test_find_takes_the_best_that_works():
    found = sandbox.find()
    assert found.kind in ("bubblewrap", "landlock", "open")
    if found.kind == "bubblewrap":
        assert (found.network, found.reason, found.mend) == ("none", "", "")
        assert found.program.startswith("/")


def test_find_without_bubblewrap_says_so_and_how_to_get_it(tmp_path):
    found = sandbox.find(bwrap="no-such-program")
    assert found.kind != "bubblewrap" and "bubblewrap is not installed" in found.reason
    assert not found.mend or "bubblewrap" in found.mend


def test_find_tries_bubblewrap_and_quotes_its_failure(tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    name, (forbids, allows) = next(iter(SWITCHES.items()))
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(forbids + "\n")
    found = sandbox.find(["bubblewrap"], str(broken), tmp_path)
    assert (found.kind, found.network) == ("open", "open")
    assert found.reason == "bubblewrap fails: bwrap: No permissions to create new namespace"
    assert found.mend == f"sysctl -w kernel.unprivileged_userns_clone={allows}"


def test_mending_names_the_switch_that_forbids(tmp_path):
    assert mending(tmp_path) == ""
    for name, (forbids, allows) in SWITCHES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(allows)
        assert mending(tmp_path) == ""
        path.write_text(f"{forbids}\n")
        assert mending(tmp_path) == f"sysctl -w {name.replace('/', '.')}={allows}"
        path.unlink()


def test_nothing_that_works_is_a_clear_notice():
    found = sandbox.find([])
    assert (found.kind, found.network) == ("open", "open")
    assert str(found).startswith("nothing confines a trial (sealed: open)")
    words = str(Confinement("landlock", "none", "bubblewrap is not installed", "apt-get install bubblewrap"))
    assert words == "landlock, network none: bubblewrap is not installed; `apt-get install bubblewrap`"


@pytest.mark.parametrize("confinement", [OPEN, REMOTE])
def test_command_without_confinement_is_the_command_itself(confinement):
    assert sandbox.command(confinement, NOTHING, ["python", "train.py"]) == ["python", "train.py"]
    assert confinement.network == "open" and confinement.kind in str(confinement)


# --- what is shown


def test_view_is_an_allow_list_without_root_or_home(tmp_path):
    box = Box(tmp_path, "open")
    shown = box.view
    for path in (*shown.readable, *shown.writable):
        assert path.is_absolute() and path == path.resolve()
        assert not box.home.is_relative_to(path) and not Path("/root").is_relative_to(path)
    assert shown.writable == (box.trial, box.compiled)
    assert box.trial / "code" in shown.readable and box.cache / "set/train" in shown.readable
    assert not any((box.cache / "set/held").is_relative_to(path) for path in shown.readable)


@pytest.mark.parametrize("name", ["home", ""])
def test_view_refuses_to_show_a_home(tmp_path, name):
    (tmp_path / "home").mkdir()
    variables = {"HOME": str(tmp_path / "home")}
    with pytest.raises(Refused, match="never a home, but got"):
        sandbox.view(tmp_path / "t", tmp_path / "c", [tmp_path / name], [], variables)


def test_view_passes_the_given_environment_with_its_own_folders(tmp_path):
    box = Box(tmp_path, "open")
    env = box.view.env
    assert env[process.MARK] == str(box.trial) and env["AUTORESEARCH_CACHE"] == str(box.cache)
    assert not set(env) & set(SECRETS)
    source = {"HOME": "/home/someone", "AUTORESEARCH_DATASET": "~/texts"}
    env = sandbox.view(box.trial, box.compiled, [], [], source).env
    assert env["AUTORESEARCH_CACHE"] == "/home/someone/.cache/autoresearch"
    assert (env["AUTORESEARCH_DATASET"], env["HOME"]) == ("/home/someone/texts", str(box.trial))


def test_view_follows_links_and_keeps_their_names(tmp_path):
    real, name = tmp_path / "disk/data", tmp_path / "data"
    real.mkdir(parents=True)
    name.symlink_to(real)
    shown = sandbox.view(tmp_path / "t", tmp_path / "c", [name, name / "below"], [], {"HOME": "/nowhere"})
    assert real in shown.readable and name not in shown.readable
    assert shown.links[name] == real and name / "below" not in shown.links
    words = bubblewrap("bwrap", shown)
    at = words.index(str(name))
    assert words[at - 2 : at] == ["--symlink", str(real)]


def test_bubblewrap_lets_the_deeper_path_win():
    top, inner, deep = Path("/a"), Path("/a/b"), Path("/a/b/c")
    words = bubblewrap("bwrap", View(readable=(deep, top), writable=(inner,), hidden=()))
    assert words.index(str(top)) < words.index(str(inner)) < words.index(str(deep))
    assert "--unshare-all" in words and words[-4:] == ["--remount-ro", "/dev", "--remount-ro", "/"]


# --- what is held out


def test_held_packages_are_read_from_the_source_of_prepare(tmp_path):
    import prepare

    assert sandbox.held_packages(ROOT / "prepare.py") == prepare.HELD_PACKAGES
    other = tmp_path / "prepare.py"
    other.write_text("x = 1\n")
    assert sandbox.held_packages(other) == ()
    for text in ("HELD_PACKAGES = tuple(names)\n", "HELD_PACKAGES = (\n"):
        other.write_text(text)
        with pytest.raises(BadConfig, match="HELD_PACKAGES in a literal"):
            sandbox.held_packages(other)


def test_package_files_hold_every_python_file_of_the_packages():
    import importlib.metadata

    names = sandbox.held_packages(ROOT / "prepare.py")
    hidden = sandbox.package_files(names)
    for name in names:
        for path in importlib.metadata.files(name) or ():
            if path.suffix == ".py" and ".." not in path.parts:
                assert any(Path(str(path.locate())).is_relative_to(one) for one in hidden), path
    assert not [path for path in hidden if path.name in ("torch", "numpy", "torchgen") or path.name.endswith("-info")]
    assert sandbox.package_files(["no-such-package"]) == []


def test_training_data_leaves_held_out_text_away(tmp_path):
    for name in ("set/train", "set/held/val", "other/train"):
        (tmp_path / name).mkdir(parents=True)
    assert sandbox.training_data(tmp_path, "set") == [tmp_path / "set/train"]
    (tmp_path / "kernels").mkdir()
    assert sandbox.training_data(tmp_path, "set") == [tmp_path / "set/train", tmp_path / "kernels"]


def test_nothing_hidden_is_on_the_path_of_the_interpreter(tmp_path):
    hidden = sandbox.view(tmp_path / "t", tmp_path / "c", [], [], {"HOME": "/nowhere"}).hidden
    assert not {os.path.realpath(path) for path in sys.path if path} & {str(path) for path in hidden}
