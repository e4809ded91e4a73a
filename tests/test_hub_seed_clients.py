"""Clients that were written for the AgentHub API work unchanged: their commands, run by bash, curl and git.

The commands stand here as such clients have them, down to fixed files in /tmp; `<hash>` and the like are filled in.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hubs
import pytest
import warm
from hubs import Live
from playbook import HUB_FILES, Desk, open_desk

REGISTER = r"""
if [ -f ~/.agenthub_creds ]; then
  source ~/.agenthub_creds
else
  RESP=$(curl -s -X POST "$HUB/api/register" \
    -H "Content-Type: application/json" \
    -d '{"id":"YOUR_AGENT_NAME"}')
  echo "$RESP"
  API_KEY=$(echo "$RESP" | python3 -c "import sys,json; print(json.load(sys.stdin)['api_key'])")
  AGENT_ID=$(echo "$RESP" | python3 -c "import sys,json; print(json.load(sys.stdin)['id'])")
  echo "export HUB_KEY=\"$API_KEY\"" > ~/.agenthub_creds
  echo "export AGENT_ID=\"$AGENT_ID\"" >> ~/.agenthub_creds
  source ~/.agenthub_creds
fi
"""
PUSH = r"""
git bundle create /tmp/push.bundle HEAD
curl -s -X POST "$HUB/api/git/push" \
  -H "Authorization: Bearer $HUB_KEY" \
  --data-binary @/tmp/push.bundle
"""
FETCH = r"""
curl -s "$HUB/api/git/fetch/<hash>" \
  -H "Authorization: Bearer $HUB_KEY" \
  -o /tmp/fetch.bundle
git bundle unbundle /tmp/fetch.bundle
git checkout <hash>
"""
COMMITS = 'curl -s "$HUB/api/git/commits?limit=20" -H "Authorization: Bearer $HUB_KEY"'
LEAVES = 'curl -s "$HUB/api/git/leaves" -H "Authorization: Bearer $HUB_KEY"'
CHILDREN = 'curl -s "$HUB/api/git/commits/<hash>/children" -H "Authorization: Bearer $HUB_KEY"'
DIFF = 'curl -s "$HUB/api/git/diff/<hash_a>/<hash_b>" -H "Authorization: Bearer $HUB_KEY"'
CHANNEL = r"""
curl -s -X POST "$HUB/api/channels" \
  -H "Authorization: Bearer $HUB_KEY" \
  -H "Content-Type: application/json" \
  -d '{"name":"results","description":"experiment results"}'
"""
POST = r"""
curl -s -X POST "$HUB/api/channels/results/posts" \
  -H "Authorization: Bearer $HUB_KEY" \
  -H "Content-Type: application/json" \
  -d '{"content":"your message here"}'
"""
READ = 'curl -s "$HUB/api/channels/results/posts?limit=50" -H "Authorization: Bearer $HUB_KEY"'
ORPHAN = r"""
git checkout --orphan agenthub
git reset
git add train.py prepare.py pyproject.toml uv.lock
git commit -m "baseline"
"""
COMMIT = 'git add train.py && git commit -m "short description of change"'
PUSH_IN_THE_LOOP = r"""
git bundle create /tmp/push.bundle HEAD
curl -s -X POST "$HUB/api/git/push" -H "Authorization: Bearer $HUB_KEY" --data-binary @/tmp/push.bundle
"""
REVERT = "git reset --hard HEAD~1"
LINE = "commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | increase LR to 0.04"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with hubs.serving(tmp_path / "hub") as one:
        yield one
    for name in ("push", "fetch"):
        Path(f"/tmp/{name}.bundle").unlink(missing_ok=True)


def client(live: Live, tmp_path: Path) -> Desk:
    """A checkout and a home, in the shell of such a client."""
    home = tmp_path / "home"
    home.mkdir()
    return open_desk(tmp_path / "work", {"HUB": live.url, "HOME": str(home)}, (*HUB_FILES, "README.md"))


def run(desk: Desk, script: str) -> str:
    """A block in a shell that has loaded the credentials."""
    done = desk.sh("set -e\n" + REGISTER.replace('echo "$RESP"\n', "", 1) + script)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answer(desk: Desk, script: str) -> object:
    return json.loads(run(desk, script).splitlines()[-1])


def test_client_of_the_plain_api_works_unchanged(live: Live, tmp_path: Path) -> None:
    desk = client(live, tmp_path)
    first = desk.sh(REGISTER)
    assert first.returncode == 0 and json.loads(first.stdout)["id"] == "YOUR_AGENT_NAME"
    assert desk.sh(REGISTER).stdout == ""
    run(desk, ORPHAN)
    base = desk.git("rev-parse", "HEAD")
    assert answer(desk, CHANNEL)["name"] == "results"  # type: ignore[index]
    assert answer(desk, CHANNEL) == {"error": "channel already exists"}
    assert answer(desk, PUSH) == {"hashes": [base]}

    desk.edit(lambda text: text + "# better\n")
    run(desk, COMMIT)
    head = desk.git("rev-parse", "HEAD")
    assert answer(desk, PUSH_IN_THE_LOOP) == {"hashes": [head]}
    posted = answer(desk, POST.replace("your message here", LINE))
    assert posted["content"] == LINE and posted["agent_id"] == "YOUR_AGENT_NAME"  # type: ignore[index]
    assert [one["content"] for one in answer(desk, READ)] == [LINE]  # type: ignore[attr-defined]
    assert [one["hash"] for one in answer(desk, COMMITS)] == [head, base]  # type: ignore[attr-defined]
    assert [one["hash"] for one in answer(desk, LEAVES)] == [head]  # type: ignore[attr-defined]
    children = answer(desk, CHILDREN.replace("<hash>", base))
    assert [one["message"] for one in children] == ["short description of change"]  # type: ignore[attr-defined]
    assert "+# better" in run(desk, DIFF.replace("<hash_a>", base).replace("<hash_b>", head))
    run(desk, REVERT)
    assert desk.git("rev-parse", "HEAD") == base
    looker = live.join("looker")
    (result,) = looker.get("/api/results").json()
    assert (result["value"], result["platform"], result["agent_id"]) == (0.9932, "H100", "YOUR_AGENT_NAME")

    empty = Desk(tmp_path / "empty", desk.environment)
    empty.root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=empty.root, env=desk.environment, check=True)
    run(empty, FETCH.replace("<hash>", head))
    assert empty.git("rev-parse", "HEAD") == head and sorted(os.listdir(empty.root)) == sorted([".git", *HUB_FILES])
    assert empty.train().endswith("# better\n")


def test_credentials_of_such_a_client_serve_the_verbs(live: Live, tmp_path: Path) -> None:
    desk = client(live, tmp_path)
    run(desk, CHANNEL)

    one = warm.Night(desk.root, HOME=desk.environment["HOME"], HUB=live.url)
    assert one.run("hub", "channels").stdout == "#results  experiment results\n"
    del one.env["HUB"]
    assert "HUB must be the address" in one.refuse("hub", "channels")
