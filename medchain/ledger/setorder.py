"""Where the order of a set would show: it differs between processes, so no state and no event may depend on it.

Only what is plainly a set is seen: literals, comprehensions, ``set(…)`` and ``frozenset(…)``, set operations on them
and on the keys of dicts, and local names that were given such a value or are annotated as sets.
"""

from __future__ import annotations

import ast
import builtins

from medchain.ledger.source import Comprehension, Function, Reader, Syntax

__all__ = ["SetOrder"]

UNORDERED = frozenset(("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"))
"""Builtins that give the same whatever the order of what they are given, if there is no ``key``."""

ORDERED = frozenset(
    ("dict", "enumerate", "filter", "iter", "list", "map", "next", "reversed", "tuple", "zip")
)
ORDERED_METHODS = frozenset(("extend", "fromkeys", "join"))
SET_METHODS = frozenset(("copy", "difference", "intersection", "symmetric_difference", "union"))
SET_OPERATORS = ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub
SET_TYPES = frozenset(("set", "frozenset", "Set", "AbstractSet", "MutableSet"))


class SetOrder(Reader):
    """Refuses a function in which the order of a set shows."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self._sets: set[str] = set()

    def _is_set(self, node: ast.AST) -> bool:
        """Whether an expression is plainly a set."""
        if isinstance(node, ast.Name):
            return node.id in self._sets or isinstance(self.resolve(node), set | frozenset)
        if isinstance(node, ast.BinOp) and isinstance(node.op, SET_OPERATORS):
            return any(self._is_set(side) or _is_keys(side) for side in (node.left, node.right))
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.attr in SET_METHODS and self._is_set(node.func.value)
        if isinstance(node, ast.Call):
            return self.resolve(node.func) in (set, frozenset)
        return isinstance(node, ast.Set | ast.SetComp)

    def _check(self, node: ast.AST) -> None:
        if self._is_set(node):
            self.refuse(
                node, f"the order of the set {ast.unparse(node)} differs between nodes; use sorted(…)"
            )

    def _enter(self, node: Syntax, body: list[ast.stmt] | list[ast.expr]) -> None:
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg) and _is_set_type(argument.annotation):
                self._sets.add(argument.arg)
        super()._enter(node, body)

    def _assign(self, target: ast.AST, is_set: bool) -> None:
        if isinstance(target, ast.Name):
            (self._sets.add if is_set else self._sets.discard)(target.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Tuple | ast.List):
                self._check(node.value)
            self._assign(target, self._is_set(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        super().visit_AnnAssign(node)
        self._assign(node.target, _is_set_type(node.annotation))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target, self._is_set(node.value))

    def visit_For(self, node: ast.For) -> None:
        self._check(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self._check(node.value)
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self._check(node.value)
        self.generic_visit(node)

    def comprehension(self, node: Comprehension, *, ordered: bool = True) -> None:
        if ordered and not isinstance(node, ast.SetComp):
            for generator in node.generators:
                self._check(generator.iter)
        super().comprehension(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(self.resolve(node.func), "__name__", "") if isinstance(node.func, ast.Name) else ""
        if name and self.resolve(node.func) is not getattr(builtins, name, None):
            name = ""
        keyed = any(keyword.arg == "key" for keyword in node.keywords)
        if name in ORDERED or (name in UNORDERED and keyed):
            for each in node.args:
                self._check(each)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ORDERED_METHODS:
            for each in node.args:
                self._check(each)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            self._check(node.func.value)
        for child in ast.iter_child_nodes(node):
            if name in UNORDERED and not keyed and isinstance(child, ast.ListComp | ast.GeneratorExp):
                self.comprehension(child, ordered=False)
            else:
                self.visit(child)


def _is_keys(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def _is_set_type(annotation: ast.expr | None) -> bool:
    """Whether an annotation says set, frozenset or an abstract one."""
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(base, ast.Name) and base.id in SET_TYPES
