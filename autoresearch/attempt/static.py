"""What can be said about a train.py without running it: what the referee will want of it is there, or is named."""

import ast
import importlib.util
from collections.abc import Iterator

from autoresearch import knobs
from autoresearch.errors import Refused
from autoresearch.records import Crash

MOST_BYTES = 256 << 10  # this repository's has 30 KB


def crash_of(source: str, path: str, local: set[str] | None, own: bool) -> Crash | None:
    """Why a file cannot be tried; None when nothing speaks against it.

    Args:
        local: top-level modules that lie beside the file; None: another Python runs it, so imports are left alone.
        own: whether the file is this repository's train.py, to be rebuilt by the referee.
    """
    if own and len(source.encode()) > MOST_BYTES:
        why = f"{path} must have at most {MOST_BYTES:,} bytes, for it holds code, not weights, but has {len(source):,}"
        return Crash(kind="refused", why=why)
    try:
        knobs.parse(source)
    except Refused as error:
        return Crash(kind="syntax", why=str(error))
    if local is not None and (missing := missing_import(source, local)):
        return Crash(kind="syntax", why=f"{path} imports {missing!r}, which is not installed for this Python")
    lacking = list(lacks(source)) if own else []
    return Crash(kind="refused", why=f"{path} must have {'; and '.join(lacking)}") if lacking else None


def lacks(source: str) -> Iterator[str]:
    """What a train.py must have and has not, each with the reason."""
    tree = ast.parse(source)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {name for node in tree.body if isinstance(node, ast.Assign) for name in map(ast.unparse, node.targets)}
    if "build_model" not in defined:
        yield "`build_model(config)` at its top level, with which the referee rebuilds the model"
    if not any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body):
        yield '`if __name__ == "__main__":`, for the referee imports the file'
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if "Clock" not in names:
        yield "a `Clock`, which holds it to the budget"


def notices(source: str, path: str) -> list[str]:
    """What a person should know about a file: a seed that the tooling did not choose."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("manual_seed", "manual_seed_all"):
            found.append(f"{path} line {node.lineno} sets a literal seed, {ast.unparse(node)}; use prepare.SEED")
    return found


def missing_import(source: str, local: set[str]) -> str:
    """Name of a module that a file imports unconditionally and that is not there; empty when all are.

    Imports within `try`, `if` or a function may be meant to fail, and are left to the run.
    """
    for node in ast.parse(source).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            try:
                found = top in local or importlib.util.find_spec(top) is not None
            except (ImportError, ValueError):
                found = False
            if not found:
                return name
    return ""
