"""The ALL_CAPS constants of a train.py: read, compare, edit; and what a change of code touches."""

import ast
import difflib
import hashlib
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autoresearch.errors import Refused

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Pow: operator.pow,
    ast.Mult: operator.mul,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Knob:
    """One assignment of a literal to a constant."""

    name: str
    block: str
    """The value that SCALE must have, or "" at top level."""
    value: object
    line: int
    """Where the value begins, from 1."""
    last_line: int
    """Where it ends."""
    span: tuple[int, int]
    """Byte offsets of the value in its first and last line."""

    @property
    def key(self) -> str:
        """`NAME`, or `scale.NAME` inside a block of one scale."""
        return f"{self.block}.{self.name}" if self.block else self.name


def read(source: str) -> dict[str, Knob]:
    """Constants by key, in the order of the file; the last assignment of a key counts.

    Raises:
        Refused: the source does not parse; names the line.
    """
    found: dict[str, Knob] = {}
    for block, body in _blocks(parse(source).body):
        for node in body:
            if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
                continue
            name = node.targets[0].id
            try:
                value = eval_literal(node.value)
            except ValueError:
                continue
            if NAME.fullmatch(name):
                place = node.value
                span = (place.col_offset, place.end_col_offset or 0)
                knob = Knob(name, block, value, place.lineno, place.end_lineno or place.lineno, span)
                found[knob.key] = knob
    return found


def parse(source: str) -> ast.Module:
    """The syntax tree.

    Raises:
        Refused: a syntax error, with its line.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise Refused(f"train.py must be Python but line {line}: {getattr(error, 'msg', error)}") from error


def eval_literal(node: ast.expr) -> object:
    """A literal, or arithmetic on literals such as 2**18.

    Raises:
        ValueError: anything else.
    """
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = eval_literal(node.left), eval_literal(node.right)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise ValueError("not numbers")
        if isinstance(node.op, ast.Pow) and not (abs(left) <= 1024 and abs(right) <= 64):
            raise ValueError("too large")
        try:
            return OPERATORS[type(node.op)](left, right)
        except ArithmeticError as error:
            raise ValueError(str(error)) from error
    return ast.literal_eval(node)


def _blocks(body: list[ast.stmt], block: str = "") -> Iterator[tuple[str, list[ast.stmt]]]:
    """Top level and the branches of `if SCALE == "name"`, as (name, statements)."""
    yield block, body
    for node in body:
        if isinstance(node, ast.If):
            scale = _scale_of(node.test)
            if scale:
                yield from _blocks(node.body, scale)
            yield from _blocks(node.orelse, block)


def _scale_of(test: ast.expr) -> str:
    match test:
        case ast.Compare(ast.Name("SCALE"), [ast.Eq()], [ast.Constant(str(scale))]):
            return scale
    return ""


def edit(source: str, key: str, text: str) -> str:
    """Put `text` (Python source of a value) in the place of a constant's value.

    Raises:
        Refused: an unknown constant, with the nearest known; or a value over several lines.
    """
    knobs = read(source)
    if key not in knobs:
        near = difflib.get_close_matches(key, knobs, 3)
        raise Refused(f"no constant {key!r} in train.py; {'nearest: ' + ', '.join(near) if near else 'none is near'}")
    knob = knobs[key]
    if knob.last_line != knob.line:
        raise Refused(f"the value of {key} spans lines {knob.line}..{knob.last_line}; edit it by hand")
    lines = source.splitlines(keepends=True)
    raw = lines[knob.line - 1].encode()
    lines[knob.line - 1] = (raw[: knob.span[0]] + text.encode() + raw[knob.span[1] :]).decode()
    return "".join(lines)


def code_digest(source: str) -> str:
    """sha256 of the code apart from comments, layout and docstrings; of the text when it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return text_digest(source)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return text_digest(ast.unparse(tree))


def text_digest(text: str) -> str:
    """sha256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def changed_parts(old: str, new: str) -> list[str]:
    """What an edit is about: keys of changed constants, then names of changed top-level functions and classes."""
    try:
        before, after = _parts(old), _parts(new)
    except Refused:
        return []
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _parts(source: str) -> dict[str, str]:
    parts = {key: repr(knob.value) for key, knob in read(source).items()}
    for node in parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts[f"{node.name}()"] = ast.unparse(node)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    parts[f"{node.name}.{member.name}()"] = ast.unparse(member)
    return parts
