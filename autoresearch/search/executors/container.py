"""A container that runs bootstrap.py: what it is told, and what is fetched from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch.search.config import Config
from autoresearch.search.executors import SHIM, Order, place, variables_at
from autoresearch.search.executors.remote import Remote, Request

KEYS = ("BASILICA_API_TOKEN", "BASILICA_API_KEY")
"""Variables that may hold the key of the service."""
PROGRAM = Path(__file__).with_name("bootstrap.py")
FOLDER, PORT, TRIAL = "/tmp/autoresearch", 8080, "trial"
MOST_FILES = 10_000
DOWNLOAD_S = 600.0


def deployment(config: Config, order: Order, token: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """What Basilica is asked for: an image, resources, and the program with its orders.

    Args:
        variables: the environment here, of which the container is given what the configuration names.
    """
    told = config.target.basilica
    passed = {name: variables[name] for name in told.env_passthrough if name in variables}
    return {
        **told.model_dump(exclude={"setup_cmd", "ready_timeout_s", "env_passthrough", "gpu_models"}),
        "gpu_models": list(told.gpu_models),
        "command": ["python3", "-uc", PROGRAM.read_text()],
        "env": {**passed, "AR_BOOTSTRAP": json.dumps(orders(config, order, token))},
        "port": PORT,
        "public": True,
    }


def orders(config: Config, order: Order, token: str) -> dict[str, Any]:
    """What the program is told about a trial; the code is that of its image, with the changed file if there is one."""
    target, mutable = config.target, config.policy.mutable_file
    files = {f"{FOLDER}/shim/{path.relative_to(SHIM)}": path.read_text() for path in SHIM.rglob("*.py")}
    if config.policy.diffs and mutable:
        name = str(mutable.relative_to(target.workdir))
        files[name] = (order.cwd / name).read_text()
    return {
        "port": PORT,
        "token": token,
        "folder": FOLDER,
        "files": files,
        "setup": target.basilica.setup_cmd,
        "commands": [one for one in (target.prepare_cmd, *order.commands) if one],
        "evaluates": len(order.commands) > 1,
        "variables": variables_at(order.variables, str(order.folder), FOLDER) | {"PYTHONPATH": f"{FOLDER}/shim"},
    }


def fetch_model(order: Order, remote: Remote) -> list[str]:
    """Fetch what the trial left as its model; returns what is missing, in words."""
    listing = remote.ask(Request("GET", "model", "files"))
    found = listing.body.get("files") if listing.is_good else None
    problems = [] if isinstance(found, list) else [listing.why or "no list of files"]
    for one in found[:MOST_FILES] if isinstance(found, list) else []:
        try:
            path, size = place(order, f"model/{one['path']}"), int(one["size"])
            path.parent.mkdir(parents=True, exist_ok=True)
            answer = remote.save(Request("GET", "model", f"download/{one['path']}", timeout_s=DOWNLOAD_S), path, size)
            problems += [] if answer.is_good else [f"{one['path']}: {answer.why}"]
        except (TypeError, KeyError, ValueError, OSError) as error:
            problems.append(f"{type(error).__name__}: {error}"[:200])
    return problems
