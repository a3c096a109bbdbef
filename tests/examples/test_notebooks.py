"""Notebooks are executed, and say what their cells say now: each cell is run again and compared with its output."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))


def run_cell(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "<cell>", "exec"), names)
        value = (
            eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last is not None else None
        )
    return out.getvalue(), value


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_its_cells_give(path: Path) -> None:
    names: dict[str, Any] = {}
    pictures = 0
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        printed, value = run_cell("".join(cell["source"]), names)
        outputs = cell["outputs"]
        shown = "".join(text for each in outputs if each["output_type"] == "stream" for text in each["text"])
        assert printed == shown, f"cell {number}: execute the notebook again"
        for each in outputs:
            for kind, method in (("image/svg+xml", "_repr_svg_"), ("text/html", "_repr_html_")):
                if kind in each.get("data", {}):
                    pictures += 1
                    assert getattr(value, method)() == "".join(each["data"][kind]), f"cell {number}"
    assert pictures >= 3


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
