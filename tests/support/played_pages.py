"""Simulated pages of sessions."""

from __future__ import annotations


class Pages:
    """Reports for all pages that they prevent watchers from typing, or that they do not."""

    keep = True

    async def ignores_view_only_input(self, url: str, authorization: str) -> bool:
        assert url.startswith("https://127.0.0.1:")
        assert authorization.startswith("Basic ")
        return self.keep
