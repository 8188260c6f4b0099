"""`greenroom doctor`: the invariants of a live system, in the database and in Docker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.db.database import Database
from greenroom.db.instance import installation_id
from greenroom.db.invariants import INVARIANTS, broken, live_sessions
from greenroom.up.containers import docker, session_containers

SETTLE_S: Final = 3.0
"""What is broken now and still broken after this is broken; the rest was in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One invariant; `broken` has a sentence for each thing that breaks it."""

    code: str
    holds: str
    broken: tuple[str, ...]


async def examine(db: Database, agent_ids: Sequence[str]) -> list[Finding]:
    """Every invariant in order; the Docker ones for the Agents of this machine."""
    findings = [await _twice(i.code, i.holds, lambda i=i: broken(db, i)) for i in INVARIANTS]
    installation = await installation_id(db)

    async def in_docker() -> dict[str, list[str]]:
        async with docker() as client:
            containers = await session_containers(client, installation)
        return compare(await live_sessions(db, list(agent_ids)), [c.get("greenroom.session", "") for c in containers])

    for code, holds in CONTAINER_INVARIANTS.items():
        findings.append(await _twice(code, holds, lambda code=code: _part(in_docker, code)))
    return sorted(findings, key=lambda finding: int(finding.code[1:]))


CONTAINER_INVARIANTS: Final = {
    "I3": "a session has at most one container",
    "I6": "a container has a session",
    "I7": "a running session has its container",
}


def compare(sessions: Mapping[str, str], containers: Sequence[str]) -> dict[str, list[str]]:
    """What is wrong between rows and containers: code → sentences.

    Args:
        sessions: session id → status, of what is not deleted.
        containers: the session id on the label of each container.
    """
    several = [session for session, count in Counter(containers).items() if count > 1]
    strangers = sorted(set(containers) - set(sessions))
    missing = [s for s, status in sessions.items() if status == "running" and s not in containers]
    return {
        "I3": [f"session {session} has several containers" for session in several],
        "I6": [f"a container names session {session}, which is over or was never there" for session in strangers],
        "I7": [f"session {session} is running without a container" for session in missing],
    }


async def _part(look: Callable[[], Awaitable[dict[str, list[str]]]], code: str) -> list[str]:
    return (await look())[code]


async def _twice(code: str, holds: str, look: Callable[[], Awaitable[list[str]]]) -> Finding:
    found = await look()
    if found:
        await asyncio.sleep(SETTLE_S)
        found = [what for what in await look() if what in found]
    return Finding(code=code, holds=holds, broken=tuple(found))
