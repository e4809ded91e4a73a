"""Which functions a module calls where its execution can get to, as far as its syntax shows.

Code behind a constant false condition or after a return, a raise, a break or a continue does not count, nor does the
body of a function that nothing mentions. Calls by other names are not seen.
"""

import ast
from collections.abc import Iterator, Sequence

LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def called(module: ast.Module) -> set[str]:
    """Bare names of the functions that are called where execution can get to."""
    bodies = {one.name: [*_live(_body(one))] for one in ast.walk(module) if isinstance(one, DEFINITION)}
    found, reached, waiting = set[str](), set[str](), list[ast.AST](_live(module.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            found.add(_name(node.func))
        if isinstance(node, ast.Name | ast.Attribute) and (name := _name(node)) in bodies and name not in reached:
            reached.add(name)
            waiting += bodies[name]
        waiting += _children(node)
    return found


def called_anywhere(module: ast.Module) -> set[str]:
    """Bare names of the functions that are called, be it in code that never runs."""
    return {_name(node.func) for node in ast.walk(module) if isinstance(node, ast.Call)}


def _body(one: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Of a class that is used, whatever its methods do: frameworks call them by names of their own."""
    if not isinstance(one, ast.ClassDef):
        return one.body
    methods = [inner for inner in one.body if isinstance(inner, DEFINITION)]
    return [statement for method in methods for statement in _live(_body(method))]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a node does."""
    for name, value in ast.iter_fields(node):
        if isinstance(node, DEFINITION) and name == "body":
            if isinstance(node, ast.ClassDef):  # runs when it is defined, but for its methods
                yield from (one for one in value if not isinstance(one, DEFINITION))
            continue
        if isinstance(node, ast.If | ast.While) and name in ("body", "orelse"):
            truth = _truth(node.test)
            if (truth is False and name == "body") or (truth is True and name == "orelse"):
                continue
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from _live(value)
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, ast.AST))


def _live(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements up to the first that always leaves."""
    for one in body:
        yield one
        if isinstance(one, LEAVING):
            return


def _truth(test: ast.expr) -> bool | None:
    """What a constant condition says; None where it depends."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.Constant):
        return bool(test.value)
    return None
