"""The source of a contract: which functions belong to it, their syntax, and what the names in them stand for."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import inspect
import linecache
import types
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NoReturn, TypeAlias

import attrs

__all__ = ["UNKNOWN", "Function", "Reader", "Syntax", "functions_of", "near", "syntax_of", "unwrapped"]

Function: TypeAlias = types.FunctionType
Syntax: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda _: "UNKNOWN"})()
"""What a name stands for whose value only the running function knows."""


def functions_of(cls: type) -> Iterator[Function]:
    """Functions that a class brings along: its methods, and what validates and converts its fields."""
    for value in vars(cls).values():
        yield from unwrapped(value)
    for item in attrs.fields(cls) if attrs.has(cls) else ():
        for value in (item.validator, item.converter, getattr(item.default, "factory", None)):
            yield from (each for each in unwrapped(value) if near(cls.__module__, each.__module__))


def unwrapped(value: Any) -> Iterator[Function]:
    """The functions in a function, method, property, cached function or partial; attrs' own are left out."""
    if isinstance(value, Function) and not _of_attrs(value):
        yield value
    if isinstance(value, property):
        for each in (value.fget, value.fset, value.fdel):
            yield from unwrapped(each)
    for inner in ("__wrapped__", "__func__", "func"):
        if not isinstance(value, type) and (found := getattr(value, inner, None)) is not None:
            yield from unwrapped(found)
            return


def _of_attrs(function: Function) -> bool:
    return function.__module__ == "attr._make" or function.__code__.co_filename.startswith("<attrs generated")


def near(module: str, other: str | None) -> bool:
    """Whether `other` is the same module, or stands in the same package or below it."""
    package = module.rpartition(".")[0]
    return other == module or (package != "" and f"{other}.".startswith(f"{package}."))


def syntax_of(function: Function) -> list[Syntax]:
    """The syntax of a function; more than one where lambdas share a line.

    Raises:
        TypeError: there is no source.
    """
    code = function.__code__
    nodes = [
        node
        for node in _file(code.co_filename).get(code.co_firstlineno, [])
        if getattr(node, "name", "<lambda>") == code.co_name
    ]
    if not nodes:
        raise TypeError(f"{function.__qualname__} has no source to be read: a contract is defined in a file")
    return nodes


@functools.lru_cache(maxsize=64)
def _file(filename: str) -> Mapping[int, list[Syntax]]:
    """The functions and lambdas of a file by their first line, decorators included."""
    found: dict[int, list[Syntax]] = {}
    for node in ast.walk(ast.parse("".join(linecache.getlines(filename)))):
        if isinstance(node, Syntax):
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            found.setdefault(min(each.lineno for each in (node, *decorators)), []).append(node)
    return found


class Reader(ast.NodeVisitor):
    """Visits the body of a function and knows what is local there. Annotations and decorators are passed over."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._scopes: list[set[str]] = []
        self._closure: dict[str, Any] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # a cell that is still empty
                self._closure[name] = cell.cell_contents

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        """Refuse the contract: TypeError with the place of `node`."""
        file = PurePath(self.function.__code__.co_filename).name
        raise TypeError(
            f"{self.function.__qualname__}, line {getattr(node, 'lineno', '?')} of {file}: {what}"
        )

    def resolve(self, node: ast.AST) -> Any:
        """What a name, or an attribute of a module or class, stands for outside of the function; or `UNKNOWN`."""
        if isinstance(node, ast.Name) and not any(node.id in scope for scope in self._scopes):
            for place in (self._closure, self.function.__globals__, vars(builtins)):
                if node.id in place:
                    return place[node.id]
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value)
            if isinstance(base, types.ModuleType):
                return getattr(base, node.attr, UNKNOWN)
            if isinstance(base, type):
                return inspect.getattr_static(base, node.attr, UNKNOWN)
        return UNKNOWN

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._enter(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._enter(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._enter(node, [node.body])

    def _enter(self, node: Syntax, body: list[Any]) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        arguments = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        self._scopes.append(arguments | {name for each in body for name in _bound(each)})
        for each in body:
            self.visit(each)
        self._scopes.pop()

    def comprehension(self, node: Comprehension) -> None:
        """Visit a comprehension, whose targets are local to it."""
        targets = (each for generator in node.generators for each in ast.walk(generator.target))
        self._scopes.append({each.id for each in targets if isinstance(each, ast.Name)})
        self.generic_visit(node)
        self._scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds in its own scope."""
    for name in (getattr(node, "name", None), getattr(node, "rest", None)):
        if isinstance(name, str):  # a definition, the name of a caught exception or of a matched pattern
            yield name
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if isinstance(node, Syntax | ast.ClassDef):
        return
    inner = ast.iter_child_nodes(node)
    if isinstance(node, Comprehension):
        inner = (each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
    for child in inner:
        yield from _bound(child)
