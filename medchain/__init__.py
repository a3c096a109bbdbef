"""Medical ledgers that strangers can verify and that only key holders can read."""

from __future__ import annotations

__version__ = "0.1.0"
