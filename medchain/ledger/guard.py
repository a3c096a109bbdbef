"""The guard: reads the source of a contract and refuses what is plainly not deterministic.

It reads every method of the contract, of its messages, events and rows, and every function and class of the same
package that these use by name. It refuses

- clocks, randomness, input and output, threads, processes: whatever comes from one of `MODULES`;
- builtins that depend on the process or change it: `BUILTINS`;
- floats: literals, ``/``, constants, powers below zero, all of `math` but what works on integers;
- state outside of the tables: globals that are written, iterators, attributes and default arguments that can change;
- the order of a set, where it would show (`medchain.ledger.setorder`);
- errors that are no `Exception`;
- ``except`` clauses that take in the limits of this process: recursion, memory, storage;
- what of the `Context` is the ledger's own.

It is a guard against mistakes, not a sandbox against malice: it does not follow calls into other packages, knows
little of what a variable holds, and who wants to get around it can. Loops that never end and recursion near Python's
limit it does not see at all: they are the business of a review. What it does not see, running twice may show
(`medchain.testing.assert_deterministic`).
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import inspect
import operator
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from medchain.errors import MedchainError, StorageError
from medchain.ledger.contract import Contract
from medchain.ledger.setorder import SetOrder
from medchain.ledger.source import UNKNOWN, Function, Reader, Syntax, functions_of, near, syntax_of, unwrapped

__all__ = ["BUILTINS", "MODULES", "look"]

MODULES = frozenset(
    "aiohttp asyncio atexit cmath concurrent contextvars ctypes datetime fcntl gc getpass glob http httpx"
    " importlib inspect io locale logging marshal multiprocessing nt ntpath numpy os pandas pathlib pickle platform"
    " posix posixpath pty queue random requests sched secrets select selectors shelve shutil signal socket sqlite3 ssl"
    " statistics subprocess sys tempfile thread threading time tracemalloc unicodedata urllib uuid warnings weakref"
    " zoneinfo".split()
)
"""Modules of which a contract uses nothing; a leading ``_`` does not count."""

BUILTINS = frozenset(
    "__import__ breakpoint compile complex delattr dir eval exec exit float globals hash help id input locals object"
    " open print quit setattr vars BaseException GeneratorExit KeyboardInterrupt SystemExit".split()
)
"""Builtins that a contract does not use."""

_BUILTINS = {id(getattr(builtins, name)) for name in BUILTINS if hasattr(builtins, name)}

CONTEXT = frozenset("chain concerns emit height id read refuse require schedule signers time".split())
"""What of its `Context` a handler uses."""

INTEGER_MATH = frozenset("comb factorial gcd isqrt lcm perm".split())
SWALLOWING = (
    Exception,
    BaseException,
    RuntimeError,
    RecursionError,
    MemoryError,
    MedchainError,
    StorageError,
)
FLOAT_ATTRIBUTES = frozenset(
    "__complex__ __float__ __ipow__ __itruediv__ __pow__ __rpow__ __rtruediv__ __truediv__".split()
)
DIVISIONS = (operator.truediv, operator.itruediv)
POWERS = (pow, operator.pow, operator.ipow)
PROCESS_ATTRIBUTES = frozenset("__builtins__ __code__ __dict__ __globals__ __hash__ __subclasses__".split())
MUTABLE = (list, dict, set, bytearray, deque)
MUTATORS = frozenset(
    "add append appendleft clear difference_update discard extend insert intersection_update pop popitem popleft"
    " remove reverse setdefault sort symmetric_difference_update update".split()
)
KEPT = "what a contract keeps stands in its tables"


def look(contract: type[Contract]) -> None:
    """Read all that a contract is made of.

    Raises:
        TypeError: what has no place in a contract, and where it stands.
    """
    waiting: deque[Function] = deque()
    for each in contract.__mro__:
        if each not in (Contract, object):
            _check_attributes(each)
            waiting += functions_of(each)
    messages = (kind for kind, _ in contract.handlers.values())
    for kind in (*messages, *contract.events, *(table.value for table in contract.tables.values())):
        waiting += functions_of(kind)
    seen = set()
    while waiting:
        function = waiting.popleft()
        if function.__code__ in seen:
            continue
        seen.add(function.__code__)
        for syntax in syntax_of(function):
            SetOrder(function).visit(syntax)
            reader = _Guard(function, syntax)
            reader.visit(syntax)
            waiting += reader.used


def _check_attributes(cls: type) -> None:
    for name, value in vars(cls).items():
        if isinstance(value, (*MUTABLE, Iterator)) and name[:2] != "__":
            raise TypeError(f"{cls.__name__}.{name} can change; {KEPT}, and constants are tuples")


class _Guard(Reader):
    """Reads one function; `used` are those of the same package that it names."""

    def __init__(self, function: Function, syntax: Syntax) -> None:
        super().__init__(function)
        self.used: list[Function] = []
        arguments = syntax.args.args
        handler = hasattr(function, "__handles__")
        self._contexts = {
            each.arg
            for place, each in enumerate(arguments)
            if (handler and place == 1) or (each.annotation and ast.unparse(each.annotation) == "Context")
        }

    # Names.

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == "__builtins__":
            self._depends(node)
        self._judge(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in PROCESS_ATTRIBUTES:
            self._depends(node)
        if node.attr in FLOAT_ATTRIBUTES:
            self.refuse(node, f"{ast.unparse(node)} may give a float; use operators, and // to divide")
        if isinstance(node.value, ast.Name) and node.value.id in self._contexts and node.attr not in CONTEXT:
            self.refuse(node, f"{ast.unparse(node)} is the ledger's own")
        if not isinstance(node.ctx, ast.Load):
            self._check_written(node.value)
        self._judge(node)
        self.generic_visit(node)

    def _depends(self, node: ast.AST) -> None:
        self.refuse(node, f"{ast.unparse(node)} depends on more than the state and the message")

    def _judge(self, node: ast.Name | ast.Attribute) -> None:
        """Refuse what a name stands for, or note it to be read."""
        thing = self.resolve(node)
        while isinstance(thing, functools.partial):
            thing = thing.func
        home = thing.__name__ if inspect.ismodule(thing) else str(getattr(thing, "__module__", None))
        if id(thing) in _BUILTINS or thing is builtins or home.partition(".")[0].lstrip("_") in MODULES:
            self._depends(node)
        if isinstance(thing, type) and issubclass(thing, BaseException) and not issubclass(thing, Exception):
            self.refuse(node, f"{ast.unparse(node)} is no Exception; a contract refuses by a code")
        if home == "math" and not inspect.ismodule(thing) and thing.__name__ not in INTEGER_MATH:
            self.refuse(node, f"{ast.unparse(node)} gives a float; nodes may round differently")
        if isinstance(thing, float | complex):
            self.refuse(node, f"{ast.unparse(node)} is a float ({thing}); nodes may round differently")
        if any(thing is each for each in DIVISIONS):
            self.refuse(node, f"{ast.unparse(node)} makes a float; use //")
        if isinstance(thing, Iterator):
            self.refuse(node, f"{ast.unparse(node)} goes on from one execution to the next; {KEPT}")
        if near(self.function.__module__, home) and not (
            isinstance(thing, type) and issubclass(thing, Contract)
        ):
            self.used += functions_of(thing) if isinstance(thing, type) else unwrapped(thing)

    # What outlives the execution.

    def _check_written(self, base: ast.AST) -> None:
        """Refuse to write into something that is not the execution's own."""
        of_class = isinstance(base, ast.Call) and self.resolve(base.func) is type
        if of_class or ast.unparse(base).endswith(".__class__") or self.resolve(base) is not UNKNOWN:
            self.refuse(base, f"{ast.unparse(base)} is there for all executions; {KEPT}")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._check_written(node.value)
        self.generic_visit(node)

    def _enter(self, node: Syntax, body: list[Any]) -> None:
        for default in filter(None, (*node.args.defaults, *node.args.kw_defaults)):
            made = isinstance(default, ast.Call) and self.resolve(default.func) in MUTABLE
            if made or isinstance(
                default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
            ):
                self.refuse(
                    default, f"the default {ast.unparse(default)} is there for all executions; {KEPT}"
                )
        super()._enter(node, body)

    def visit_Call(self, node: ast.Call) -> None:
        function = self.resolve(node.func)
        if function is contextlib.suppress:
            self._check_caught(node, node.args)
        if len(node.args) == 2 and any(function is each for each in POWERS):
            self._check_exponent(node, node.args[1])
        method = node.func if isinstance(node.func, ast.Attribute) else None
        if method and method.attr in MUTATORS and isinstance(self.resolve(method.value), MUTABLE):
            self._check_written(method.value)
        self.generic_visit(node)

    # Statements and expressions.

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float | complex):
            self.refuse(node, f"a float ({node.value}); nodes may round differently")

    def visit_BinOp(self, node: ast.BinOp | ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div):
            self.refuse(node, "/ makes a float; use //")
        if isinstance(node.op, ast.Pow):
            self._check_exponent(node, node.right if isinstance(node, ast.BinOp) else node.value)
        self.generic_visit(node)

    visit_AugAssign = visit_BinOp

    def _check_exponent(self, node: ast.AST, exponent: ast.expr) -> None:
        """Refuse a power below zero; one with a modulus is whole, and has a third argument."""
        if isinstance(exponent, ast.UnaryOp) and isinstance(exponent.op, ast.USub):
            self.refuse(node, f"{ast.unparse(node)} gives a float; use //")

    def _no_place(self, node: ast.AST) -> None:
        self.refuse(node, f"{type(node).__name__.lower()} has no place in a contract")

    visit_Global = visit_Nonlocal = visit_Import = visit_ImportFrom = visit_Await = _no_place

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._check_caught(node, node.type.elts if isinstance(node.type, ast.Tuple) else [node.type])
        self.generic_visit(node)

    def _check_caught(self, node: ast.AST, caught: Iterable[ast.expr | None]) -> None:
        for each in caught:
            if each is None or any(self.resolve(each) is kind for kind in SWALLOWING):
                what = "everything" if each is None else ast.unparse(each)
                self.refuse(
                    node, f"it catches {what}, with it the limits of this process; name what is expected"
                )
