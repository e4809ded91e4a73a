"""doctor."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from autoresearch import arena, process, sandbox
from autoresearch.attempt import setup
from autoresearch.attempt.campaign import PREFIX, Campaign
from autoresearch.commands import terminal
from autoresearch.errors import AutoresearchError
from autoresearch.repo import Repo

LEAST_FREE_GB = 5.0


def main(as_json: terminal.Json = False) -> None:
    """Check what a night needs; each line is ok or says what to do."""
    repo = Repo.find(Path.cwd(), os.environ)
    found = [*check_git(repo), *check_disk(repo.root), *check_clock(), *check_arena(repo)]
    found += [*check_sandbox(repo), *check_pins(repo)]
    if as_json:
        terminal.print_json([{"name": name, "ok": ok, "what": what} for name, ok, what in found])
    else:
        for name, ok, what in found:
            print(f"{'ok  ' if ok else 'MEND'}  {name}: {what}")
    if not all(ok for _, ok, _ in found):
        raise AutoresearchError("something needs mending; the lines above say how")


def check_git(repo: Repo) -> list[tuple[str, bool, str]]:
    """Version, branch, edits."""
    branch = repo.branch()
    dirty = repo.dirty()
    on = branch.startswith(PREFIX)
    return [
        ("git", True, repo.run("--version").removeprefix("git version ")),
        ("branch", True, branch if on else f"{branch or 'detached'}; `uv run -m autoresearch setup TAG` makes one"),
        ("edits", True, ", ".join(dirty) or "none"),
    ]


def check_disk(root: Path) -> list[tuple[str, bool, str]]:
    """Free space."""
    free_gb = shutil.disk_usage(root).free / 1e9
    return [("disk", free_gb >= LEAST_FREE_GB, f"{free_gb:.0f} GB free (at least {LEAST_FREE_GB:.0f} needed)")]


def check_clock() -> list[tuple[str, bool, str]]:
    """Load of the machine, which moves every measurement."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return [("load", load < cores, f"{load:.1f} on {cores} cores; other work on the machine moves the scores")]


def check_arena(repo: Repo) -> list[tuple[str, bool, str]]:
    """Command, device, attention and data, by asking prepare.py."""
    rules = arena.load(repo.root)
    if not rules.own:
        return [
            ("arena", True, f"{arena.NAME}: {' '.join(rules.command)}, {rules.metric.name} {rules.metric.direction}")
        ]
    campaign = Campaign(repo, rules, "doctor", os.environ)
    try:
        identity = setup.find_identity(campaign)
    except AutoresearchError as error:
        return [("data", False, str(error))]
    device = {name: identity[name] for name in ("platform", "scale", "dataset", "regime")}
    script = "import json, prepare; print(json.dumps([str(prepare.DEVICE), prepare.attention_kernel()[1]]))"
    env = process.environment(os.environ, {"AUTORESEARCH_SUPERVISED": ""})
    done = subprocess.run([sys.executable, "-c", script], cwd=repo.root, env=env, capture_output=True, text=True)
    kernel = (
        json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else ["?", done.stderr[-200:]]
    )
    return [
        ("data", True, identity["data"]),
        ("device", True, ", ".join(f"{name} {value}" for name, value in device.items())),
        ("attention", True, f"{kernel[0]}: {kernel[1]}"),
    ]


def check_sandbox(repo: Repo) -> list[tuple[str, bool, str]]:
    """What confines a trial here; nothing is wrong where nothing can be mended."""
    found = sandbox.REMOTE if arena.load(repo.root).sandbox.network else sandbox.find()
    return [("sandbox", found.kind != "open" or not found.mend, str(found))]


def check_pins(repo: Repo) -> list[tuple[str, bool, str]]:
    """Digests and settings against those of `setup`."""
    if not repo.branch().startswith(PREFIX):
        return []
    campaign = terminal.campaign()
    try:
        campaign.check_pins()
        campaign.ledger.check_chain(campaign.attempts())
        list(campaign.ledger.rows())
    except AutoresearchError as error:
        return [("records", False, str(error))]
    return [("records", True, f"{len(campaign.ledger.numbers())} attempts, frozen files as at setup")]
