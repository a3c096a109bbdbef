"""Finds the functions of the library that read outside bytes: by their names, and by what they call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGE", "readers", "readers_of"]

PACKAGE = Path(__file__).parents[2] / "medchain"

NAMES = frozenset({"from_bytes", "parse", "__from_value__"})
"""What readers are called by the rules of this project."""

CALLS = frozenset(
    {
        *("decode", "decode_record", "from_value", "from_bytes", "decode_base64", "read_text"),
        *(
            "raw_decode",
            "loads",
            "b64decode",
            "a2b_base64",
            "fromhex",
            "unpack",
            "unpack_from",
            "decode_mnemonics",
        ),
    }
)
"""What reads bytes: the library's own functions below all others, and those of the standard library and of others."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def readers() -> set[str]:
    """Every reader of the library, as ``module:name``. What tests and strategies read of their own does not count."""
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if "testing" not in parts:
            module = ".".join(part for part in parts if part != "__init__")
            found |= {f"{module}:{name}" for name in readers_of(path.read_text())}
    return found


def readers_of(source: str) -> set[str]:
    """The readers in the source of one module, by their names in it."""
    return {name for name, function in _functions(ast.parse(source), "") if _reads(name, function)}


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    """Functions and methods; what stands inside a function belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _reads(name: str, function: Function) -> bool:
    return name.rpartition(".")[2] in NAMES or any(
        isinstance(node, ast.Call) and _called(node.func) in CALLS and not _writes(node.func)
        for node in ast.walk(function)
    )


def _called(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _writes(function: ast.expr) -> bool:
    """``b64encode(…).decode()`` is a way to write."""
    made = getattr(function, "value", None)
    return isinstance(made, ast.Call) and _called(made.func) == "b64encode"
