"""The ALL_CAPS constants of a train.py: read, compare, edit; and what a change of code touches."""

import ast
import contextlib
import difflib
import hashlib
import operator
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autoresearch.errors import Refused

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as Python counts them: a form feed ends none
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Pow: operator.pow,
    ast.Mult: operator.mul,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
}
BROKEN = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast raises for text that is no Python
BOM = "\ufeff"


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
    """Byte offsets of the value in its first and last line, a byte order mark aside."""

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
            name, place = _assignment(node)
            if place and NAME.fullmatch(name):
                with contextlib.suppress(ValueError, TypeError):  # not a literal, so not a knob
                    value = eval_literal(place)
                    span = (place.col_offset, place.end_col_offset or 0)
                    knob = Knob(name, block, value, place.lineno, place.end_lineno or place.lineno, span)
                    found.pop(knob.key, None)
                    found[knob.key] = knob
    return found


def parse(source: str) -> ast.Module:
    """The syntax tree; nothing of it is run.

    Raises:
        Refused: a syntax error, with its line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strings such as "\\d"
            return ast.parse(source.encode(errors="surrogateescape"))
    except BROKEN as error:
        line = getattr(error, "lineno", None)
        raise Refused(f"train.py must be Python but line {line}: {getattr(error, 'msg', None) or error!r}") from error


def eval_literal(node: ast.expr) -> object:
    """A literal, or arithmetic on literals such as 2**18, also within a tuple or a list.

    Raises:
        ValueError: anything else, or a number too large to be meant.
        TypeError: operands that do not go together, or a key that cannot be one.
    """
    match node:
        case ast.Tuple(elements):
            return tuple(eval_literal(one) for one in elements)
        case ast.List(elements):
            return [eval_literal(one) for one in elements]
        case ast.UnaryOp(ast.USub(), ast.BinOp() as inner):
            return -_number(inner)
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return _calculate(op, _number(left), _number(right))
    return ast.literal_eval(node)


def _calculate(op: ast.operator, left: float, right: float) -> float:
    if isinstance(op, ast.Pow | ast.LShift) and not (abs(left) <= 1024 and abs(right) <= 64):
        raise ValueError("too large")
    try:
        return OPERATORS[type(op)](left, right)
    except ArithmeticError as error:
        raise ValueError(str(error)) from error


def _number(node: ast.expr) -> float:
    value = eval_literal(node)
    if not isinstance(value, int | float):
        raise ValueError("not a number")
    return value


def _assignment(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """Name and value of `NAME = value` or `NAME: type = value`."""
    match node:
        case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
            return name, value
    return "", None


def _blocks(body: list[ast.stmt], block: str = "") -> Iterator[tuple[str, list[ast.stmt]]]:
    """Top level and the branches of `if SCALE == "name"`, as (name, statements)."""
    yield block, body
    for node in body:
        if isinstance(node, ast.If) and (scale := _scale_of(node.test)):
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
        Refused: an unknown constant, with the nearest known; a text that is no value; a value over several lines.
    """
    knobs = read(source)
    if key not in knobs:
        near = difflib.get_close_matches(key, knobs, 3, 0.5)
        known = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(knobs)}"
        raise Refused(f"no constant {key!r} in train.py; {known}")
    knob = knobs[key]
    if knob.last_line != knob.line:
        raise Refused(f"the value of {key} spans lines {knob.line}..{knob.last_line}; edit it by hand")
    mark = BOM if source.startswith(BOM) else ""
    lines = LINE.findall(source.removeprefix(BOM).encode(errors="surrogateescape"))
    line = lines[knob.line - 1]
    lines[knob.line - 1] = line[: knob.span[0]] + text.strip().encode() + line[knob.span[1] :]
    edited = mark + b"".join(lines).decode(errors="surrogateescape")
    if not _is_value(text) or not _is_same_but_for(knob, text, source, edited):
        raise Refused(f"{key} must get one literal, or arithmetic on numbers, but got {text!r}")
    return edited


def _is_value(text: str) -> bool:
    try:
        eval_literal(ast.parse(text.strip(), mode="eval").body)
    except (*BROKEN, TypeError):
        return False
    return True


def _is_same_but_for(knob: Knob, text: str, source: str, edited: str) -> bool:
    """Whether an edit did no more than it should: a text may hold a comment, or end the statement."""
    wanted = parse(source)
    for node in ast.walk(wanted):
        place = _assignment(node)[1] if isinstance(node, ast.stmt) else None
        if place and isinstance(node, ast.Assign | ast.AnnAssign) and _begins_at(place) == (knob.line, knob.span[0]):
            node.value = ast.parse(text.strip(), mode="eval").body
    try:
        return ast.dump(wanted) == ast.dump(parse(edited))
    except (Refused, *BROKEN):
        return False


def _begins_at(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def code_digest(source: str) -> str:
    """sha256 of the code apart from comments, layout and docstrings; of the text when it does not parse."""
    try:
        return text_digest(ast.dump(_without_docstrings(parse(source))))
    except (Refused, *BROKEN):
        return text_digest(source)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without strings that stand alone, those under a field or a constant included."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, name, None), list):
                rest = [one for one in body if not _is_string(one)]
                setattr(node, name, rest if rest or not body else [ast.Pass()])
    return tree


def _is_string(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
    return False


def text_digest(text: str) -> str:
    """sha256 of a text, in hex."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def changed_parts(old: str, new: str) -> list[str]:
    """What an edit is about, comments and docstrings aside; nothing when one of the two does not parse.

    Returns:
        Keys of changed constants, then `function()`, `Class.method()`, `Class` for the rest of its body, names of other
        variables, and `top level` for all other statements; each group sorted.
    """
    try:
        before, after = _parts(old), _parts(new)
    except (Refused, *BROKEN):
        return []
    changed = {part for part in before.keys() | after.keys() if before.get(part) != after.get(part)}
    return [name for _, name in sorted(changed)]


def _parts(source: str) -> dict[tuple[int, str], str]:
    """What the file says of each part; the first of a key is its group."""
    knobs = read(source)
    parts = {(0, key): repr(knob.value) for key, knob in knobs.items()}
    for block, body in _blocks(_without_docstrings(parse(source)).body):
        for node in body:
            if isinstance(node, ast.If) and _scale_of(node.test):
                continue  # a block of its own
            for name, piece in _pieces(node):
                key = f"{block}.{name}" if block else name
                if key not in knobs:
                    parts[1, key] = parts.get((1, key), "") + ast.dump(piece)
    return parts


def _pieces(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """The names under which a statement is known, with what each stands for."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield f"{node.name}()", node
        case ast.ClassDef():
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield from ((f"{node.name}.{one.name}()", one) for one in methods)
            node.body = [one for one in node.body if one not in methods]
            yield node.name, node
        case _:
            yield _assignment(node)[0] or "top level", node
