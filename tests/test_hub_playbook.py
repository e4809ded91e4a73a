"""program_agenthub.md works: every shell block of it is run as it stands, with bash, curl and git, against a live hub.

Not covered: that an agent follows the page.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import hubs
import night
import pytest
from hubs import Live
from playbook import HUB_FILES, PEOPLES_FILES, ROOT, Desk, Page, open_desk, stand_ins

from autoresearch.hub.result_line import parse_lines
from autoresearch.repo import Repo

VERB_MARKS = {
    "register": "hub join",
    "check": "--identity",
    "channels": "hub channels",
    "begin": 'setup "$TAG" --hub',
    "wait": "autoresearch wait",
    "read": "hub brief",
    "look": "hub children",
    "try": "autoresearch try",
    "analyze": "autoresearch analyze",
    "post": "hub post",
    "reply": "hub reply",
    "fetch": "hub fetch",
    "base": "--from",
}
HAND_MARKS = {
    "register by hand": "/api/register",
    "channels by hand": "for CHANNEL in",
    "branch by hand": "--orphan",
    "read by hand": "/api/brief",
    "claim by hand": "/api/claims",
    "commit by hand": "git commit --quiet --only",
    "run by hand": "nohup",
    "wait by hand": "seq 100",
    "tell by hand": "SCORES=",
    "push by hand": "/api/git/push",
    "back by hand": "git reset --keep",
    "discuss by hand": 'POST="',
    "fetch by hand": "/api/git/fetch",
}
PAGE = Page("program_agenthub.md", VERB_MARKS | HAND_MARKS)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with hubs.serving(tmp_path / "hub") as one:
        yield one


def open_at(tmp_path: Path, files: tuple[str, ...], **own: str) -> Desk:
    """A desk of this page, with a home of its own and nothing of the outer session."""
    desk = stand_ins(open_desk(tmp_path / "work", {}, files), tmp_path / "tools", **own)
    desk.page = PAGE
    desk.environment = {n: v for n, v in desk.environment.items() if not n.startswith("AUTORESEARCH_")}
    desk.environment["HOME"] = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    return desk


def edit(desk: Desk, name: str, value: str) -> None:
    desk.edit(lambda text: re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE))


def verdict(desk: Desk) -> str:
    for _ in range(20):
        if "no verdict yet" not in (told := desk.walk("wait")):
            return told
    raise AssertionError("no verdict after 20 calls")


def contents(live: Live, channel: str) -> list[str]:
    """Posts of a channel, oldest first."""
    rows = live.join(f"reader-of-{channel}").get(f"/api/channels/{channel}/posts", limit=200).json()
    return [row["content"] for row in rows][::-1]


def pushed_by_another(live: Live, desk: Desk, name: str, text: str) -> str:
    """A commit of another agent on top of this branch's, which is at the hub."""
    repo = Repo(desk.root, desk.environment)
    commit = repo.with_text(desk.git("rev-parse", "HEAD"), "train.py", text, "theirs")
    done = live.join(name).call("POST", "/api/git/push", data=repo.bundle(commit, []))
    assert done.status_code == 201, done.text
    return commit


@pytest.mark.parametrize("text", sorted(set(PAGE.blocks)), ids=lambda text: text.split("\n")[0][:40])
def test_block_is_known_here(text: str) -> None:
    assert sum(mark in text for mark in PAGE.marks.values()) == 1


def test_page_leads_to_nothing_that_destroys_work() -> None:
    shell = "\n".join(PAGE.blocks)
    assert not re.search(r"--hard|git (clean|stash|push\b)|add (-A|\.)|commit[^|]* -a|pkill|killall|rm -r", shell)


@pytest.mark.slow
def test_page_is_walked_through_the_verbs(live: Live, tmp_path: Path) -> None:
    own = {"train.py": night.TRAIN.read_text(), "prepare.py": night.PREPARE.read_text(), "rules.txt": "frozen\n"}
    desk = open_at(tmp_path, (*HUB_FILES, *PEOPLES_FILES, "autoresearch"), **own)
    assert "joined" in desk.walk("register", HUB=live.url, NAME="walker")
    assert desk.walk("register", HUB=live.url, NAME="walker") == ""
    assert '"platform": "fakex1"' in desk.walk("check")
    assert desk.walk("channels") == "#results made\n#discussion made\n"
    assert "runs in the background" in desk.walk("begin")
    assert "attempt 0001" in verdict(desk)
    baseline = desk.git("rev-parse", "HEAD")
    assert desk.git("ls-tree", "-r", "--name-only", "HEAD").split() == sorted(HUB_FILES)
    assert desk.git("rev-list", "HEAD") == baseline

    told = desk.walk("read")
    assert "fake" in told and "baseline" in told and "0001" in told
    edit(desk, "LR", "0.5")
    assert "runs in the background" in desk.walk("try", m="halve LR", hypothesis="lower is better")
    assert re.search("^keep ", verdict(desk), flags=re.MULTILINE)
    desk.walk("analyze", result="lower", expected="better", why="LR", lesson="go on")
    lines = [line.description for content in contents(live, "results") for line in parse_lines(content)]
    assert lines == ["baseline", "baseline", "halve LR"]
    keep = desk.git("rev-parse", "HEAD")
    assert keep[:7] in desk.walk("look", HASH=baseline[:7])
    number = desk.walk("post").split()[1]
    desk.walk("reply", NUMBER=number)
    assert contents(live, "discussion")[1] == "the same here, on 4090"

    theirs = pushed_by_another(live, desk, "other", desk.train().replace("DEPTH = 4", "DEPTH = 6"))
    assert "+DEPTH = 6" in desk.walk("fetch", HASH=theirs)
    assert "runs in the background" in desk.walk("base", HASH=theirs[:7], TAG="nov20b")
    assert "attempt 0001" in verdict(desk)
    assert desk.git("rev-parse", "autoresearch/nov20b") == theirs and "DEPTH = 6" in desk.train()
    assert (desk.root / "draft.txt").read_text() == "an untracked draft"
    assert all((desk.root / name).exists() for name in PEOPLES_FILES)


def test_page_leads_off_the_branch_and_back(tmp_path: Path) -> None:
    """The two commands that the page names in a sentence."""
    text = (ROOT / PAGE.name).read_text()
    leave, come = re.findall(r"`(git [^`]* && git [^`]*)`", text[text.index("To leave the branch") :])[:2]
    desk = open_at(tmp_path, (*HUB_FILES, *PEOPLES_FILES))
    root = Repo(desk.root, desk.environment).root_of(desk.git("rev-parse", "HEAD"), [*HUB_FILES], "baseline")
    desk.git("branch", "autoresearch/TAG", root)
    before = sorted(path.name for path in desk.root.iterdir())
    for script, branch in ((come, "autoresearch/TAG"), (leave, "main"), (come, "autoresearch/TAG"), (leave, "main")):
        done = desk.sh(script)
        assert done.returncode == 0, done.stderr
        assert desk.git("branch", "--show-current") == branch and desk.git("diff", "HEAD") == ""
        assert sorted(path.name for path in desk.root.iterdir()) == before


@pytest.mark.slow
def test_page_is_walked_by_hand(live: Live, tmp_path: Path) -> None:
    desk = open_at(tmp_path, HUB_FILES)
    assert desk.walk("register by hand", HUB=live.url, NAME="hands") == ""
    credentials = tmp_path / "home" / ".agenthub_creds"
    assert os.stat(credentials).st_mode & 0o777 == 0o600 and 'export AGENT_ID="hands"' in credentials.read_text()
    key = credentials.read_text()
    assert desk.walk("register by hand", HUB=live.url, NAME="others") == "" and credentials.read_text() == key
    assert '"name":"results"' in desk.walk("channels by hand")
    assert desk.walk("channels by hand").count("already exists") == 2
    desk.edit(lambda text: text + "# unfinished\n")
    desk.walk("branch by hand", expect=1)
    desk.git("restore", "train.py")
    desk.walk("branch by hand")
    assert desk.git("rev-list", "--count", "HEAD") == "1" and desk.git("branch", "--show-current") == "agenthub"
    assert desk.git("ls-tree", "-r", "--name-only", "HEAD").split() == sorted(HUB_FILES)

    run_by_hand(desk)
    desk.walk("tell by hand", PLATFORM="H100", DESCRIPTION="baseline")
    baseline = desk.git("rev-parse", "HEAD")
    assert baseline in desk.walk("push by hand")
    desk.walk("back by hand", expect=1)
    assert desk.git("rev-parse", "HEAD") == baseline

    assert '"id":1' in desk.walk("claim by hand", IDEA='it is "BPB 1.4"')
    for bpb, mark in (("1.4", ""), ("1.6", " (DISCARD)"), ("oops", " (CRASH: oops)")):
        edit(desk, "BPB", bpb)
        commit = desk.walk("commit by hand", DESCRIPTION=f"BPB {bpb}").strip()
        run_by_hand(desk)
        assert '"content":"commit:' + commit in desk.walk("tell by hand", DESCRIPTION=f"BPB {bpb}{mark}")
        desk.walk("back by hand" if mark else "push by hand")
    assert (tmp_path / "limit").read_text().strip() == "600"
    told = "\n".join(contents(live, "results"))
    assert [(one.platform, one.val_bpb, one.description) for one in parse_lines(told)] == [
        ("H100", 1.500042, "baseline"),
        ("H100", 1.400042, "BPB 1.4"),
        ("H100", 1.600042, "BPB 1.6 (DISCARD)"),
        ("H100", None, "BPB oops (CRASH: oops)"),
    ]
    read = desk.walk("read by hand")
    assert "BPB 1.4" in read and desk.git("rev-parse", "HEAD") in read
    desk.walk("discuss by hand")
    assert contents(live, "discussion") == ["**Warmdown .7** beats .5 here; has anyone tried .9?"]
    fetch_by_hand(live, desk)


def run_by_hand(desk: Desk) -> None:
    desk.walk("run by hand")
    for _ in range(3):
        if "exit_code:" in desk.walk("wait by hand"):
            return
    raise AssertionError("the run did not end")


def fetch_by_hand(live: Live, desk: Desk) -> None:
    """Somebody's train.py comes as an edit; one with another lock file, or over an edit of ours, does not."""
    theirs = pushed_by_another(live, desk, "other", desk.train().replace("BPB = 1.4", "BPB = 1.2"))
    assert "+BPB = 1.2" in desk.walk("fetch by hand", HASH=theirs)
    assert "BPB = 1.2" in desk.train()
    edit(desk, "BPB", "1.1")
    desk.walk("fetch by hand", expect=1, HASH=theirs)
    assert "BPB = 1.1" in desk.train()
    desk.git("restore", "train.py")
    repo = Repo(desk.root, desk.environment)
    odd = repo.with_text(theirs, "uv.lock", "version = 2\n", "another lock file")
    assert live.join("odd").call("POST", "/api/git/push", data=repo.bundle(odd, [])).status_code == 201
    desk.walk("fetch by hand", expect=1, HASH=odd)
    assert "BPB = 1.4" in desk.train()
