"""How trees and proofs look in a notebook: small SVG and HTML, legible on light and dark ground."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from medchain.merkle.arithmetic import EMPTY_ROOT, cover, node_hash, path_shape

__all__ = ["path_html", "path_svg", "tree_svg"]

_Fetch = Callable[[int, int], bytes]

_MOST_LEAVES = 32
"""Up to this size a tree is drawn node by node, above it as its complete subtrees."""

_STEP, _RISE, _MARGIN = 26, 40, 22
_SIDE = 48
"""Room left and right, so that the label of a small tree's root fits."""

_SOLID, _OPEN, _LINE, _TEXT = "#2a7f9e", "#e08a2c", "#9aa5ad", "#7a868e"


@frozen
class _Drawn:
    x: float
    height: int
    hash: bytes
    complete: bool


def tree_svg(size: int, fetch: _Fetch) -> str:
    """A picture of the tree of `size` leaves: filled nodes are complete and final, open ones change as it grows."""
    if size == 0:
        return _svg(160, 40, [_text(80, 24, "empty log")], EMPTY_ROOT)
    if size > _MOST_LEAVES:
        return _mountains(size, fetch)
    edges: list[str] = []
    dots: list[str] = []
    height = (size - 1).bit_length()

    def y(level: int) -> int:
        return _MARGIN + _RISE * (height - level)

    def draw(begin: int, end: int) -> _Drawn:
        count = end - begin
        if count == 1:
            node = _Drawn(_SIDE + _STEP * begin, 0, fetch(0, begin), complete=True)
        else:
            middle = begin + (1 << (count - 1).bit_length() - 1)
            left, right = draw(begin, middle), draw(middle, end)
            full = count & (count - 1) == 0
            node = _Drawn(
                (left.x + right.x) / 2,
                max(left.height, right.height) + 1,
                node_hash(left.hash, right.hash),
                complete=full,
            )
            edges.extend(_edge(node.x, y(node.height), child.x, y(child.height)) for child in (left, right))
        dots.append(_dot(node, y(node.height)))
        return node

    root = draw(0, size)
    labels = [_text(_SIDE + _STEP * i, y(0) + 20, str(i)) for i in range(size)]
    title = _text(root.x, 12, f"{root.hash.hex()[:12]}…")
    width = 2 * _SIDE + _STEP * (size - 1)
    return _svg(width, y(0) + 28, [*edges, *dots, *labels, title], root.hash)


def path_html(index: int, size: int, path: Sequence[bytes]) -> str:
    """The steps of an inclusion path, from the leaf up."""
    inner, _ = path_shape(index, size) if 0 <= index < size else (0, 0)
    rows = []
    for i, sibling in enumerate(path):
        left = i >= inner or index >> i & 1
        pair = (_code(sibling), "·") if left else ("·", _code(sibling))
        rows.append(f"<tr><td>{i + 1}</td><td>{pair[0]}</td><td>{pair[1]}</td></tr>")
    return (
        f"<table><caption>leaf {index} of {size}</caption>"
        f"<thead><tr><th>step</th><th>left</th><th>right</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def path_svg(index: int, size: int, path: Sequence[bytes]) -> str:
    """A picture of an inclusion path: the leaf below, the root on top, and beside the way up what is hashed with it.

    Filled nodes are computed by who verifies, open ones stand in the proof.
    """
    inner, _ = path_shape(index, size) if 0 <= index < size else (0, 0)
    middle, height = 170.0, len(path)
    edges, dots, labels = [], [], []

    def y(level: int) -> int:
        return 2 * _MARGIN + _RISE * (height - level)

    for level, sibling in enumerate(path):
        left = level >= inner or index >> level & 1
        x = middle - 2 * _STEP if left else middle + 2 * _STEP
        edges += [
            _edge(middle, y(level), middle, y(level + 1)),
            _edge(x, y(level), middle, y(level + 1)),
        ]
        dots.append(_dot(_Drawn(x, level, sibling, complete=False), y(level), "in the proof"))
        labels.append(_text(x + (-60 if left else 60), y(level) + 4, f"{sibling.hex()[:10]}…"))
    dots += [
        f'<circle cx="{middle:g}" cy="{y(level)}" r="7" fill="{_SOLID}"><title>computed</title></circle>'
        for level in range(height + 1)
    ]
    labels.append(_text(middle, y(0) + 22, f"leaf {index:,} of {size:,}"))
    labels.append(_text(middle, y(height) - 14, "root"))
    shapes = "".join([*edges, *dots, *labels])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="340" height="{y(0) + 32}" '
        f'viewBox="0 0 340 {y(0) + 32}" font-family="monospace" font-size="11">'
        f"<title>inclusion path of leaf {index} of {size}</title>{shapes}</svg>"
    )


def _mountains(size: int, fetch: _Fetch) -> str:
    """The complete subtrees of a large tree, left to right, each as high as its level."""
    shapes, x = [], float(_MARGIN)
    nodes = cover(0, size)
    base = _MARGIN + 8 * (nodes[0][0] + 1)
    root = b""
    for level, index in reversed(nodes):
        hash = fetch(level, index)
        root = node_hash(hash, root) if root else hash
    for level, index in nodes:
        width, top = 16 + 6 * level, base - 8 * (level + 1)
        outline = f"{x:g},{base} {x + width / 2:g},{top} {x + width:g},{base}"
        tip = _tip(f"{1 << level} leaves from {index << level}", fetch(level, index))
        shapes.append(f'<polygon points="{outline}" fill="{_SOLID}" fill-opacity="0.75">{tip}</polygon>')
        shapes.append(_text(x + width / 2, base + 16, f"{1 << level:,}"))
        x += width + 12
    shapes.append(_text((x + _MARGIN) / 2, 12, f"{size:,} leaves under {root.hex()[:12]}…"))
    return _svg(max(x + _MARGIN, 300), base + 28, shapes, root)


def _svg(width: float, height: float, shapes: Iterable[str], root: bytes) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="monospace" font-size="11">'
        f"<title>log tree, root {root.hex()}</title>{''.join(shapes)}</svg>"
    )


def _edge(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{_LINE}"/>'


def _dot(node: _Drawn, y: float, what: str = "") -> str:
    style = (
        f'fill="{_SOLID}"'
        if node.complete
        else f'fill="white" stroke="{_OPEN}" stroke-width="2" stroke-dasharray="3 2"'
    )
    what = what or ("complete" if node.complete else "still open")
    return f'<circle cx="{node.x:g}" cy="{y:g}" r="7" {style}>{_tip(what, node.hash)}</circle>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{_TEXT}">{text}</text>'


def _tip(what: str, hash: bytes) -> str:
    return f"<title>{what}: {hash.hex()}</title>"


def _code(hash: bytes) -> str:
    return f"<code>{hash.hex()[:12]}…</code>"
