"""A hub under any sequence of pushes, posts and clearing up, against a model of what it must remember."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import hostile
import pytest
import requests
from clones import send
from hubs import Client, serving
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from autoresearch.hub.limits import HOUR_S, Limits

LIMITS = Limits(pushes_per_hour=8, posts_per_hour=4)
AGENTS = ("ada", "grace", "kay")
PAGE = 3


class Forest:
    """Commits that agents have made, pushed or not, object by object."""

    def __init__(self) -> None:
        self.objects: dict[str, list[tuple[int, bytes]]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}

    def add(self, text: int, parents: tuple[str, ...]) -> str:
        """Make a commit."""
        number, blob = len(self.parents), b"DEPTH = %d\n" % text
        tree = b"100644 train.py\0" + bytes.fromhex(hostile.name_of(hostile.BLOB, blob))
        lines = [
            b"tree " + hostile.name_of(hostile.TREE, tree).encode(),
            *(b"parent " + one.encode() for one in parents),
        ]
        who = [b"author " + hostile.WHO, b"committer " + hostile.WHO]
        commit = b"\n".join([*lines, *who, b"", b"idea %d\n" % number])
        name = hostile.name_of(hostile.COMMIT, commit)
        self.objects[name] = [(hostile.COMMIT, commit), (hostile.TREE, tree), (hostile.BLOB, blob)]
        self.parents[name] = parents
        return name

    def ancestors(self, *names: str) -> set[str]:
        """These commits and all that they are built on."""
        found, wanted = set(), [*names]
        while wanted:
            if (name := wanted.pop()) not in found:
                found.add(name)
                wanted.extend(self.parents[name])
        return found

    def bundle(self, heads: list[str], needs: set[str]) -> bytes:
        """What `git bundle create` makes of heads without what the hub is said to have."""
        pack = hostile.Pack()
        names = self.ancestors(*heads) - self.ancestors(*needs)
        for kind, content in sorted({one for name in names for one in self.objects[name]}):
            pack.add(kind, content)
        return hostile.bundle(heads, pack.done(), needs)


class Agents(RuleBasedStateMachine):
    """What agents do, and what must hold after each of their acts."""

    commits: Bundle[str] = Bundle("commits")

    @initialize(target=commits)
    def open(self) -> str:
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp(prefix="hub-"))
        self.stack.callback(shutil.rmtree, folder)
        self.live = self.stack.enter_context(serving(folder / "hub", LIMITS))
        self.agents = {name: self.live.join(name) for name in AGENTS}
        self.agents["ada"].post("/api/channels", name="talk")
        self.forest, self.owners = Forest(), dict[str, str]()
        self.acts: list[tuple[str, str, float]] = []
        self.posts: list[int] = []
        return self.forest.add(0, ())

    def teardown(self) -> None:
        self.stack.close()

    def admits(self, kind: str, name: str, most: int) -> bool:
        """Whether one more act of this kind is allowed; it is counted then."""
        now = self.live.clock.now
        is_allowed = len([one for one in self.acts if one[:2] == (kind, name) and one[2] > now - HOUR_S]) < most
        if is_allowed:
            self.acts.append((kind, name, now))
        return is_allowed

    def push(self, name: str, data: bytes) -> requests.Response | None:
        """Push; None where the limit says no, as it must."""
        is_allowed = self.admits("pushes", name, LIMITS.pushes_per_hour)
        done = send(self.agents[name], data)
        assert (done.status_code == 429) == (not is_allowed)
        return done if is_allowed else None

    @rule(target=commits, text=st.integers(0, 3), parents=st.lists(commits, max_size=3))
    def commit(self, text: int, parents: list[str]) -> str:
        return self.forest.add(text, (*dict.fromkeys(parents),))

    @rule(
        name=st.sampled_from(AGENTS),
        heads=st.lists(commits, min_size=1, max_size=3),
        is_thin=st.booleans(),
    )
    def push_what_fits(self, name: str, heads: list[str], is_thin: bool) -> None:
        """A full bundle, or one that leaves out what the hub has; pushed before or not."""
        heads = [*dict.fromkeys(heads)]
        wanted = self.forest.ancestors(*heads)
        needs = {
            parent for one in wanted - self.owners.keys() for parent in self.forest.parents[one]
        } & self.owners.keys()
        done = self.push(name, self.forest.bundle(heads, needs if is_thin else set()))
        if done is not None:
            assert (done.status_code, done.json()) == (201, {"hashes": heads}), done.text
            self.owners |= dict.fromkeys(wanted - self.owners.keys(), name)

    @rule(target=commits, name=st.sampled_from(AGENTS), left=commits, right=commits, is_thin=st.booleans())
    def build_and_push(self, name: str, left: str, right: str, is_thin: bool) -> str:
        """A merge, or one step on."""
        head = self.forest.add(9, (*dict.fromkeys([left, right]),))
        self.push_what_fits(name, [head], is_thin)
        return head

    @rule(target=commits, name=st.sampled_from(AGENTS), parent=commits, is_silent=st.booleans())
    def push_out_of_order(self, name: str, parent: str, is_silent: bool) -> str:
        """A bundle that rests on what was not pushed yet, and says so or keeps quiet about it."""
        missing = self.forest.add(5, (parent,))
        head = self.forest.add(6, (missing,))
        data = self.forest.bundle([head], {missing})
        done = self.push(name, data.replace(f"-{missing} base\n".encode(), b"") if is_silent else data)
        assert done is None or (done.status_code, "was not pushed" in done.text) == (400, not is_silent)
        return head

    @rule(name=st.sampled_from(AGENTS))
    def post(self, name: str) -> None:
        is_allowed = self.admits("posts", name, LIMITS.posts_per_hour)
        done = self.agents[name].post("/api/channels/talk/posts", content=f"post {len(self.posts)}")
        assert done.status_code == (201 if is_allowed else 429)
        if is_allowed:
            self.posts.append(done.json()["id"])

    @rule(seconds=st.sampled_from([60, HOUR_S // 2, HOUR_S]))
    def time_passes(self, seconds: int) -> None:
        self.live.clock.now += seconds

    @rule(is_thorough=st.booleans())
    def clear_up(self, is_thorough: bool) -> None:
        """Nothing that was answered may go, whatever an administrator does."""
        bare = self.live.hub.bare
        if is_thorough:
            with bare.reading("gc", "--quiet", "--prune=now"):
                pass
            assert bare.commits() == self.owners.keys()
            bare.check()
        else:
            bare.tidy()
            assert bare.commits() >= self.owners.keys()

    def pages(self, path: str) -> list[dict[str, str]]:
        """All pages of a list, one after the other."""
        client: Client = self.agents["ada"]
        found: list[dict[str, str]] = []
        url = f"{path}?limit={PAGE}"
        while url:
            done = client.call("GET", url)
            rows = done.json()
            total = int(done.headers["X-Total-Count"])
            assert len(rows) == min(PAGE, total - len(found))
            found += rows
            url = done.links.get("next", {}).get("url", "").removeprefix(client.url)
        assert len(found) == total
        return found

    @invariant()
    def lists_agree_with_the_model(self) -> None:
        known = self.owners.keys()
        rows = self.pages("/api/git/commits")
        assert {row["hash"]: row["agent_id"] for row in rows} == self.owners and len(rows) == len(self.owners)
        places = {row["hash"]: -place for place, row in enumerate(rows)}
        assert all(places[parent] < places[one] for one in known for parent in self.forest.parents[one])
        inner = {parent for one in known for parent in self.forest.parents[one]}
        leaves = self.pages("/api/git/leaves")
        assert [row["hash"] for row in leaves] == [row["hash"] for row in rows if row["hash"] not in inner]
        assert {row["hash"] for row in leaves} <= self.live.hub.bare.tips()
        assert [row["id"] for row in self.pages("/api/channels/talk/posts")] == self.posts[::-1]

    @invariant()
    def newest_line_ends_at_a_root(self) -> None:
        for name in [*self.owners][-2:]:
            client, line = self.agents["ada"], [name]
            while parents := self.forest.parents[line[-1]]:
                line.append(parents[0])
            rows = client.get(f"/api/git/commits/{name}/lineage").json()
            assert [row["hash"] for row in rows] == line and rows[-1]["parent_hash"] == ""
            children = {row["hash"] for row in client.get(f"/api/git/commits/{name}/children").json()}
            assert children == {one for one in self.owners if name in self.forest.parents[one]}


@pytest.mark.slow
def test_hub_agrees_with_its_model_whatever_agents_do() -> None:
    run_state_machine_as_test(
        Agents,
        settings=settings(
            max_examples=10, stateful_step_count=30, deadline=None, derandomize=True, database=None,
            suppress_health_check=[*HealthCheck], phases=[Phase.generate],  # to shrink would take minutes
        ),
    )  # fmt: skip
