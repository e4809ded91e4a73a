"""autoresearch/hub/client/credentials.py: what it writes a shell can source, and what it reads it never runs."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from autoresearch.errors import Damaged, Refused
from autoresearch.hub.client import credentials
from autoresearch.hub.client.credentials import Credentials

WHO = Credentials("http://127.0.0.1:8080", "0123abcd", "node-7.a")
HOSTILE = ['"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "a b", "x\ny", "", "ключ", "a'b", 'a"b', "\\"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_credentials_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    credentials.write(path, WHO)
    assert path.read_text() == (
        'export HUB="http://127.0.0.1:8080"\nexport HUB_KEY="0123abcd"\nexport AGENT_ID="node-7.a"\n'
    )
    assert credentials.read(path, {"HUB": "http://elsewhere.example"}) == WHO
    assert mode(path) == 0o600 and os.listdir(tmp_path) == ["creds"]
    assert "0123abcd" not in repr(WHO)


def test_credentials_can_be_sourced(tmp_path: Path) -> None:
    credentials.write(tmp_path / "creds", WHO)
    script = 'source ./creds && sh -c "echo $HUB $HUB_KEY $AGENT_ID"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert done.stdout.decode().split() == [WHO.hub, WHO.key, WHO.agent]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["hub", "key", "agent"])
def test_credentials_refuse_to_write_what_a_shell_might_run(tmp_path: Path, name: str, value: str) -> None:
    fields = {"hub": WHO.hub, "key": WHO.key, "agent": WHO.agent, name: value}
    with pytest.raises(Refused, match="nothing was written"):
        credentials.write(tmp_path / "creds", Credentials(**fields))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("umask", [0o000, 0o027])
def test_credentials_have_their_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        credentials.write(tmp_path / "creds", WHO)
    finally:
        os.umask(old)
    assert mode(tmp_path / "creds") == 0o600


def test_credentials_replace_a_link_and_do_not_follow_it(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "creds"
    other.write_text("somebody else's")
    path.symlink_to(other)
    (tmp_path / f".creds.{os.getpid()}").symlink_to(other)
    credentials.write(path, WHO)
    assert other.read_text() == "somebody else's" and not path.is_symlink() and mode(path) == 0o600


def test_credentials_of_the_plain_playbook_take_the_address_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_text('export HUB_KEY="abc"\nexport AGENT_ID="me"\n')
    assert credentials.read(path, {"HUB": "http://hub.example/"}) == Credentials("http://hub.example", "abc", "me")
    with pytest.raises(Refused, match="HUB must be the address"):
        credentials.read(path, {})


@pytest.mark.parametrize("line", ["HUB_KEY=abc", "HUB_KEY='abc'", '  export   HUB_KEY="abc"  '])
def test_credentials_are_read_in_every_plain_spelling(tmp_path: Path, line: str) -> None:
    path = tmp_path / "creds"
    path.write_text(f"# mine\n{line}\n\nAGENT_ID=me\nOTHER=$(date)\nHUB=https://hub.example:8443/team\n")
    assert credentials.read(path, {}) == Credentials("https://hub.example:8443/team", "abc", "me")


def test_credentials_count_by_their_last_line(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_text("HUB=http://a\nHUB_KEY=old\nAGENT_ID=me\nHUB_KEY=new\n")
    assert credentials.read(path, {}).key == "new"


@pytest.mark.parametrize("value", ["$(touch pwned)", '"a b"', "a; touch pwned", '"abc', "sécret"])
def test_credentials_are_not_run_and_a_bad_value_is_not_repeated(tmp_path: Path, value: str) -> None:
    path = tmp_path / "creds"
    path.write_text(f"HUB=http://a\nHUB_KEY={value}\nAGENT_ID=me\n")
    with pytest.raises(Damaged, match="line 2: HUB_KEY must match") as caught:
        credentials.read(path, {})
    assert "touch" not in str(caught.value) and "cret" not in str(caught.value)
    assert os.listdir(tmp_path) == ["creds"]


@pytest.mark.parametrize("address", ["file:///etc/passwd", "hub.example", "http://", "http://a:b", "http://[::1"])
def test_credentials_refuse_what_is_no_address(tmp_path: Path, address: str) -> None:
    path = tmp_path / "creds"
    path.write_text('HUB_KEY="abc"\nAGENT_ID="me"\n')
    with pytest.raises(Refused, match="http://… or https://…"):
        credentials.read(path, {"HUB": address})


def test_credentials_that_are_missing_or_lack_a_name_say_how_to_join(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="hub join URL NAME"):
        credentials.read(tmp_path / "none", {})
    (tmp_path / "creds").write_text("HUB=http://a\n")
    with pytest.raises(Damaged, match="HUB_KEY and AGENT_ID"):
        credentials.read(tmp_path / "creds", {})
