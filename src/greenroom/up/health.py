"""Is each part of the instance working? Asked from outside, as their users would."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psycopg

from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.instance import agent_states
from greenroom.up.endpoints import Endpoints

TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One part, and in `detail` what is wrong with it or what it says of itself."""

    name: str
    role: str
    ok: bool
    detail: str


@asynccontextmanager
async def client(ca_file: Path) -> AsyncGenerator[httpx.AsyncClient]:
    """For the instance's own addresses: its authority alone is trusted, no proxy is used."""
    context = ssl.create_default_context(cafile=str(ca_file))
    async with httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False) as http:
        yield http


async def status_of(http: httpx.AsyncClient, url: str) -> tuple[int | None, str]:
    """(HTTP status or None, its body's beginning or why there was no answer)."""
    try:
        answer = await http.get(url)
    except httpx.HTTPError as error:
        return None, f"no answer: {type(error).__name__} {error}".strip()
    return answer.status_code, answer.text[:300]


async def database_answers(dsn: str) -> str | None:
    """None when the database answers, else why not."""
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=2, autocommit=True) as connection:
            await connection.execute("SELECT 1")
    except (psycopg.Error, OSError) as error:
        return str(error).strip()
    return None


async def check_all(http: httpx.AsyncClient, db: Database, here: Endpoints) -> list[Health]:
    """The health of every part, in the order they are started in."""
    problem = await database_answers(db.dsn)
    answers = [Health(name="postgres", role="postgres", ok=problem is None, detail=problem or "answers")]
    probes = [_probe(http, "api", "api", f"http://127.0.0.1:{here.api_port}/api/__healthcheck")]
    probes += [
        _probe(http, manager.name, "manager", f"http://127.0.0.1:{manager.port}/__healthcheck")
        for manager in here.managers
    ]
    probes += [
        _probe(http, agent.name, "agent", f"http://127.0.0.1:{agent.port}/__healthcheck") for agent in here.agents
    ]
    probes += [_probe(http, "gateway", "gateway", f"{manager.gateway_url}/health") for manager in here.managers[:1]]
    answers += await asyncio.gather(*probes)
    return answers + await _agents(db, here, problem)


async def _probe(http: httpx.AsyncClient, name: str, role: str, url: str) -> Health:
    status, detail = await status_of(http, url)
    text = "answers" if status == 200 else detail if status is None else f"answers {status}: {detail}"
    return Health(name=name, role=role, ok=status == 200, detail=text)


async def _agents(db: Database, here: Endpoints, problem: str | None) -> list[Health]:
    """Whether each Agent was promoted by its zone's Primary; nobody knows while the database has a `problem`."""
    states: dict[str, str] = {}
    unknown = problem or "not registered"
    if problem is None:
        try:
            states = await agent_states(db, here.agent_ids)
        except Unavailable as error:
            unknown = error.message
    return [
        Health(
            name=f"{agent.name} at the Manager",
            role="agent",
            ok=states.get(agent.agent_id) == "running",
            detail=states.get(agent.agent_id, unknown),
        )
        for agent in here.agents
    ]
