"""autoresearch/hub/client/fetch.py: a stranger's train.py comes in, and nothing else of what strangers send."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import hostile
import night
import pytest
import scripted
import shared
from scripted import Answer

from autoresearch.attempt import setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import HubError, Refused
from autoresearch.hub.client import fetch
from autoresearch.hub.client.api import Api, Patience
from autoresearch.repo import Repo

SAMPLE = [*hostile.bombs(), *[*hostile.corpus()][::4]]  # the hub refuses all of them by the same code
CASES = [*{one[0]: one for one in SAMPLE}.values()]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> night.Night:
    """A repository that nothing may change."""
    return shared.fresh(tmp_path_factory.mktemp("ours") / "repo")


@pytest.fixture(scope="module")
def hub() -> Iterator[scripted.Scripted]:
    with scripted.serving(Answer()) as server:
        yield server


def theirs(folder: Path, **edits: str) -> tuple[str, bytes]:
    """Somebody else's commit on the same four files, and its bundle."""
    other = shared.fresh(folder)
    other.edit(LR=0.5)
    for name, text in edits.items():
        (other.root / name.replace("_", ".")).write_text(text)
    other.git("add", "-A")
    other.git("commit", "-qam", "theirs")
    root = shared.root_of(other, "HEAD")
    return root, Repo(other.root, other.env).bundle(root, [])


def taken(one: night.Night, hub: scripted.Scripted, name: str, content: bytes) -> tuple[str, str]:
    hub.answer = lambda asked: Answer(200, content)
    return fetch.fetch(Api(hub.who, Patience(30, 30)), Repo(one.root, one.env), name)


def state(one: night.Night) -> tuple[str, str, list[str]]:
    """References, objects and files."""
    files = sorted(str(path) for path in one.root.rglob("*") if "/.git/" not in str(path))
    return one.git("for-each-ref"), one.git("cat-file", "--batch-all-objects", "--batch-check"), files


def test_fetch_takes_the_commit_and_touches_no_file(tmp_path: Path, hub: scripted.Scripted) -> None:
    one = shared.fresh(tmp_path / "repo")
    commit, content = theirs(tmp_path / "other")
    before = state(one)[2]
    found, text = taken(one, hub, commit[:8], content)
    assert hub.asked[-1].path == f"/api/git/fetch/{commit[:8]}"
    assert found == commit and "\nLR = 0.5\n" in text
    assert one.git("show", f"refs/agenthub/{commit}:train.py") + "\n" == text
    assert state(one)[2] == before and one.git("status", "--porcelain") == ""
    assert fetch.origins(Repo(one.root, one.env), commit) == [commit]
    assert fetch.origins(Repo(one.root, one.env), one.git("rev-parse", "HEAD")) == []
    assert taken(one, hub, commit, content) == (found, text)


def test_origins_are_those_of_the_whole_history(tmp_path: Path, hub: scripted.Scripted) -> None:
    one = shared.fresh(tmp_path / "repo")
    repo, before = Repo(one.root, one.env), one.git("rev-parse", "HEAD")
    commit, content = theirs(tmp_path / "other")
    text = taken(one, hub, commit, content)[1]
    assert fetch.origins(repo, before) == []
    (one.root / "train.py").write_text(text)
    one.git("commit", "-qam", "theirs, by hand")
    one.edit(DEPTH=7)
    one.git("commit", "-qam", "and changed")
    assert fetch.origins(repo, one.git("rev-parse", "HEAD")) == [commit]


def test_origins_of_what_was_tried_in_a_marked_tag(tmp_path: Path, hub: scripted.Scripted) -> None:
    one = shared.fresh(tmp_path / "repo")
    repo, root = Repo(one.root, one.env), shared.root_of(one)
    tag = Campaign.open(one.root, one.env, lambda text: None, "t1")
    setup.prepare_tag(tag, root, "now")
    commit, content = theirs(tmp_path / "other")
    taken(one, hub, commit, content)
    tag.note_foreign(commit)
    one.edit(LR=0.5, DEPTH=7)  # what came was changed before it was ever committed
    one.git("commit", "-qam", "and changed")
    tried = one.git("rev-parse", "HEAD")
    alone = shared.root_of(one, tried)  # as a tag for a hub begins on it, without its history
    one.git("reset", "-q", "--hard", root)
    assert fetch.origins(repo, tried) == fetch.origins(repo, alone) == []
    repo.keep_reachable(tag.ref(2), tried)
    assert fetch.origins(repo, tried) == fetch.origins(repo, alone) == [commit]
    assert fetch.origins(repo, root) == fetch.origins(repo, one.git("rev-parse", "main")) == []
    shutil.rmtree(one.root / "results")  # as another worktree sees it
    assert fetch.origins(repo, alone) == [commit]


@pytest.mark.parametrize("name", ["prepare.py", "pyproject.toml", "uv.lock"])
def test_fetch_names_the_file_that_differs(one: night.Night, hub: scripted.Scripted, tmp_path: Path, name: str) -> None:
    commit, content = theirs(tmp_path, **{name.replace(".", "_"): (one.root / name).read_text() + "\n"})
    before = state(one)
    with pytest.raises(Refused, match=f"{name} of {commit[:7]} must equal yours byte for byte"):
        taken(one, hub, commit, content)
    assert state(one) == before


@pytest.mark.parametrize("text", ["x = '" + 300_000 * "y" + "'\n", "LR = '\udcff'\n"], ids=["large", "no UTF-8"])
def test_fetch_takes_no_train_that_is_no_code(
    one: night.Night, hub: scripted.Scripted, tmp_path: Path, text: str
) -> None:
    pack, before = hostile.Pack(), state(one)
    blobs = {name: (one.root / name).read_bytes() for name in ("prepare.py", "pyproject.toml", "uv.lock")}
    blobs["train.py"] = text.encode(errors="surrogateescape")
    tree = pack.tree(*(("100644", name.encode(), pack.blob(blobs[name])) for name in sorted(blobs)))
    commit = pack.commit(tree)
    with pytest.raises(Refused, match=r"train\.py of "):
        taken(one, hub, commit, hostile.bundle([commit], pack.done()))
    assert state(one) == before


def test_fetch_wants_the_commit_that_it_asked_for_and_all_of_its_history(
    one: night.Night, hub: scripted.Scripted, tmp_path: Path
) -> None:
    commit, content = theirs(tmp_path)
    with pytest.raises(HubError, match="must hold 0000000"):
        taken(one, hub, "0000000", content)
    pack = hostile.Pack()
    alone = pack.commit(pack.tree(("100644", b"train.py", pack.blob(b"x"))), hostile.NOBODY)
    with pytest.raises(HubError, match="invalid bundle"):
        taken(one, hub, alone, hostile.bundle([alone], pack.done()))
    with pytest.raises(HubError, match="with its whole history"):
        taken(one, hub, commit, content.replace(b"bundle\n", f"bundle\n-{hostile.NOBODY} base\n".encode(), 1))


@pytest.mark.parametrize(("what", "content", "words"), CASES, ids=[what for what, _, _ in CASES])
def test_fetch_takes_nothing_hostile(
    one: night.Night, hub: scripted.Scripted, what: str, content: bytes, words: str
) -> None:
    before = state(one)
    lines = content[:200].split(b"\n")
    name = lines[1][:40].decode(errors="replace") if len(lines) > 1 else "abcd"
    with pytest.raises(HubError, match="invalid bundle"):
        taken(one, hub, name, content)
    assert state(one) == before
