"""doctor."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from autoresearch import arena, process, sandbox
from autoresearch.attempt import setup
from autoresearch.attempt.campaign import PREFIX, Campaign, file_digest
from autoresearch.commands import terminal
from autoresearch.errors import AutoresearchError
from autoresearch.repo import Repo

LEAST_FREE_GB = 5.0
Finding = tuple[str, str, str]
"""Name, OK or WARN or MEND, and what was found."""
OK, WARN, MEND = "ok", "WARN", "MEND"


def main(as_json: terminal.Json = False) -> None:
    """Check what a night needs; each line is ok, a warning, or says what to do."""
    repo = Repo.find(Path.cwd(), os.environ)
    found = [*check_git(repo), *check_disk(repo.root), *check_load(), *check_arena(repo)]
    found += [*check_sandbox(repo), *check_pins(repo)]
    if as_json:
        terminal.print_json([{"name": name, "ok": state != MEND, "what": what} for name, state, what in found])
    else:
        for name, state, what in found:
            print(f"{state:<4}  {name}: {what}")
    if any(state == MEND for _, state, _ in found):
        raise AutoresearchError("something needs mending; the lines above say how")


def check_git(repo: Repo) -> list[Finding]:
    """Version, branch, edits."""
    branch, dirty = repo.branch(), repo.dirty()
    on = branch.startswith(PREFIX)
    edits = ", ".join(dirty[:8]) or "none"
    if dirty and not on:
        edits += "; setup wants tracked files clean, so ask whose they are and have them committed"
    return [
        ("git", OK, repo.run("--version").removeprefix("git version ")),
        ("branch", OK, branch if on else f"{branch or 'detached'}; `uv run -m autoresearch setup TAG` makes one"),
        ("edits", MEND if dirty and not on else OK, edits),
    ]


def check_disk(root: Path) -> list[Finding]:
    """Free space."""
    free_gb = shutil.disk_usage(root).free / 1e9
    state = OK if free_gb >= LEAST_FREE_GB else MEND
    return [("disk", state, f"{free_gb:.0f} GB free (at least {LEAST_FREE_GB:.0f} needed)")]


def check_load() -> list[Finding]:
    """Load of the machine, which moves every measurement; one's own trial counts too."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    is_busy = load >= cores
    advice = "; other work on the machine moves the scores" if is_busy else ""
    return [("load", WARN if is_busy else OK, f"{load:.1f} on {cores} cores{advice}")]


def check_arena(repo: Repo) -> list[Finding]:
    """Command, device, attention and data, by asking prepare.py."""
    rules = arena.load(repo.root)
    if not rules.own:
        return [("arena", OK, f"{arena.NAME}: {' '.join(rules.command)}, {rules.metric.name} {rules.metric.direction}")]
    tag = repo.branch().removeprefix(PREFIX) if repo.branch().startswith(PREFIX) else "manual"
    try:
        campaign = Campaign.open(repo.root, os.environ, terminal.say, tag)
        identity = setup.find_identity(campaign)
    except AutoresearchError as error:
        return [("data", MEND, str(error))]
    device = {name: identity[name] for name in ("platform", "scale", "dataset", "regime")}
    script = (
        "import json, sys; sys.path.append('.')\n"  # last: a stray json.py that lies there is not json
        "import prepare; print(json.dumps([str(prepare.DEVICE), prepare.attention_kernel()[1]]))"
    )
    env = process.environment(campaign.variables, {"AUTORESEARCH_SUPERVISED": ""})
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=repo.root, env=env, capture_output=True, text=True)
    kernel = (
        json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else ["?", done.stderr[-200:]]
    )
    return [
        ("data", OK, identity["data"]),
        ("device", OK, ", ".join(f"{name} {value}" for name, value in device.items())),
        ("attention", OK, f"{kernel[0]}: {kernel[1]}"),
    ]


def check_sandbox(repo: Repo) -> list[Finding]:
    """What confines a trial here; nothing is wrong where nothing can be mended."""
    found = sandbox.REMOTE if arena.load(repo.root).sandbox.network else sandbox.find()
    state = OK if found.kind != "open" else MEND if found.mend else WARN
    lines: list[Finding] = [("sandbox", state, str(found))]
    if arena.load(repo.root).own:
        digest = file_digest(repo.root / "prepare.py")[:12]
        seat = "confined" if found.kind != "open" else "not confined"
        lines.append(("referee", OK, f"prepare.py {digest} scores from outside; the player is {seat}"))
    return lines


def check_pins(repo: Repo) -> list[Finding]:
    """Digests and settings against those of `setup`."""
    if not repo.branch().startswith(PREFIX):
        return []
    try:
        campaign = terminal.campaign()
        campaign.check_pins()
        campaign.ledger.check_chain(campaign.attempts())
        list(campaign.ledger.rows())
    except AutoresearchError as error:
        return [("records", MEND, str(error))]
    return [("records", OK, f"{len(campaign.ledger.numbers())} attempts, frozen files as at setup")]
