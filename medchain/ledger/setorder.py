"""Where the order of a set would show: it differs between processes, so no state and no event may depend on it.

Only what is plainly a set is seen: literals, comprehensions, ``set(…)`` and ``frozenset(…)``, set operations on them
and on the keys of dicts, and local names that were given such a value or are annotated as sets. Such a thing may be
tested, compared, put together with others of its kind, measured and sorted. It is not passed to anything else, for
whatever takes it may go through it: `str` and ``f"{…}"`` as well as `list`, a function of another package as well as a
method beside.
"""

from __future__ import annotations

import ast
from typing import Any

from medchain.ledger.source import UNKNOWN, Comprehension, Function, Reader, Syntax

__all__ = ["SetOrder"]

UNORDERED = (all, any, bool, frozenset, isinstance, len, max, min, set, sorted, sum)
"""What gives the same whatever the order of what it is given, if there is no ``key`` and no ``start``."""

COMPARING = (max, min, sorted)
"""Of these the ones that compare what is in a set. Of two sets neither need be the smaller one."""

SET_METHODS = frozenset(("copy", "difference", "intersection", "symmetric_difference", "union"))
SET_TAKERS = SET_METHODS - {"copy"} | {"isdisjoint", "issubset", "issuperset"}
"""Methods that only sets have, and that take others."""

OWN_TAKERS = frozenset(
    (
        *("__contains__", "add", "discard", "remove", "update"),
        *("difference_update", "intersection_update", "symmetric_difference_update"),
    )
)
"""Methods that take a set without showing its order if they are a set's own."""

SHOWING = frozenset(("__format__", "__iter__", "__reduce__", "__reduce_ex__", "__repr__", "__str__"))
CONDITION = "require"
"""The method of a context that looks no further at what it is given than whether it is empty."""

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
            return _is_one_of(self.resolve(node.func), (set, frozenset))
        return isinstance(node, ast.Set | ast.SetComp)

    def _check(self, node: ast.AST) -> None:
        if self._is_set(node):
            self.refuse(
                node, f"the order of the set {ast.unparse(node)} differs between nodes; use sorted(…)"
            )

    def _check_shown(self, node: ast.AST) -> None:
        """Refuse to make a text of a set, or of a tuple, list or dict that is written down with one in it."""
        self._check(node)
        if isinstance(node, ast.Tuple | ast.List | ast.Dict):
            for child in ast.iter_child_nodes(node):
                self._check_shown(child)

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

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self._check_shown(node.value)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp | ast.AugAssign) -> None:
        if isinstance(node.op, ast.Mod):
            self._check_shown(node.right if isinstance(node, ast.BinOp) else node.value)
        self.generic_visit(node)

    visit_AugAssign = visit_BinOp

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in SHOWING:
            self._check(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = self.resolve(node.func)
        measuring = _is_one_of(function, UNORDERED)
        unordered = measuring and not _is_told_how(node, function)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            self._check(node.func.value)
        for given in (*node.args, *(keyword.value for keyword in node.keywords)):
            if measuring:
                if not unordered or (_is_one_of(function, COMPARING) and self._is_set_of_sets(given)):
                    self._check(given)
            elif not self._takes_sets(node):
                self._check_shown(given)
        for child in ast.iter_child_nodes(node):
            if unordered and isinstance(child, ast.ListComp | ast.GeneratorExp):
                self.comprehension(child, ordered=False)
            else:
                self.visit(child)

    def _takes_sets(self, node: ast.Call) -> bool:
        """Whether a call is of a method that takes sets without showing their order."""
        method = node.func
        if not isinstance(method, ast.Attribute):
            return False
        base = self.resolve(method.value)
        if not (_is_one_of(base, (UNKNOWN, set, frozenset)) or isinstance(base, set | frozenset)):
            return False
        known = method.attr in SET_TAKERS or method.attr == CONDITION
        return known or (method.attr in OWN_TAKERS and self._is_set(method.value))

    def _is_set_of_sets(self, node: ast.AST) -> bool:
        inner = (
            node.elts if isinstance(node, ast.Set) else [node.elt] if isinstance(node, ast.SetComp) else []
        )
        return any(map(self._is_set, inner))


def _is_one_of(thing: Any, several: tuple[Any, ...]) -> bool:
    """Whether it is the same as one of several; whether it is equal would be its own business."""
    return any(thing is each for each in several)


def _is_told_how(node: ast.Call, function: Any) -> bool:
    """Whether a measuring call has a ``key`` or a ``start``, with which the order shows."""
    names = {keyword.arg for keyword in node.keywords}
    return "key" in names or "start" in names or (function is sum and len(node.args) > 1)


def _is_keys(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def _is_set_type(annotation: ast.expr | None) -> bool:
    """Whether an annotation says set, frozenset or an abstract one."""
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(base, ast.Name) and base.id in SET_TYPES
