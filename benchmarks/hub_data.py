"""A hub that has been used for a while: a folder with real commits, posts and results, for measurements.

Usage: python benchmarks/hub_data.py FOLDER [--commits 15000] [--posts 20000] [--results 20000] [--agents 40] [--seed 1]

Prints the keys of the agents as JSON.  Commits are of this repository's four files, each with a few constants of
train.py changed, in several lines with fans and merges; patch ids are digests of the edits, to save the minute that
git would take.  `hub serve --data FOLDER` then serves it.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autoresearch.hub.limits import Limits  # noqa: E402
from autoresearch.hub.store import Database, agents, board, commits, events  # noqa: E402
from autoresearch.repo.bare import Bare  # noqa: E402

FILES = ("train.py", "prepare.py", "pyproject.toml", "uv.lock")
PLATFORMS = ("H100", "A100", "4090", "M4-Max")
KNOBS = ("DEPTH = 9", "MATRIX_LR = 0.04", "WARMDOWN_RATIO = 0.7", "EMBEDDING_LR = 0.8", "ROPE_BASE = 200_000")
IDEAS = ("raise the peak", "narrow the window", "deeper and thinner", "decay later", "larger batch", "smaller init")
STEP_S = 240  # between two commits
CHUNK = 1000


@dataclass
class Filled:
    """What was put into a hub."""

    keys: dict[str, str] = field(default_factory=dict)
    """Of the agents, by name."""
    commits: list[str] = field(default_factory=list)
    """Hashes, oldest first."""


@dataclass(frozen=True)
class Plan:
    """One commit to be made."""

    parents: tuple[int, ...]
    knobs: tuple[int, ...]
    """How often each knob was changed since the root."""
    subject: str
    agent: int


def plan(num_commits: int, num_agents: int, rng: random.Random) -> list[Plan]:
    """A forest: every agent goes on with its own line, or builds on another's; the best ones have many children."""
    made: list[Plan] = []
    own: dict[int, int] = {}
    for number in range(num_commits):
        agent = rng.randrange(num_agents)
        if number < len(PLATFORMS):
            made.append(Plan((), (number,) + (0,) * (len(KNOBS) - 1), "baseline", agent))
            own[agent] = number
            continue
        recent = rng.randrange(max(0, number - 300), number)
        parent = own[agent] if agent in own and rng.random() < 0.5 else recent - recent % 20
        parents = (parent, recent) if rng.random() < 0.02 and recent != parent else (parent,)
        knob = rng.randrange(len(KNOBS))
        knobs = tuple(times + (place == knob) for place, times in enumerate(made[parent].knobs))
        subject = f"{rng.choice(IDEAS)}: {KNOBS[knob].partition(' ')[0]} no {number}"
        made.append(Plan(parents, knobs, subject, agent))
        own[agent] = number
    return made


def text_of(source: str, one: Plan, number: int) -> str:
    """train.py of a commit."""
    for line, times in zip(KNOBS, one.knobs, strict=True):
        source = source.replace(line, f"{line}{times}" if times else line, 1)
    return source + (f"\n# variant {number}\n" if number % 9 else "")  # one in nine repeats what another made


def stream(plans: list[Plan], begun: int) -> Iterator[bytes]:
    """What `git fast-import` is to make of it: marks 1, 2, ... are the train.py, then the commits."""
    sources = {name: (ROOT / name).read_bytes() for name in FILES}
    for number, one in enumerate(plans):
        text = text_of(sources["train.py"].decode(), one, number).encode()
        yield b"blob\nmark :%d\ndata %d\n%b\n" % (number + 1, len(text), text)
        head = f"commit refs/heads/filling\nmark :{len(plans) + number + 1}\n"
        who = f"committer agent{one.agent} <agent@localhost> {begun + number * STEP_S} +0000\n"
        yield f"{head}{who}data {len(one.subject)}\n{one.subject}\n".encode()
        if not one.parents:
            yield b"deleteall\n"
            for name in FILES[1:]:
                yield b"M 100644 inline %b\ndata %d\n%b\n" % (name.encode(), len(sources[name]), sources[name])
        for word, parent in zip(("from", "merge"), one.parents, strict=False):
            yield f"{word} :{len(plans) + parent + 1}\n".encode()
        yield b"M 100644 :%d train.py\n\n" % (number + 1)
        if not one.parents:  # the next root must not be built on this one
            yield b"reset refs/heads/filling\n\n"


def import_commits(bare: Bare, plans: list[Plan], begun: int) -> list[str]:
    """Make them; returns the object names of the train.py, then of the commits."""
    marks = bare.root / "marks"
    command = ["git", "fast-import", "--quiet", "--force", f"--export-marks={marks}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=bare.env, cwd=bare.root) as child:
        assert child.stdin
        for piece in stream(plans, begun):
            child.stdin.write(piece)
    assert child.returncode == 0
    rows = sorted((int(mark[1:]), name) for mark, name in map(str.split, marks.read_text().splitlines()))
    marks.unlink()
    bare.run("update-ref", "-d", "refs/heads/filling")
    return [name for _, name in rows]


def add_commits(db: Database, bare: Bare, plans: list[Plan], names: list[str], begun: int) -> list[str]:
    """Record them, as the pushes of their agents would have."""
    blobs, hashes = names[: len(plans)], names[len(plans) :]
    trees = [content[5:45].decode() for _, content in bare.contents(hashes)]
    for number, one in enumerate(plans):
        digest = hashlib.sha1(repr((one.subject.partition(" no ")[0], one.knobs)).encode()).hexdigest()
        parents = tuple(hashes[parent] for parent in one.parents)
        patch = digest if parents else None
        who = f"agent{one.agent} <agent@localhost>"
        made = commits.Arrival(hashes[number], parents, trees[number], who, one.subject, "", blobs[number], patch)
        commits.record(db, Limits(), f"agent{one.agent}", [made], begun + number * STEP_S)
    return hashes


def add_results(db: Database, hashes: list[str], num_results: int, begun: int, rng: random.Random) -> None:
    """Results with the posts that told of them: most of commits that were pushed, some of discarded ones."""
    channel = board.channel(db, "results")["id"]
    for number in range(num_results):
        place = number * len(hashes) // num_results
        is_kept, is_crash = rng.random() < 0.6, rng.random() < 0.05
        name = hashes[place] if is_kept else hashlib.sha1(str(number).encode()).hexdigest()
        agent = db.value("SELECT agent_id FROM commits WHERE hash = ?", hashes[place])
        platform = PLATFORMS[hashlib.sha1(agent.encode()).digest()[0] % len(PLATFORMS)]
        value = None if is_crash else round(0.998 - 0.03 * place / len(hashes) + rng.gauss(0, 0.0005), 6)
        status = "crash" if is_crash else "keep" if is_kept else "discard"
        told = f"{rng.choice(IDEAS)}{'' if is_kept else f' ({status.upper()})'}"
        line = f"commit:{name[:7]} platform:{platform} val_bpb:{value or '---'} vram_gb:44.2 | {told}"
        now = begun + place * STEP_S + 30
        post = add_post(db, channel, agent, line, None, now)
        db.run(
            "INSERT INTO results (agent_id, commit_hash, train_blob, platform, metric, value, status, vram_gb,"
            " description, source, post_id, created) VALUES (?, ?, (SELECT train_blob FROM commits WHERE hash = ?), ?,"
            " 'val_bpb', ?, ?, 44.2, ?, 'post', ?, ?)",
            *(agent, name[:7], name, platform, value, status, told, post, now),
        )


def add_post(db: Database, channel: int, agent: str, text: str, parent: int | None, now: int) -> int:
    """One post, with its event and its place in the search."""
    made = db.run(
        "INSERT INTO posts (channel_id, agent_id, parent_id, content, created) VALUES (?, ?, ?, ?, ?)",
        *(channel, agent, parent, text, now),
    )
    number = made.lastrowid or 0
    db.run("INSERT INTO found (text, kind, subject) VALUES (?, 'post', ?)", text, str(number))
    name = db.value("SELECT name FROM channels WHERE id = ?", channel)
    events.append(db, "post", agent, str(number), {**board.post(db, number), "channel": name}, now)
    return number


def add_talk(db: Database, num_posts: int, num_agents: int, begun: int, rng: random.Random) -> None:
    """Posts in #discussion; every third is a reply."""
    channel = board.channel(db, "discussion")["id"]
    last: int | None = None
    for number in range(num_posts):
        text = f"## Observation {number}\n\n- {rng.choice(IDEAS)} **helps**\n- flat around `0.0{number % 9}`\n"
        parent = last if number % 3 == 2 else None
        last = add_post(db, channel, f"agent{rng.randrange(num_agents)}", text, parent, begun + number * 60)


def fill(
    folder: Path, num_commits: int = 15_000, num_posts: int = 20_000, num_results: int = 20_000,
    num_agents: int = 40, seed: int = 1,
) -> Filled:  # fmt: skip
    """Make a hub in a folder that is not there yet; the same numbers give the same hub, but for the keys.

    Args:
        num_posts: in #discussion; each result has one of its own in #results.
    """
    folder.mkdir(mode=0o700, parents=True)
    rng, filled = random.Random(seed), Filled()
    begun = 1_790_000_000
    db, bare = Database(folder / "hub.sqlite"), Bare(folder / "git")
    bare.create()
    db.run("PRAGMA synchronous=OFF")
    plans = plan(num_commits, num_agents, rng)
    names = import_commits(bare, plans, begun)
    with db.transaction():
        for number in range(num_agents):
            filled.keys[f"agent{number}"] = agents.register(db, f"agent{number}", begun)
        for channel in ("results", "discussion"):
            board.create_channel(db, Limits(), "agent0", channel, "", begun)
        filled.commits = add_commits(db, bare, plans, names, begun)
        add_results(db, filled.commits, num_results, begun, rng)
        add_talk(db, num_posts, num_agents, begun, rng)
    bare.keep(commits.tips(db))
    db.close()
    return filled


def main() -> None:
    """Fill a folder and print the keys."""
    parser = argparse.ArgumentParser(description="Make a hub that has been used for a while.")
    parser.add_argument("folder", type=Path)
    for name, number in (("commits", 15_000), ("posts", 20_000), ("results", 20_000), ("agents", 40), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=number)
    options = parser.parse_args()
    begun = time.monotonic()
    filled = fill(options.folder, options.commits, options.posts, options.results, options.agents, options.seed)
    print(json.dumps(filled.keys))
    print(f"{len(filled.commits)} commits in {time.monotonic() - begun:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
