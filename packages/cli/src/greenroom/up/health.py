"""Health checks of each part of the instance, at the addresses at which the part is used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import psycopg
import structlog

from greenroom.core.errors import Unavailable
from greenroom.core.fleet.disk import shortage
from greenroom.core.text import database_error
from greenroom.db.connections import TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.db.fleet.managers import list_managers
from greenroom.up.installation import WAITS_FOR_ADMINISTRATOR, ListedAgent, agent_states
from greenroom.up.site import Site

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a part of the instance. `detail` is its problem if `ok` is False, else its state."""

    name: str
    role: str
    ok: bool
    detail: str


@asynccontextmanager
async def client(ca_file: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client for the instance's own addresses. It trusts only the instance's authority and uses no proxy."""
    context = ssl.create_default_context(cafile=str(ca_file))
    async with httpx2.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False) as http:
        yield http


MAX_TEXT_CHARACTERS: Final = 300


async def get_status(
    http: httpx2.AsyncClient, url: str, length: int | None = MAX_TEXT_CHARACTERS
) -> tuple[int | None, str]:
    """Return (HTTP status, the first `length` characters of the body); without a response, (None, the reason)."""
    try:
        response = await http.get(url)
    except httpx2.HTTPError as error:
        return None, f"no response: {type(error).__name__} {error}".strip()
    return response.status_code, response.text[:length]


async def database_problem(dsn: str) -> str | None:
    """Return None if the database responds, else the reason why it does not."""
    try:
        async with await TimeLimitedConnection.connect(dsn, connect_timeout=2, autocommit=True) as connection:
            connection.answer_timeout_s = TIMEOUT_S
            await connection.execute("SELECT 1")
    except (psycopg.Error, OSError) as error:
        return str(error).strip() or type(error).__name__
    return None


def database_health(problem: str | None) -> Health:
    """Return the health of the database; `problem` is the result of `database_problem`."""
    detail = database_error(problem) if problem else "answers"
    return Health(name="postgres", role="postgres", ok=problem is None, detail=detail)


async def check_all(http: httpx2.AsyncClient, db: Database, site: Site) -> list[Health]:
    """Return the health of every part, in start order. A disabled Manager is healthy."""
    problem = await database_problem(db.dsn)
    states = [database_health(problem)]
    primary_states = await _primary_states(db) if problem is None else {}
    probes = [probe_health(http, "api", "api", site.api_health_url)]
    probes += [
        probe_health(http, manager.name, "manager", manager.health_url, primary_states.get(manager.instance_id, ""))
        for manager in site.managers
    ]
    probes += [probe_health(http, agent.name, "agent", agent.health_url) for agent in site.agents]
    states += await asyncio.gather(*probes, _gateway_health(http, site))
    return states + await _agent_health(db, site, problem)


async def _primary_states(db: Database) -> dict[str, str]:
    """Return instance id of each Primary → its zone and term; empty if the database does not respond."""
    try:
        managers = await list_managers(db)
    except Unavailable as error:
        log.warning("it is unknown which Manager is Primary", reason=error.message)
        return {}
    primaries = (manager for manager in managers if manager.is_primary)
    return {
        primary.instance_id: f"Primary of zone {primary.zone_name} with term {primary.term}" for primary in primaries
    }


async def _gateway_health(http: httpx2.AsyncClient, site: Site) -> Health:
    """Return the health of the gateway: it must respond at the address of every Manager. `detail` describes the first
    failure.
    """
    probes = (probe_health(http, "gateway", "gateway", f"{manager.gateway_url}/health") for manager in site.managers)
    states = await asyncio.gather(*probes)
    results = zip(site.managers, states, strict=True)
    failed = [f"for {manager.name}: {state.detail}" for manager, state in results if not state.ok]
    return Health(name="gateway", role="gateway", ok=not failed, detail=failed[0] if failed else "answers")


async def probe_health(http: httpx2.AsyncClient, name: str, role: str, url: str, primary_state: str = "") -> Health:
    """Return the health of the part at `url`. `primary_state` is added to the detail of a part that works."""
    status, text = await get_status(http, url)
    body = _parse_body(text)
    if status == 200:
        failures = f"failing tasks: {', '.join(body.failing_tasks)}" if body.failing_tasks else ""
        detail = ", ".join(filter(None, ("answers", failures, primary_state)))
        return Health(name=name, role=role, ok=True, detail=detail)
    if status == 503 and body.status == "disabled":  # a Manager; see docs/reference/managers.md
        return Health(name=name, role=role, ok=True, detail="disabled by an administrator")
    detail = text if status is None else f"answers {status}: {_problem_in(text)}"
    return Health(name=name, role=role, ok=False, detail=detail)


class _HealthBody(msgspec.Struct):
    """The JSON body of the response of a part, or of an error response of the gateway."""

    status: str | int = ""
    detail: str = ""
    runtime_error: str = ""
    failing_tasks: tuple[str, ...] = ()
    frozen: bool = False


def _parse_body(text: str) -> _HealthBody:
    try:
        return msgspec.json.decode(text, type=_HealthBody)
    except msgspec.MsgspecError:
        return _HealthBody(detail=text)


def is_frozen(text: str) -> bool:
    """True if the stand-in (`manager.stand_in`) sent this response, because the process of the Manager is frozen."""
    return _parse_body(text).frozen


def _problem_in(text: str) -> str:
    body = _parse_body(text)
    if body.frozen:
        return "its process is frozen"
    return body.detail or body.runtime_error or (body.status if isinstance(body.status, str) else "") or text


async def _agent_health(db: Database, site: Site, problem: str | None) -> list[Health]:
    """Return the state of each Agent at its Manager. `problem` is the reason why the database cannot be read; None =
    the database responds.
    """
    states: dict[str, ListedAgent] = {}
    unknown_reason = problem or "not registered"
    if problem is None:
        try:
            states = await agent_states(db, site.agent_ids)
        except Unavailable as error:
            unknown_reason = error.message
    return [health_at_manager(agent.name, states.get(agent.agent_id), unknown_reason) for agent in site.agents]


def health_at_manager(name: str, agent: ListedAgent | None, unknown_reason: str = "not registered") -> Health:
    """Return the state of an Agent at its Manager. `agent` is None if the state is unknown for the reason
    `unknown_reason`."""
    title = f"{name} at the Manager"
    if agent is None:
        return Health(name=title, role="agent", ok=False, detail=unknown_reason)
    detail = agent.state
    if reason := shortage(agent.hostname, agent.disk):
        detail = f"{agent.state}, no new session: {reason}"
    return Health(name=title, role="agent", ok=agent.state in ("running", WAITS_FOR_ADMINISTRATOR), detail=detail)
