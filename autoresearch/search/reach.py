"""Which functions a module calls where its execution can get to, as far as its syntax shows.

Code behind a condition that is constant and false, or after a statement that never lets it go on, does not count, nor
does the body of a function that nothing mentions. Calls by other names are not seen, nor what a value turns out to be.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

EXITS = ("exit", "quit", "_exit", "abort")
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not},
}
KNOWN = {"__name__": "__main__", "TYPE_CHECKING": False}
"""Names whose values are known when a module is run."""


def called(module: ast.Module) -> set[str]:
    """Dotted names of the functions that are called where execution can get to."""
    bodies = {one.name: [*_live(_body(one))] for one in ast.walk(module) if isinstance(one, DEFINITION)}
    found, reached, waiting = set[str](), set[str](), list[ast.AST](_live(module.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            found.add(dotted(node.func))
        if (
            isinstance(node, ast.Name | ast.Attribute)
            and (name := bare(dotted(node))) in bodies
            and name not in reached
        ):
            reached.add(name)
            waiting += bodies[name]
        waiting += _children(node)
    return found


def called_anywhere(module: ast.Module) -> set[str]:
    """Dotted names of the functions that are called, be it in code that never runs."""
    return {dotted(node.func) for node in ast.walk(module) if isinstance(node, ast.Call)}


def bindings(module: ast.Module, name: str) -> set[str]:
    """All that may decide what a name means, anywhere in a module; a star import may decide it for any."""
    found = set()
    for node in ast.walk(module):
        match node:
            case ast.Import(names) | ast.ImportFrom(names=names):
                origin = f"from {'.' * node.level}{node.module} " if isinstance(node, ast.ImportFrom) else ""
                taken = [one for one in names if (one.asname or one.name).partition(".")[0] in (name, "*")]
                found |= {f"{origin}import {one.name} as {one.asname or one.name}" for one in taken}
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if node.name == name:
                found.add("definition")
            case ast.Name(id=one, ctx=ast.Store() | ast.Del()) | ast.Attribute(attr=one, ctx=ast.Store() | ast.Del()):
                found |= {"assignment"} if one == name else set()
            case ast.arg(arg=one) | ast.ExceptHandler(name=one) | ast.MatchAs(name=one) | ast.MatchStar(name=one):
                found |= {"assignment"} if one == name else set()
    return found


def dotted(node: ast.expr) -> str:
    """The name that an expression is called by, as far as it is one: `a.b`, or `.b` of something that has no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def bare(name: str) -> str:
    """The last part of a dotted name."""
    return name.rpartition(".")[2]


def _body(one: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Of a class that is used, whatever its methods do: frameworks call them by names of their own."""
    if not isinstance(one, ast.ClassDef):
        return one.body
    methods = [inner for inner in one.body if isinstance(inner, DEFINITION)]
    return [statement for method in methods for statement in _live(_body(method))]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a node does."""
    dead = _dead(node)
    for name, value in ast.iter_fields(node):
        if isinstance(node, DEFINITION) and name == "body":
            if isinstance(node, ast.ClassDef):  # runs when it is defined, but for its methods
                yield from (one for one in value if not isinstance(one, DEFINITION))
        elif name in dead:
            continue
        elif isinstance(node, ast.BoolOp) and name == "values":
            yield from _evaluated(node)
        elif isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from _live(value)
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, ast.AST))


def _dead(node: ast.AST) -> tuple[str, ...]:
    """Fields of a node that never run."""
    match node:
        case ast.If(test) | ast.While(test) | ast.IfExp(test):
            truth = truth_of(test)
            return () if truth is None else ("orelse",) if truth else ("body",)
        case ast.For(iter=source) | ast.AsyncFor(iter=source):
            return ("body",) if truth_of(source) is False else ()
        case ast.Expr(ast.Lambda()):
            return ("value",)
    return ()


def _evaluated(node: ast.BoolOp) -> Iterator[ast.expr]:
    """Operands up to the one that decides."""
    for one in node.values:
        yield one
        if truth_of(one) is isinstance(node.op, ast.Or):
            return


def _live(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements up to the first that never lets execution go on."""
    for one in body:
        yield one
        if _leaves(one):
            return


def _leaves(one: ast.stmt) -> bool:
    """Whether nothing after a statement runs."""
    match one:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.Expr(ast.Call(func)):
            return bare(dotted(func)) in EXITS
        case ast.Assert(test):
            return truth_of(test) is False
        case ast.If(test, body, orelse):
            truth = truth_of(test)
            return (truth is False or any(map(_leaves, body))) and (truth is True or any(map(_leaves, orelse)))
        case ast.While(test):
            return truth_of(test) is True and not any(isinstance(inner, ast.Break) for inner in ast.walk(one))
        case ast.With(body=body) | ast.AsyncWith(body=body):
            return any(map(_leaves, body))
    return False


def truth_of(test: ast.expr) -> bool | None:
    """What a condition of constants says; None where it depends."""
    match test:
        case ast.UnaryOp(ast.Not(), operand):
            inner = truth_of(operand)
            return None if inner is None else not inner
        case ast.BoolOp(op, values):
            truths, decides = [truth_of(one) for one in values], isinstance(op, ast.Or)
            return decides if decides in truths else None if None in truths else not decides
        case ast.Tuple(elements) | ast.List(elements) | ast.Set(elements):
            return bool(elements)
        case ast.Dict(keys=keys):
            return bool(keys)
        case ast.Compare(left, [op], [right]) if type(op) in COMPARED:
            try:
                return COMPARED[type(op)](*map(_value, (left, right)))
            except (ValueError, TypeError):
                return None
    try:
        return bool(_value(test))
    except ValueError:
        return None


def _value(node: ast.expr) -> Any:
    """The value of a constant, ValueError for anything else."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) | ast.Attribute(attr=name) if name in KNOWN:
            return KNOWN[name]
    raise ValueError("depends")
