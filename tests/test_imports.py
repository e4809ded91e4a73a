"""What may import what, and what may touch the terminal, the environment and the clock."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "autoresearch"
LAYERS = (
    ("cli", "__main__"),
    ("commands",),
    ("remeasure", "report", "hub", "night", "advice", "search", "steer"),
    ("attempt",),
    ("referee", "verdict", "signals"),
    ("ledger", "notes", "repo", "process", "sandbox", "summary", "knobs", "chat"),
    ("arena", "records"),
    ("errors", "__init__"),
)
ALLOWED_UP = {("records", "verdict"): "an attempt's record holds the Verdict, a plain value that imports nothing"}
RIM = ("cli", "commands")
SHIM = "search.shim.autoresearch_rl"  # on the path of trials, under the name that they import
PROGRAMS = (
    "sandbox.warden",
    "search.executors.bootstrap",
    SHIM,
    f"{SHIM}.target",
    f"{SHIM}.target.progress",
)  # for processes of their own
ELSEWHERE = ("search.executors.node",)
"""Programs that import the package, for processes of their own: each is a rim."""
NUMERIC = ("search.policies.sampled", "search.policies.learned", "search.policies.centaur")
"""Import numpy; a search imports one of them when its configuration says so, and nobody else does."""
FORBIDDEN = {  # outside the rim
    "print", "input", "os.environ", "os.getenv", "os.putenv", "os.getcwd", "Path.cwd", "sys.argv", "sys.stdin",
    "sys.stdout", "sys.stderr", "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
    "time.strftime", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Files of the package by dotted name below it."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names below the package that a file imports, wherever in it."""
    known = modules()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            inner = name.removeprefix("autoresearch.")
            while inner != name and inner not in known and "." in inner:
                inner = inner.rpartition(".")[0]
            if inner != name and inner in known:
                yield inner


def layer_of(name: str) -> int:
    top = name.partition(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if top in layer]
    assert found, f"{top} has no layer; give it one in LAYERS and in docs"
    return found[0]


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name):
    for other in imports_of(modules()[name]):
        pair = (name.partition(".")[0], other.partition(".")[0])
        assert layer_of(other) >= layer_of(name) or pair in ALLOWED_UP, f"{name} imports {other}, which is above it"


def test_imports_have_no_cycle():
    graph = {name: set(imports_of(path)) - {name} for name, path in modules().items()}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_imports_allowed_upwards_are_needed():
    for above, below in ALLOWED_UP:
        assert below in imports_of(modules()[above])


def dotted(node: ast.AST) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            return f"{dotted(value)}.{name}"
    return ""


@pytest.mark.parametrize("name", [name for name in modules() if name.partition(".")[0] not in RIM])
def test_imports_of_the_rim_stay_at_the_rim(name):
    if name in (*PROGRAMS, *ELSEWHERE):
        pytest.skip("a program is a rim of its own")
    tree = ast.parse(modules()[name].read_text())
    used = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}
    taken = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not (used | taken) & FORBIDDEN
    assert not {one for one in used if one.startswith("datetime.") and one.endswith((".now", ".today"))}


def test_imports_of_all_modules_leave_torch_train_and_prepare_out():
    left_out = ("__init__", "__main__", *NUMERIC)
    names = ["autoresearch", *(f"autoresearch.{name}" for name in modules() if name not in left_out)]
    script = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'train', 'prepare', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_numeric_modules_are_imported_by_each_other_alone():
    for name, path in modules().items():
        assert name in NUMERIC or not {*imports_of(path)} & {*NUMERIC}, name


def test_programs_import_nothing_of_the_package_and_are_imported_by_nothing():
    assert not [one for name in PROGRAMS for one in imports_of(modules()[name])]
    assert not {one for path in modules().values() for one in imports_of(path)} & {*PROGRAMS}


@pytest.mark.parametrize("name", [name for name in modules() if name != "__main__"])
def test_imports_have_no_effect(name):
    """Only definitions, constants and imports stand at the top level."""
    for node in ast.parse(modules()[name].read_text()).body:
        call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        assert not call and not isinstance(node, ast.With | ast.For | ast.While | ast.Try), (
            f"{name}: {ast.unparse(node)}"
        )
