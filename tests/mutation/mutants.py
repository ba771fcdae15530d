"""Small faults put into a module, one at a time: each is a change of one node of its syntax tree.

Left alone, because nothing is promised of it: docstrings, annotations, the English of what is raised (`detail` is for
people, `reason` for programs), and names for `repr`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

_COMPARED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitXor: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """Change `number` of `module`: on `line`, in the function `within`, what stood there and what stands there now."""

    module: str
    number: int
    line: int
    within: str
    before: str
    after: str
    nth: int = 1

    @property
    def name(self) -> str:
        """What it is listed under: the change, the function, and which of several alike, but no number of a line."""
        same = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.module}:{self.within}: {self.before} -> {self.after}{same}"


Change = tuple[ast.AST, Callable[[ast.AST], ast.AST]]


def mutants(root: Path, module: str) -> Iterator[Mutant]:
    """Yield all mutants of the module at this path below `root`."""
    tree = ast.parse((root / module).read_text(encoding="utf-8"))
    alike: Counter[tuple[str, str, str]] = Counter()
    for number, (node, within, change) in enumerate(_changes(tree)):
        before, after = _shown(node), _shown(change(deepcopy(node)))
        alike[within, before, after] += 1
        line = getattr(node, "lineno", 0)
        yield Mutant(module, number, line, within, before, after, alike[within, before, after])


def _shown(node: ast.AST) -> str:
    """A change in one line: of what has a body, only what decides about it."""
    if isinstance(node, ast.If | ast.While):
        return f"{'if' if isinstance(node, ast.If) else 'while'} {ast.unparse(node.test)}"[:120]
    return ast.unparse(node)[:120]


def mutated(root: Path, module: str, number: int) -> ast.Module:
    """Give the syntax tree of a module with one change made."""
    tree = ast.parse((root / module).read_text(encoding="utf-8"))
    for found, (node, _, change) in enumerate(_changes(tree)):
        if found == number:
            replacement = ast.copy_location(change(deepcopy(node)), node)
            _Swap(node, replacement).visit(tree)
            return ast.fix_missing_locations(tree)
    raise LookupError(f"{module} has no mutant {number}")


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """Give the new node in the old one's place."""
        return self.new if node is self.old else self.generic_visit(node)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Callable[[ast.AST], ast.AST]]]:
    for node, within in _nodes(tree, ""):
        for change in _of(node):
            yield node, within or "module", change


def _nodes(node: ast.AST, within: str) -> Iterator[tuple[ast.AST, str]]:
    """Walk what may be changed, in the order of the source."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params", "bases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text_statement(child) or _is_typing(child):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _nodes(child, f"{within}.{child.name}".lstrip("."))
                continue
            if _is_detail(node, child):
                continue
            yield child, within
            if isinstance(child, ast.Raise):
                continue  # what is raised is told apart by its reason, which is no constant
            yield from _nodes(child, within)


def _is_text_statement(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_detail(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a text says in English what a reason beside it says to programs."""
    if not (isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))):
        return False
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        return parent.targets[0].id in {"message", "detail"}
    if not isinstance(parent, ast.Call):
        return False
    called = ast.unparse(parent.func).rpartition(".")[2]
    reasoned = any(isinstance(arg, ast.Attribute) and ast.unparse(arg.value) == "Reason" for arg in parent.args)
    return reasoned or called in {"_bad", "_fault", "_malformed", "_refuse", "_unproven", "ValueError"}


def _is_typing(node: ast.AST) -> bool:
    """Whether a node is an import, an alias or variable of a type, or a slot list."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar":
            return True
        return name == "__slots__" or (isinstance(node.value, ast.Subscript | ast.Call) and name[:1].isupper()
                                       and not name.isupper() and "_" not in name)  # fmt: skip
    return isinstance(node, ast.keyword) and node.arg in {"repr", "maxsize"}


def _of(node: ast.AST) -> Iterator[Callable[[ast.AST], ast.AST]]:  # noqa: C901  # one case for each kind of node
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            if type(operator) in _COMPARED:
                yield lambda n, at=at: _compared(n, at)  # type: ignore[misc]
    elif isinstance(node, ast.BoolOp):
        yield _other_bool
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        if type(node.op) in _COMPUTED and not (isinstance(node, ast.BinOp) and _joins_types(node)):
            yield _computed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda n: n.operand  # type: ignore[attr-defined]
    elif isinstance(node, ast.Constant):
        if type(node.value) in {int, bool, str, bytes}:
            yield _another
    elif isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield _negated  # a comparison and a `not` are turned round by themselves
    elif isinstance(node, ast.Return) and node.value is not None and not _is_constant(node.value):
        yield lambda n: ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield lambda n: ast.Pass()
    elif isinstance(node, ast.Break):
        yield lambda n: ast.Continue()
    elif isinstance(node, ast.Continue):
        yield lambda n: ast.Break()


def _is_constant(node: ast.AST) -> bool:
    """Whether a constant is returned: it is changed by itself, and nothing for `False` says the same."""
    return isinstance(node, ast.Constant) and type(node.value) in {bool, type(None)}


def _joins_types(node: ast.BinOp) -> bool:
    """Whether `|` stands between types."""
    sides = (node.left, node.right)
    return isinstance(node.op, ast.BitOr) and any(isinstance(s, ast.Constant) and s.value is None for s in sides)


def _compared(node: ast.AST, at: int) -> ast.AST:
    assert isinstance(node, ast.Compare)
    node.ops[at] = _COMPARED[type(node.ops[at])]()
    return node


def _other_bool(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return node


def _computed(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BinOp | ast.AugAssign)
    node.op = _COMPUTED[type(node.op)]()
    return node


def _negated(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.If | ast.IfExp | ast.While)
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return node


def _another(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Constant)
    value = node.value
    if isinstance(value, bool):
        return ast.Constant(not value)
    if isinstance(value, int):
        return ast.Constant(value + 1)
    if isinstance(value, bytes):
        return ast.Constant(b"XX" + value)
    return ast.Constant(f"XX{value}")
