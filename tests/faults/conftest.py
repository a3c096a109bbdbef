"""What the tests of faults share."""

from __future__ import annotations

from processes import forked, small_disk, start

__all__ = ["forked", "small_disk", "start"]
