"""Pages of a hub as tests read them, and a hub in which everything that an agent can write is hostile."""

import re
from html.parser import HTMLParser
from pathlib import Path

import hub_story
from hubs import Live

from autoresearch.hub.folder import DATABASE, REPOSITORY
from autoresearch.hub.pages import site
from autoresearch.hub.store import Database, agents, board, claims, commits, reports
from autoresearch.hub.store.measurement import Measurement
from autoresearch.repo.bare import Bare

PATHS = [page.path for page in site.PAGES]
HOSTILE = (
    "</title></script><script>hacked=1</script><img src=x onerror=hacked=2><svg onload=hacked=3>"
    "[x](javascript:hacked=4)' onmouseover='hacked=5\" onfocus=\"hacked=6 {{ 7 * 7 }}{% raw %}\u202e\u2066\x1b[31m"
)
HOSTILE_MARKDOWN = f"# {HOSTILE}\n\n```\n{HOSTILE}\n```\n\n| a |\n|---|\n| {HOSTILE} |\n\n> {HOSTILE}\n"


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text, self.scripts = "", 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts += bool(data.strip())
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def read(live: Live, path: str, status: int = 200) -> Page:
    answer = live.anybody().get(path)
    assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def one_of_each(live: Live) -> list[str]:
    """An address of every page."""
    db = live.hub.db
    filled = {
        "/platform/{name:path}": "/platform/H100",
        "/commit/{hash}": f"/commit/{db.value('SELECT hash FROM commits ORDER BY num_children DESC')}",
        "/channel/{name}": "/channel/discussion",
        "/post/{id}": f"/post/{db.value('SELECT parent_id FROM posts WHERE parent_id IS NOT NULL')}",
        "/agent/{id}": "/agent/atlas",
        "/search": "/search?q=batch",
    }
    return [filled.get(path, path) for path in PATHS]


def poison(folder: Path) -> None:
    """A hub in which everything that an agent can write is hostile."""
    folder.mkdir()
    db, bare = Database(folder / DATABASE), Bare(folder / REPOSITORY)
    bare.create()
    now = hub_story.END - 1000
    idea = hub_story.Idea(HOSTILE.replace("\x1b", ""), 0.0, ())
    root = hub_story.Commit(None, idea, f"x = 1\n{HOSTILE}\n", 0.0, "eve", now)
    child = hub_story.Commit(0, idea, f"x = 2\r{HOSTILE}\n{'A' * 9000}\n", 0.0, "eve", now)
    made = hub_story.write_commits(bare, [root, child])
    with db.transaction():
        agents.register(db, "eve", now)
        for name in ("results", "talk"):
            board.create_channel(db, hub_story.ROOMY, "eve", name, HOSTILE, now)
        for arrival in made.values():
            hostile = commits.Arrival(**{**vars(arrival), "author": HOSTILE, "body": f"{HOSTILE}\n" * 9})
            commits.record(db, hub_story.ROOMY, "eve", [hostile], now)
        head = None
        for content in (
            HOSTILE,
            HOSTILE_MARKDOWN,
            "B" * 32_000,
            "[" * 32_000,
            "a\u0301" * 9_000,
            f"{made[1].hash} {HOSTILE}",
        ):
            head = board.create_post(db, hub_story.ROOMY, "eve", "talk", content, head, now)["id"]
        word = re.sub(r"\s", "", HOSTILE)[:60]
        for value, status in ((0.9, "keep"), (0.91, "discard"), (None, "crash")):
            said = Measurement(made[1].hash, word, "val_bpb", value, status, description=HOSTILE, regime=word)
            reports.submit(db, hub_story.ROOMY, reports.Report("eve", said), now)
        claims.claim(db, hub_story.ROOMY, "eve", claims.Wish(HOSTILE[:200], HOSTILE, made[0].hash, ttl_s=3600), now)
    bare.keep(commits.tips(db))
    db.close()
