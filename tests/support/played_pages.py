"""Simulated pages of sessions."""

from __future__ import annotations

import asyncio

from greenroom.core.errors import Unavailable


class Pages:
    """Reports for all pages that they prevent watchers from typing, or that they do not. `closed` has the close codes
    and reasons; a page closes its websockets when `answers` is set."""

    keep = True

    def __init__(self) -> None:
        self.closed: list[tuple[str, int, str]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_foreign = False

    async def ignores_view_only_input(self, url: str, authorization: str) -> bool:
        assert url.startswith("https://127.0.0.1:")
        assert authorization.startswith("Basic ")
        return self.keep

    async def close_websockets(self, url: str, authorization: str, code: int, reason: str) -> None:
        assert authorization.startswith("Basic ")
        self.closed.append((url, code, reason))
        await self.answers.wait()
        if self.is_foreign:
            raise Unavailable("The page does not close its websockets: it answers 404.")
