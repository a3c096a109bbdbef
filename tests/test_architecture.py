"""The house has floors: a package imports only what stands below it, and importing costs only what is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "medchain"

FLOORS = [
    "errors",
    "_text",
    "_lazy",
    "_native",
    "encoding",
    "_codecs",
    "records",
    "merkle",
    "keys",
    "storage",
    "policy",
    "sealing",
    "ledger",
    "consensus",
    "_following",
    "_numbering",
    "_writer",
    "_opening",
    "_proving",
    "_snapshots",
    "_sharing",
    "_vouching",
    "_reading",
    "chain",
    "transparency",
    "identity",
    "access",
    "credentials",
    "escrow",
    "ehr",
    "testing",
    "cli",
    "__main__",
]
APPLICATIONS = {"ehr", "genomics", "traceability", "claims", "monitoring"}
NEVER_IMPORTED = {"testing", "cli", "__main__"}
MOST_LINES = 500

DOTTED = re.compile(r"medchain(\.\w+)+")

MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def imported(module: Path) -> Iterator[str]:
    """Rooms that a module imports, lazily named ones included."""
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "medchain":
                names = [f"medchain.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED.fullmatch(node.value):
            names = [node.value]
        for found in names:
            parts = found.split(".")
            if parts[0] == "medchain" and len(parts) > 1 and exists(parts[1]):
                yield parts[1]


def exists(part: str) -> bool:
    return (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()


@pytest.mark.parametrize("module", [m for m in MODULES if m != PACKAGE / "__init__.py"], ids=name)
def test_a_module_imports_only_what_stands_below_it(module: Path) -> None:
    here = room(module)
    assert here in FLOORS, f"{here} has no place in the order of the house"
    for other in set(imported(module)) - {here}:
        assert FLOORS.index(other) < FLOORS.index(here), f"{here} imports {other}, which stands above it"
        assert other not in NEVER_IMPORTED or here in NEVER_IMPORTED
        assert not (other in APPLICATIONS and here in APPLICATIONS), "applications never import one another"


def test_the_order_names_every_room() -> None:
    assert {room(module) for module in MODULES} - {"__init__"} <= set(FLOORS)


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_has_one_subject(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MOST_LINES


HEAVY = (
    "Crypto",
    "shamir_mnemonic",
    "lmdb",
    "sqlite3",
    "psycopg",
    "medchain.ehr",
    "medchain.access",
    "medchain.sealing",
    "hypothesis",
)


@pytest.mark.parametrize(
    "what", ["medchain", "medchain.merkle", "medchain.policy", "medchain.keys", "medchain.storage"]
)
def test_importing_loads_nothing_heavy(what: str) -> None:
    # A path finder of an editable install may itself import what it needs; so compare with what is there before.
    code = f"import sys; before = set(sys.modules); import {what}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert what in loaded
    for heavy in HEAVY:
        assert not any(each == heavy or each.startswith(f"{heavy}.") for each in loaded), (
            f"{what} loads {heavy}"
        )


def test_everything_that_is_promised_exists() -> None:
    code = """
import importlib, pkgutil, medchain
names = ["medchain"] + [m.name for m in pkgutil.walk_packages(medchain.__path__, "medchain.") if m.ispkg]
for name in names:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
print(len(names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
