"""Pages of sessions that are played."""

from __future__ import annotations


class Pages:
    """Says that each page keeps watchers from typing, or that none does."""

    keep = True

    async def keeps(self, url: str, authorization: str) -> bool:
        assert url.startswith("https://127.0.0.1:")
        assert authorization.startswith("Basic ")
        return self.keep
