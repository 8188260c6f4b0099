"""The location of Greenroom's code in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = (ROOT / "src/greenroom", *sorted(ROOT.glob("packages/*/src/greenroom")))
"""The folders of the package `greenroom`, one of each distribution."""
