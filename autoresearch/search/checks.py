"""What must hold before any trial starts; all that does not is listed at once."""

import ast
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from autoresearch import sandbox
from autoresearch.search import code, trial
from autoresearch.search.config import LLM_POLICIES, Config
from autoresearch.search.executors.container import KEYS
from autoresearch.search.executors.remote import filled
from autoresearch.search.machine import Machine
from autoresearch.search.pool import GPU

RESERVED = ("AR_", "AUTORESEARCH_")
KNOWN_GPUS = {
    *("A10", "A100", "A40", "A6000", "B100", "B200", "B300", "GB200", "H100", "H200", "L4", "L40", "L40S"),
    *("RTX3090", "RTX4090", "RTX5090", "T4", "V100"),
}


@dataclass(frozen=True)
class Problem:
    """What does not hold."""

    place: str
    """The key."""
    text: str
    """What must hold, what was found, what mends it."""
    is_blocking: bool = True
    """Otherwise it is said, and the campaign runs."""

    def __str__(self) -> str:
        """One line."""
        return f"{'error' if self.is_blocking else 'note'}: {self.place}: {self.text}"


@dataclass(frozen=True)
class Surroundings:
    """What a configuration is checked against."""

    machine: Machine
    variables: Mapping[str, str]
    """The environment of the command."""


def run(config: Config, around: Surroundings) -> list[Problem]:
    """All problems, the blocking ones first."""
    checks = (
        *(_extras, _variables, _files, _commands, _keys, _folders),
        *(_devices, _sandbox, _budgets, _progress, _tracked, _code),
    )
    found = [problem for check in checks for problem in check(config, around)]
    return sorted(found, key=lambda one: not one.is_blocking)


def _extras(config: Config, around: Surroundings) -> Iterator[Problem]:
    needed = {"random": ["optuna"], "tpe": ["optuna"], "cmaes": ["optuna", "cmaes"], "centaur": ["optuna", "cmaes"]}
    modules = [*needed.get(config.policy.type, []), *["openai"] * (config.policy.type in LLM_POLICIES)]
    if missing := [name for name in modules if not find_spec(name)]:
        text = f"{config.policy.type} needs {', '.join(missing)}; run `uv run --extra search -m autoresearch ...`"
        yield Problem("policy.type", text)
    if config.target.type == "ray" and not find_spec("ray"):
        yield Problem("target.type", "ray needs ray; run `uv run --extra search --extra ray -m autoresearch ...`")
    if config.target.type == "basilica" and not find_spec("basilica"):
        yield Problem("target.type", "basilica needs its SDK; run `uv run --with basilica-sdk -m autoresearch ...`")


def _variables(config: Config, around: Surroundings) -> Iterator[Problem]:
    for clash in trial.clashes([name for name, _ in config.policy.params.items()]):
        yield Problem("policy.params", f"{clash}; rename one")
    for name, _ in config.policy.params.items():
        if name.upper().startswith(RESERVED):
            yield Problem(
                f"policy.params.{name}", f"must not begin with {' or '.join(RESERVED)}, which trials are given"
            )
    passed = {"target": config.target.env_passthrough, "target.basilica": config.target.basilica.env_passthrough}
    for section, names in passed.items():
        for name in names:
            if name.startswith(RESERVED) or name in ("CUDA_VISIBLE_DEVICES", "PYTHONPATH"):
                yield Problem(f"{section}.env_passthrough", f"{name} is set by the search and cannot be passed on")


def _files(config: Config, around: Surroundings) -> Iterator[Problem]:
    policy = config.policy
    named = {
        "policy.mutable_file": policy.mutable_file,
        "policy.frozen_file": policy.frozen_file,
        "policy.program_file": policy.program_file,
        "program_path": config.program_path,
    }
    for place, path in named.items():
        if path and not path.is_file():
            yield Problem(place, f"must be a file but {path} is none")
    if not config.target.workdir.is_dir():
        yield Problem("target.workdir", f"must be a folder but {config.target.workdir} is none")
    if policy.mutable_file and policy.mutable_file == policy.frozen_file:
        yield Problem("policy.frozen_file", "must not be the mutable file")


def _commands(config: Config, around: Surroundings) -> Iterator[Problem]:
    if config.target.type not in ("command", "ray"):
        return
    workdir, path = config.target.workdir, around.variables.get("PATH", os.defpath)
    for place in ("prepare_cmd", "train_cmd", "eval_cmd"):
        command = getattr(config.target, place)
        if not command or not workdir.is_dir():
            continue
        program = str(workdir / command[0]) if "/" in command[0] else command[0]
        if not shutil.which(program, path=path):
            yield Problem(f"target.{place}", f"{command[0]!r} must be a program on PATH or below {workdir}")
        for word in command[1:]:
            if word.endswith((".py", ".sh")) and not word.startswith("-") and not (workdir / word).is_file():
                yield Problem(f"target.{place}", f"{word!r} must be a file below {workdir}")


def _keys(config: Config, around: Surroundings) -> Iterator[Problem]:
    name = config.policy.llm_api_key_env
    if config.policy.type in LLM_POLICIES and name and not around.variables.get(name):
        text = f"the variable {name} must hold the key of {config.policy.llm_api_url}; name '' if it asks for none"
        yield Problem("policy.llm_api_key_env", text)
    for missing in filled(config.target.headers, around.variables)[1]:
        yield Problem("target.headers", f"the variable {missing} must be set, since a header names it")
    if config.target.type == "basilica" and not any(map(around.variables.get, KEYS)):
        yield Problem("target.type", f"basilica needs a key in the variable {KEYS[0]}")


def _folders(config: Config, around: Surroundings) -> Iterator[Problem]:
    paths = config.telemetry
    files = {
        "controller.checkpoint_path": config.controller.checkpoint_path,
        "telemetry.trace_path": paths.trace_path,
        "telemetry.ledger_path": paths.ledger_path,
        "telemetry.timeline_path": paths.timeline_path,
    }
    folders = {
        "telemetry.artifacts_dir": paths.artifacts_dir,
        "telemetry.versions_dir": paths.versions_dir,
        "telemetry.model_output_dir": paths.model_output_dir,
    }
    for place, path in files.items():
        if path and path.is_dir():
            yield Problem(place, f"must be a file but {path} is a folder")
    for place, path in {**folders, **{place: path.parent for place, path in files.items() if path}}.items():
        if path and (problem := _unwritable(path)):
            yield Problem(place, problem)


def _unwritable(folder: Path) -> str:
    """Why a folder cannot be made or written to; empty where it can."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        return f"must be a folder but {there} is a file"
    try:
        tempfile.TemporaryFile(dir=there).close()  # permissions alone say too little, above all to root
    except OSError as error:
        return f"must be writable but {there}: {error.strerror}"
    return ""


def _devices(config: Config, around: Surroundings) -> Iterator[Problem]:
    pooled, target, devices = config.controller.parallel, config.target, around.machine.devices
    if pooled.enabled:
        there = dict(pooled.resources)
        if target.type == "command" and devices and GPU in there:
            there[GPU] = min(there[GPU], len(devices))
        for name, amount in target.resources.items():
            if name not in there:
                yield Problem("target.resources", f"{name} must be among controller.parallel.resources")
            elif amount > there[name]:
                yield Problem("target.resources", f"a trial takes {amount:g} {name} but the pool has {there[name]:g}")
        wanted = pooled.resources.get(GPU, 0)
        if target.type == "command" and wanted > len(devices) and target.resources.get(GPU, 1):
            text = f"{wanted:g} GPUs are pooled but this machine shows {len(devices)}"
            hint = "lower it" if devices else "without any, the number only limits how many trials run at once"
            is_asked_for = "resources" in pooled.model_fields_set and bool(devices)
            yield Problem("controller.parallel.resources", f"{text}; {hint}", is_blocking=is_asked_for)
    if target.type == "basilica":
        if not target.basilica.gpu_models:
            yield Problem("target.basilica.gpu_models", "must name at least one model, such as H100")
        for model in target.basilica.gpu_models:
            if model.upper().replace(" ", "").replace("-", "") not in KNOWN_GPUS:
                text = f"{model!r} is not known here ({', '.join(sorted(KNOWN_GPUS))})"
                yield Problem("target.basilica.gpu_models", text, is_blocking=False)


def _sandbox(config: Config, around: Surroundings) -> Iterator[Problem]:
    if not config.target.sandbox:
        return
    if config.target.type != "command":
        yield Problem("target.sandbox", f"confines trials of type command, not {config.target.type}")
    elif (found := sandbox.find()).kind == "open":
        yield Problem("target.sandbox", f"must be false, since {found}")


def _budgets(config: Config, around: Surroundings) -> Iterator[Problem]:
    rules, wall_s, timeout_s = config.comparability, config.controller.max_wall_time_s, config.target.timeout_s
    if wall_s is not None and rules.expected_budget_s is not None and rules.expected_budget_s > wall_s:
        text = f"{rules.expected_budget_s:g} s of one trial exceed controller.max_wall_time_s, {wall_s:g} s"
        yield Problem("comparability.expected_budget_s", text, is_blocking=rules.strict)
    budget_s = rules.expected_budget_s if rules.budget_mode == "fixed_wallclock" else None
    if budget_s is not None and budget_s > timeout_s:
        text = f"{budget_s:g} s exceed target.timeout_s, {timeout_s:g} s, which cuts a trial off"
        yield Problem("comparability.expected_budget_s", text, is_blocking=rules.strict)
    expected, found = rules.expected_hardware_fingerprint, around.machine.fingerprint
    if expected and expected != found and config.target.type == "command":
        text = f"must be {expected} but this machine is {found}; scores of different machines do not compare"
        yield Problem("comparability.expected_hardware_fingerprint", text, is_blocking=rules.strict)


def _progress(config: Config, around: Surroundings) -> Iterator[Problem]:
    place, cancel = "controller.intra_iteration_cancel", config.controller.intra_iteration_cancel
    if not cancel.enabled:
        return
    words = [config.target.workdir / word for word in config.target.train_cmd or () if word.endswith(".py")]
    source = next((path for path in (config.policy.mutable_file, *words) if path and path.is_file()), None)
    if source is None:
        text = "cannot tell whether the trial calls emit_progress; without it nothing is cancelled"
        yield Problem(place, text, is_blocking=False)
    elif not _calls(source, "emit_progress"):
        yield Problem(place, f"{source} must call emit_progress(step=, step_target=, metrics=) or `enabled` be false")
    if (
        cancel.rule == "median"
        and config.controller.max_iterations is not None
        and config.controller.max_iterations < 5
    ):
        yield Problem(f"{place}.rule", "the median of fewer than 5 trials cancels nothing", is_blocking=False)


def _calls(source: Path, name: str) -> bool:
    text = source.read_text(errors="replace")
    try:
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError):
        return name in text
    return any(name in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")) for node in nodes)


def _tracked(config: Config, around: Surroundings) -> Iterator[Problem]:
    paths = config.telemetry.model_dump() | {"checkpoint_path": config.controller.checkpoint_path}
    repo = code.find_repo(config.target.workdir, around.variables)
    tracked = [repo.root / name for name in repo.files("HEAD")] if repo else []
    for name, path in paths.items():
        if path and (found := next((one for one in tracked if one == path or path in one.parents), None)):
            text = f"git tracks {found}, which a run would change; name another place or `git rm --cached` it"
            yield Problem(f"telemetry.{name}" if name != "checkpoint_path" else f"controller.{name}", text)


def _code(config: Config, around: Surroundings) -> Iterator[Problem]:
    mutable = config.policy.mutable_file
    if not config.policy.diffs or not mutable or not mutable.is_file():
        return
    if config.target.type == "http":
        text = f"{config.policy.type} changes code, which cannot be sent to a target of type http"
        yield Problem("policy.type", text)
    yield from (Problem(*one) for one in code.faults(config, around.variables))
