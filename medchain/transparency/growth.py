"""How a log has grown: size over time, as a small picture, legible on light and dark ground."""

from __future__ import annotations

import datetime

from attrs import field, frozen

from medchain.ledger.archive import Archive
from medchain.ledger.entry import Header

__all__ = ["Growth", "growth_of"]

POINTS = 256
"""Most headers that the picture is made of."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 220, 74, 16, 26, 30
FILL, LINE, TEXT = "#2a7f9e", "#9aa5ad", "#7a868e"


@frozen
class Growth:
    """Sizes that a log had, in order.

    Attributes:
        points: (time in ms since the epoch, leaves) at the end of blocks, the last one included.
    """

    points: tuple[tuple[int, int], ...] = field(repr=lambda each: f"<{len(each)}>")

    def __str__(self) -> str:
        begin, size = self.points[0][0], self.points[-1][1]
        span = max(self.points[-1][0] - begin, 1)

        def x(time: int) -> float:
            return LEFT + (WIDTH - LEFT - RIGHT) * (time - begin) / span

        def y(leaves: int) -> float:
            return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * leaves / size

        steps = [f"M{x(begin):.1f},{y(0):.1f} V{y(self.points[0][1]):.1f}"]
        steps += [f"H{x(time):.1f} V{y(leaves):.1f}" for time, leaves in self.points[1:]]
        outline = " ".join(steps) + f" H{WIDTH - RIGHT}"
        shapes = [_grid(y(leaves), leaves) for leaves in _ticks(size)]
        shapes.append(f'<path d="{outline} V{y(0):.1f} Z" fill="{FILL}" fill-opacity="0.25"/>')
        shapes.append(f'<path d="{outline}" fill="none" stroke="{FILL}" stroke-width="2"/>')
        shapes.append(_text(LEFT, HEIGHT - 10, "start", _day(begin)))
        shapes.append(_text(WIDTH - RIGHT, HEIGHT - 10, "end", _day(self.points[-1][0])))
        shapes.append(_text(LEFT, 14, "start", f"{size:,} leaves"))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="monospace" font-size="11">'
            f"<title>growth of the log to {size:,} leaves</title>{''.join(shapes)}</svg>"
        )

    _repr_svg_ = __str__


def growth_of(archive: Archive, size: int) -> Growth:
    """The growth of a stored log up to the header that ends it at `size`. InvalidBlock if a header is damaged."""
    last = archive.header(size - 1)
    step = -(-(last.height + 1) // POINTS)
    points = [_point(archive, height) for height in range(0, last.height, step)]
    return Growth((*points, (last.time, size)))


def _point(archive: Archive, height: int) -> tuple[int, int]:
    index = archive.header_index(height)
    header: Header = archive.header(index)
    return header.time, index + 1


def _ticks(size: int) -> list[int]:
    """Two to five round numbers up to `size`.

    >>> _ticks(70_000), _ticks(3), _ticks(1)
    ([0, 20000, 40000, 60000], [0, 1, 2, 3], [0, 1])
    """
    step = 1
    while size // step > 4:
        step = int(step * (2.5 if str(step)[0] == "2" else 2))
    return list(range(0, size + 1, step))


def _grid(y: float, leaves: int) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}" stroke-opacity="0.5"/>'
    return line + _text(LEFT - 8, y + 4, "end", f"{leaves:,}")


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:g}" y="{y:.1f}" text-anchor="{anchor}" fill="{TEXT}">{text}</text>'


def _day(time: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(time // 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{time} ms"
