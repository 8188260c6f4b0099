"""Optional modules of libraries that this process does without."""

from __future__ import annotations

import sys


def leave_out(*names: str) -> None:
    """Let every import of these modules fail, unless they are imported already."""
    for name in names:
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType] -- None makes an import fail
