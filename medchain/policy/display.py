"""Policies as pictures for notebooks: plain HTML and SVG, no scripts, no styles from elsewhere, light and
dark."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from medchain.policy.bound import BoundPolicy
from medchain.policy.format import format_options
from medchain.policy.tree import H, Holder, Threshold, Tree

if TYPE_CHECKING:
    from medchain.policy.analysis import Analysis
    from medchain.policy.model import ClauseRules, Policy

__all__ = ["analysis_html", "policy_html", "tree_svg"]

ROW, COLUMN, BOX = 30, 118, 22
CHARACTER = 7.4
"""Width of a character of the font at its size, in pixels."""
MOST = 120
"""Trees with more positions are shown as text."""
PAPER, INK, LINE = "#ffffff", "#1f2937", "#64748b"
"""Boxes are dark on white, so that they read the same on light and dark pages."""

COLOURS = {
    "emergency": "#c2410c",
    "recovery": "#6d28d9",
    "error": "#b91c1c",
    "warning": "#b45309",
    "note": "#64748b",
}


def policy_html(policy: Policy | BoundPolicy) -> str:
    """A heading, a drawing and the options for each clause."""
    name: Callable[[Any], str] = policy.name if isinstance(policy, BoundPolicy) else str
    parts = [_clause_html(clause, name) for clause in policy.clauses]
    if policy.erasure is not None:
        parts.append(f"<div>erasure by <b>{escape(policy.erasure.text(name))}</b></div>")
    if policy.labels:
        parts.append(f"<div>shows {escape(', '.join(policy.labels))}</div>")
    return f'<div style="font-family:system-ui,sans-serif;font-size:13px">{"".join(parts)}</div>'


def _clause_html(clause: ClauseRules[Any], name: Callable[[Any], str]) -> str:
    mark = ""
    if clause.mark is not None:
        colour = COLOURS[clause.mark]
        style = f"color:{colour};border:1px solid {colour};border-radius:8px;padding:0 6px"
        mark = f' <span style="{style}">{clause.mark}</span>'
    heading = f"<b>{escape(clause.name)}</b> for {escape(', '.join(clause.purposes))}{mark}"
    drawing = tree_svg(clause.tree, name, gate=clause.gated)
    options = escape(" · ".join(format_options(clause, name)))
    return f'<div style="margin:0 0 12px">{heading}<div>{drawing}</div><div>{options}</div></div>'


def tree_svg(tree: Tree[H], name: Callable[[H], str], *, gate: bool = False) -> str:
    """A tree from left to right: thresholds as pills, holders as boxes, the gate dashed beside the root."""
    if tree.size > MOST:
        return f"<pre>{escape(tree.text(name))}</pre>"
    drawing = _Drawing(name)
    start = 1 if gate else 0
    middle = drawing.node(tree, start)
    if gate:
        top = drawing.leaf("gate", start, dashed=True)
        root = (middle + top) / 2
        drawing.edge(0, root, 1, middle)
        drawing.edge(0, root, 1, top)
        drawing.pill("and the gate", 0, root)
    return drawing.svg(escape(tree.text(name)))


class _Drawing:
    """Rows are given to leaves as they come; a threshold stands in the middle of its members."""

    def __init__(self, name: Callable[[Any], str]) -> None:
        self.name = name
        self.rows = 0
        self.width = 0.0
        self.shapes: list[str] = []

    def node(self, node: Tree[Any], depth: int) -> float:
        if isinstance(node, Holder):
            return self.leaf(self.name(node.holder), depth)
        assert isinstance(node, Threshold)
        heights = [self.node(member, depth + 1) for member in node.members]
        middle = (heights[0] + heights[-1]) / 2
        for height in heights:
            self.edge(depth, middle, depth + 1, height)
        count = len(node.members)
        self.pill(
            "all" if node.k == count else "any" if node.k == 1 else f"{node.k} of {count}", depth, middle
        )
        return middle

    def leaf(self, text: str, depth: int, *, dashed: bool = False) -> float:
        middle = self.rows * ROW + ROW / 2
        self.rows += 1
        self.box(text, depth, middle, radius=4, extra=' stroke-dasharray="4 3"' if dashed else "")
        return middle

    def pill(self, text: str, depth: int, middle: float) -> None:
        self.box(text, depth, middle, radius=11, extra="")

    def box(self, text: str, depth: int, middle: float, *, radius: int, extra: str) -> None:
        x, width = depth * COLUMN + 2, len(text) * CHARACTER + 16
        self.width = max(self.width, x + width + 2)
        y = middle - BOX / 2
        self.shapes.append(
            f'<rect x="{x}" y="{y:g}" width="{width:g}" height="{BOX}" rx="{radius}" fill="{PAPER}"'
            f' stroke="{LINE}"{extra}/>'
            f'<text x="{x + 8}" y="{middle + 4:g}" fill="{INK}">{escape(text)}</text>'
        )

    def edge(self, depth: int, start: float, to_depth: int, end: float) -> None:
        x, to = depth * COLUMN + 20, to_depth * COLUMN + 2
        bend = (x + to) / 2 + 20
        self.shapes.insert(
            0,
            f'<path d="M{x} {start:g}C{bend:g} {start:g} {bend:g} {end:g} {to} {end:g}" fill="none" '
            f'stroke="{LINE}" stroke-opacity=".6"/>',
        )

    def svg(self, title: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'width="{self.width:g}" height="{self.rows * ROW}" '
            f'style="font:12px ui-monospace,monospace"><title>{title}</title>'
            f"{''.join(self.shapes)}</svg>"
        )


def analysis_html(analysis: Analysis) -> str:
    """Clauses with their quorums, then the findings in the colours of their severity."""
    clauses, findings = [], []
    for line in str(analysis).split("\n")[: len(analysis.clauses)]:
        clauses.append(f"<div>{escape(line)}</div>")
    for finding in analysis:
        where = f"<i>{escape(finding.clause)}</i>: " if finding.clause else ""
        findings.append(
            f'<li><span style="color:{COLOURS[finding.severity]}">{finding.severity}</span> '
            f"<code>{finding.code}</code> {where}{escape(finding.text)}</li>"
        )
    body = "".join(clauses) + (f"<ul>{''.join(findings)}</ul>" if findings else "")
    return f'<div style="font-family:system-ui,sans-serif;font-size:13px">{body}</div>'
