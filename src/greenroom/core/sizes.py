"""Sizes in bytes as text. All units are decimal: 1 kB is 1000 bytes, 1 GB is 10⁹ bytes."""

from __future__ import annotations

from typing import Final

UNITS: Final = ("B", "kB", "MB", "GB", "TB")
EXACT: Final = 3
"""Digits for sizes that a sentence compares: two different sizes must not read the same."""


def size(count: float, digits: int = 1) -> str:
    """Bytes with the largest unit that fits, with so many digits behind the point at most: `512 MB`, `1.5 GB`."""
    step = min(len(UNITS) - 1, (len(str(abs(int(count)))) - 1) // 3)
    return f"{count / 1000**step:.{digits}f}".rstrip("0").rstrip(".") + f" {UNITS[step]}" if step else f"{count:.0f} B"
