"""Users who click when they click, whether earlier launches were answered or not, and who stay until the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from greenroom.cli.client import PREFIX
from greenroom.cli.rehearsal.verdict import Morning, Visit

LOOK_S: Final = 0.1
"""Between two looks at the sessions that users wait for: one request however many wait."""
IDS_A_REQUEST: Final = 100


class Crowd:
    """The users of a morning, with one key for all of them. `came` is called when a user has come to an end."""

    def __init__(self, http: httpx.AsyncClient, morning: Morning, came: Callable[[Visit], None]) -> None:
        self._http = http
        self._morning = morning
        self._came = came
        self._waiting: dict[str, asyncio.Event] = {}

    async def come(self, user_ids: Sequence[str], clicks_s: Sequence[float]) -> list[Visit]:
        """What became of each; a user who has no usable session in time is "late"."""
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look())
            visits: list[asyncio.Task[Visit]] = []
            for user_id, click_s in zip(user_ids, clicks_s, strict=True):
                await asyncio.sleep(begin + click_s - time.monotonic())
                visits.append(group.create_task(self._visit(user_id, time.monotonic() - begin)))
            found = [await visit for visit in visits]
            looking.cancel()
        return found

    async def _visit(self, user_id: str, clicked_s: float) -> Visit:
        visit = await self._launched(user_id, clicked_s)
        self._came(visit)
        return visit

    async def _launched(self, user_id: str, clicked_s: float) -> Visit:
        click = time.monotonic()
        body = {"image_id": self._morning.image_id, "user_id": user_id}
        if self._morning.zone_id is not None:
            body["zone_id"] = self._morning.zone_id
        try:
            answer = await self._http.post(f"{PREFIX}/sessions", json=body)
        except httpx.HTTPError as error:
            return _refused(clicked_s, click, type(error).__name__, f"No reply came: {error!r}.")
        if not answer.is_success:
            return _refused(clicked_s, click, *_problem(answer))
        reply_s, launched = time.monotonic() - click, answer.json()
        session_id, staged = str(launched["session_id"]), bool(launched["staged"])
        try:
            async with asyncio.timeout(self._morning.usable_within_s - reply_s):
                await self._usable(session_id)
        except TimeoutError:
            return Visit(clicked_s=clicked_s, reply_s=reply_s, outcome="late", session_id=session_id)
        return Visit(
            clicked_s=clicked_s,
            reply_s=reply_s,
            outcome="staged" if staged else "on_demand",
            usable_s=time.monotonic() - click,
            session_id=session_id,
        )

    async def _usable(self, session_id: str) -> None:
        usable = self._waiting[session_id] = asyncio.Event()
        try:
            await usable.wait()
        finally:
            del self._waiting[session_id]

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            waiting = list(self._waiting)
            for first in range(0, len(waiting), IDS_A_REQUEST):
                await self._look_at(waiting[first : first + IDS_A_REQUEST])

    async def _look_at(self, session_ids: list[str]) -> None:
        rows = {row["session_id"]: row for row in await self._rows("/sessions", session_ids)}
        for session_id in session_ids:
            row = rows.get(session_id) or await self._rows(f"/sessions/{session_id}")  # another took its place
            if row and row["status"] == "running" and session_id in self._waiting:
                self._waiting[session_id].set()

    async def _rows(self, path: str, session_ids: Sequence[str] = ()) -> Any:
        """Nothing where the api does not answer: the next look asks again."""
        try:
            answer = await self._http.get(PREFIX + path, params={"session_id": session_ids})
        except httpx.HTTPError:
            return []
        return answer.json() if answer.is_success else []


def _refused(clicked_s: float, click: float, code: str, sentence: str) -> Visit:
    reply_s = time.monotonic() - click
    return Visit(clicked_s=clicked_s, reply_s=reply_s, outcome="refused", code=code, sentence=sentence)


def _problem(answer: httpx.Response) -> tuple[str, str]:
    """Code and sentence of a refusal; nginx has only a status."""
    try:
        problem = answer.json()
        return problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code), f"The answer was {answer.status_code} {answer.reason_phrase}."
