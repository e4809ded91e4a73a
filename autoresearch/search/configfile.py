"""Reads a campaign's YAML: numbers as people write them, paths from where they exist, mistakes all named at once."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ValidationError

from autoresearch.errors import BadConfig
from autoresearch.search.config import Config

WITHOUT_EFFECT = {  # keys of old files, by section
    "": ("scoring",),
    "telemetry": ("max_file_size_bytes", "max_rotated_files"),
    "controller.parallel": ("submit_poll_interval_s",),
}
INPUTS = (*("program_path", "target.workdir", "policy.mutable_file", "policy.frozen_file", "policy.program_file"),)
OUTPUTS = (
    *("controller.checkpoint_path", "telemetry.trace_path", "telemetry.ledger_path", "telemetry.artifacts_dir"),
    *("telemetry.versions_dir", "telemetry.model_output_dir", "telemetry.timeline_path"),
)
FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$")


def _resolvers() -> dict[str, list[Any]]:
    """By first character, the kinds that a plain word may be, with a wider float than YAML 1.1 has."""
    tag = "tag:yaml.org,2002:float"
    usual = yaml.SafeLoader.yaml_implicit_resolvers
    narrower = {first: [pair for pair in pairs if pair[0] != tag] for first, pairs in usual.items()}
    return narrower | {first: [*narrower.get(first, []), (tag, FLOAT)] for first in "-+.0123456789"}


class Loader(yaml.SafeLoader):
    """YAML in which 3e-6 is a number, as in JSON, and a key that stands twice is a mistake."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = _resolvers()

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping, unless a key stands twice."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[Any, Any]:
    """What a YAML file holds.

    Raises:
        BadConfig: no such file, not YAML, no keys and values.
    """
    try:
        raw = yaml.load(path.read_text(), Loader)  # a SafeLoader
    except OSError as error:
        raise BadConfig(f"{path} must be a readable file but: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfig(f"{path} must be YAML but: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path} must hold keys and values but holds {type(raw).__name__}")
    return raw


def load(path: Path, cwd: Path, say: Callable[[str], None]) -> Config:
    """Read a configuration; its paths come back absolute.

    Args:
        cwd: where paths are looked for that do not exist beside the file.
        say: told which paths were found there, and which keys have no effect.

    Raises:
        BadConfig: no such file, not YAML, unknown keys (with the nearest known one), wrong values; all at once.
    """
    raw = read(path)
    if ignored := _take_out(raw):
        say(f"note: {', '.join(ignored)} of {path.name} {'have' if len(ignored) > 1 else 'has'} no effect here")
    return parse(raw, path.parent.resolve(), cwd, say, str(path))


def parse(raw: Mapping[str, Any], folder: Path, cwd: Path, say: Callable[[str], None], name: str) -> Config:
    """Make a configuration of what a file holds; see `load`."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems = [_in_words(one) for one in error.errors()]
        raise BadConfig(f"{name}:\n" + "\n".join(f"  {one}" for one in dict.fromkeys(problems))) from error
    paths = {place: _get(config, place) for place in (*INPUTS, *OUTPUTS)}
    named = {place for place in paths if place in INPUTS or _is_named(config, place)}
    found = {
        place: _resolve(path, folder, cwd if place in named else folder)
        for place, path in paths.items()
        if path is not None
    }
    if script := next((word for word in config.target.train_cmd or () if word.endswith((".py", ".sh"))), ""):
        path, beside = _resolve(config.target.workdir / script, folder, cwd)
        if path.is_file() and not beside:
            found["target.workdir"] = (cwd / config.target.workdir).resolve(), False
    if elsewhere := [str(paths[place]) for place, (_, beside) in found.items() if not beside]:
        say(f"note: taken from {cwd}, since not beside {Path(name).name}: {', '.join(dict.fromkeys(elsewhere))}")
    values = config.model_dump(exclude_unset=True)
    for place, (path, _) in found.items():
        *sections, last = place.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = path
    return Config.model_validate(values)


def _take_out(raw: dict[Any, Any]) -> list[str]:
    """Remove the keys without effect; returns those that were there."""
    found = []
    for section, names in WITHOUT_EFFECT.items():
        inner: Any = raw
        for part in filter(None, section.split(".")):
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            found += [f"{section}.{name}".strip(".") for name in names if name in inner]
            for name in names:
                inner.pop(name, None)
    return found


def _get(config: Config, place: str) -> Path | None:
    value: Any = config
    for part in place.split("."):
        value = getattr(value, part)
    return value


def _is_named(config: Config, place: str) -> bool:
    """Whether a key stands in the file, rather than being left to its default."""
    *sections, last = place.split(".")
    section: Any = config
    for name in sections:
        section = getattr(section, name)
    return last in section.model_fields_set


def _resolve(path: Path, folder: Path, cwd: Path) -> tuple[Path, bool]:
    """An absolute path, and whether it was taken from beside the file.

    What is not there yet lies where its first folder is.
    """
    for tried in (path, Path(path.parts[0]) if len(path.parts) > 1 else path):
        if not (folder / tried).exists() and (cwd / tried).exists():
            return (cwd / path).resolve(), folder == cwd
        if (folder / tried).exists():
            break
    return (folder / path).resolve(), True


def _in_words(problem: Any) -> str:
    """One mistake as `where: what`."""
    place = [str(part) for part in problem["loc"] if part not in ("Range", "tuple")]
    where = ".".join(place)
    if problem["type"] != "extra_forbidden":
        message = problem["msg"].removeprefix("Value error, ")
        shown = repr(problem["input"])
        given = f", but got {shown}" if len(shown) < 80 and "but got" not in message else ""
        return f"{where or 'the file'}: {message}{given}"
    known = list(_known(place[:-1]))
    near = difflib.get_close_matches(place[-1], known, 1, 0.5)
    elsewhere = [path for path in _everywhere(Config, "") if path.rpartition(".")[2] == place[-1]]
    hint = next((f"did you mean {one}?" for one in (*elsewhere, *near)), f"known: {', '.join(known)}")
    return f"{where} is unknown; {hint}"


def _known(sections: list[str]) -> Iterator[str]:
    """Keys of a section, aliases too."""
    model: Any = Config
    for section in sections:
        model = model.model_fields[section].annotation
    for name, field in model.model_fields.items():
        yield from (str(one) for one in getattr(field.validation_alias, "choices", [name]))


def _everywhere(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """All keys with their sections."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and name != "params":
            yield from _everywhere(field.annotation, f"{prefix}{name}.")
