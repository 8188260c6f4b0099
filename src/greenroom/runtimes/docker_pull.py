"""How far the fetching of an image is, from the lines that Docker writes about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DOWNLOAD: Final = 0.8
"""Share of downloading in the whole; the rest is unpacking."""


class Progress:
    """Percent of a pull, never falling. Layers count by their bytes once these are known."""

    def __init__(self) -> None:
        self._done: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._percent = 0

    def after(self, line: Mapping[str, Any]) -> int:
        """Take one line of the stream into account; 0-99."""
        layer, status = line.get("id"), line.get("status", "")
        detail: dict[str, int] = line.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        if layer is None:
            return self._percent
        if total:
            self._sizes[layer] = max(total, self._sizes.get(layer, 0))
        if status in ("Pull complete", "Already exists"):
            self._done[layer] = 1.0
        elif status == "Extracting" and total:
            self._done[layer] = DOWNLOAD + (1 - DOWNLOAD) * current / total
        elif status in ("Download complete", "Verifying Checksum"):
            self._done[layer] = DOWNLOAD
        elif status == "Downloading" and total:
            self._done[layer] = DOWNLOAD * current / total
        elif status in ("Pulling fs layer", "Waiting"):
            self._done.setdefault(layer, 0.0)
        weights = {name: self._sizes.get(name, 1) for name in self._done}
        whole = sum(weights.values())
        if whole:
            percent = int(100 * sum(self._done[name] * weight for name, weight in weights.items()) / whole)
            self._percent = max(self._percent, min(99, percent))
        return self._percent
