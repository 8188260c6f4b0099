"""An Agent that a test controls message by message, and the rows it needs."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
from tests.support.managers import SECRETS

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.db.database import Database
from greenroom.db.fleet.enrollment import add_join_token
from greenroom.kit.secrets import secret_digest
from greenroom.wire.messages import Answer, CheckIn, Observed, Register, Registered, ReportedCapacity, digest

TRIES = 20
"""The number of attempts: on a busy machine a statement may take longer than a Manager waits, and an Agent repeats
the message."""


class HttpDoor(httpx2.AsyncBaseTransport):
    """A transport to a Manager that runs as a separate process."""

    def __init__(self, url: str) -> None:
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(host=self._url.host, port=self._url.port)
        async with httpx2.AsyncHTTPTransport() as transport:
            response = await transport.handle_async_request(request)
            content = await response.aread()
        return httpx2.Response(response.status_code, headers=response.headers, content=content)


@dataclass
class ToldAgent:
    """An Agent that stores its identity, sequence number and desired list, and acts only when the test calls it."""

    door: httpx2.AsyncBaseTransport
    """The transport to its Manager."""
    join_token: str | None = None
    agent_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    machine_id: str = "machine-1"
    place: str = "place-1"
    edge_url: str = ""
    version: str = "0.1.0"
    credential: str = ""
    registered: Registered | None = None
    seq: int = 0
    term_seen: int = 0
    desired: dict[str, int] = field(default_factory=dict)
    answer: Answer | None = None

    async def post(self, path: str, message: Any, timeout_s: float = 15) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=self.door, base_url="http://manager") as client:
            return await client.post(
                path,
                content=msgspec.json.encode(message),
                headers={"Authorization": f"Bearer {self.agent_id}.{self.credential}"},
                timeout=timeout_s,
            )

    async def register(self) -> httpx2.Response:
        message = Register(
            machine_id=self.machine_id,
            hostname="host-1",
            agent_id=self.agent_id,
            join_token=None if self.credential else self.join_token,
            credential=self.credential or None,
            place=self.place,
            edge_url=self.edge_url,
            version=self.version,
        )
        response = await self.post("/v1/register", message)
        for _ in range(TRIES):
            if response.status_code != 503 or response.json().get("code") != "unavailable":
                break
            response = await self.post("/v1/register", message)
        if response.status_code == 200:
            self.registered = msgspec.json.decode(response.content, type=Registered)
            self.credential = self.registered.credential or self.credential
            self.seq = 0
        return response

    def message(self, *sessions: Observed, hold_s: float = 0, seq: int | None = None, **fields: Any) -> CheckIn:
        assert self.registered is not None
        self.seq = self.seq + 1 if seq is None else seq
        values: dict[str, Any] = {
            "installation_id": self.registered.installation_id,
            "db_epoch": self.registered.db_epoch,
            "agent_id": self.agent_id,
            "incarnation": self.registered.incarnation,
            "seq": self.seq,
            "hold_s": hold_s,
            "term_seen": self.term_seen,
            "have_digest": digest(self.desired),
            "inventory_complete": True,
            "capacity": ReportedCapacity(cores=2, memory_bytes=8 << 30),
            "sessions": list(sessions),
        }
        return CheckIn(**(values | fields))

    async def _said(self, message: CheckIn) -> httpx2.Response:
        return await self.post("/v1/check-in", message)

    async def check_in(self, *sessions: Observed, once: bool = False, **fields: Any) -> Answer:
        """Send a check-in and apply the answer like an Agent; unless `once`, repeat it until it is committed."""
        message = self.message(*sessions, **fields)
        response = await self._said(message)
        for _ in range(TRIES):
            if once or _is_committed(message, response):
                break
            response = await self._said(message)
        assert response.status_code == 200, response.text
        self.answer = msgspec.json.decode(response.content, type=Answer)
        self.term_seen = max(self.term_seen, self.answer.term)
        if self.answer.desired is not None:
            self.desired = {entry.session_id: entry.generation for entry in self.answer.desired}
        if self.answer.changes is not None and self.answer.changes.since == digest(self.desired):
            self.desired |= {entry.session_id: entry.generation for entry in self.answer.changes.changed}
            self.desired = {k: g for k, g in self.desired.items() if k not in self.answer.changes.left}
        return self.answer


def _is_committed(message: CheckIn, response: httpx2.Response) -> bool:
    """True if the observations are committed and the answer comes from the database, that is, the database did not
    time out."""
    if response.status_code != 200:
        return response.json().get("code") != "unavailable"
    answer = msgspec.json.decode(response.content, type=Answer)
    is_elsewhere = message.db_epoch != answer.db_epoch
    is_beat = not message.sessions and message.images is None
    return answer.fresh and (is_elsewhere or is_beat or answer.acked_seq >= message.seq)


@asynccontextmanager
async def checking_in(*agents: ToldAgent) -> AsyncGenerator[None]:
    """Let each Agent check in ten times a second, without news, during the block."""

    async def report() -> None:
        while True:
            for agent in agents:
                await agent.check_in()
            await asyncio.sleep(0.1)  # ten times a second

    task = asyncio.create_task(report())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def joined(db: Database, door: httpx2.AsyncBaseTransport, **fields: Any) -> ToldAgent:
    """Register an Agent of zone `default` and make its first complete check-in."""
    token = await join_token(db)
    agent = ToldAgent(door, token, **fields)
    response = await agent.register()
    assert response.status_code == 200, response.text
    await agent.check_in(full=True)
    return agent


async def join_token(db: Database, uses: int = 1, valid_s: float = 600, *, enable_agent: bool = True) -> str:
    token = uuid.uuid4().hex
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones WHERE zone_name = 'default'")
    await add_join_token(
        db, secret_digest(token), zone["zone_id"], uses=uses, valid_s=valid_s, enable_agent=enable_agent
    )
    return token


async def session(db: Database, agent: ToldAgent, **columns: Any) -> str:
    """Insert a session row on this Agent with its reservation; `columns` override the default values."""
    image = await db.write(
        "INSERT INTO images (name, friendly_name) VALUES ('greenroom/test', %s)"
        " ON CONFLICT (friendly_name) DO UPDATE SET name = excluded.name RETURNING image_id::text",
        (columns.pop("friendly_name", "Test"),),
    )
    spec = SessionSpec(image="greenroom/test", image_id=image[0]["image_id"], credential="")
    values: dict[str, Any] = {
        "session_id": str(uuid.uuid4()),
        "status": "requested",
        "want": "running",
        "generation": 1,
        "cores": 0.5,
        "memory": 256 << 20,
        "spec": json.dumps({k: v for k, v in msgspec.to_builtins(spec).items() if k != "credential"}),
        "credential_encrypted": SECRETS.encrypt("pass word"),
        "user_id": None,
        "staging_config_id": None,
        "assignment_id": None,
        "assignment": None,
        "deadline": None,
        "image_id": image[0]["image_id"],
        "agent_id": agent.agent_id,
    } | columns
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, staging_config_id, status, want,"
        " generation, spec, credential_encrypted, spec_hash, cores, memory, assignment_id, assignment, deadline)"
        " SELECT %(session_id)s, zone_id, %(image_id)s, %(agent_id)s, %(user_id)s, %(staging_config_id)s, %(status)s,"
        " %(want)s, %(generation)s, %(spec)s, %(credential_encrypted)s, 'h', %(cores)s, %(memory)s, %(assignment_id)s,"
        " %(assignment)s, %(deadline)s FROM zones WHERE zone_name = 'default'",
        values,
    )
    await db.write(
        "UPDATE agent_capacity SET cores_allocated = cores_allocated + %s, memory_allocated = memory_allocated + %s"
        " WHERE agent_id = %s",
        (values["cores"], values["memory"], agent.agent_id),
    )
    return str(values["session_id"])


async def user(db: Database, name: str = "ann") -> str:
    rows = await db.write("INSERT INTO users (username) VALUES (%s) RETURNING user_id::text", (name,))
    return str(rows[0]["user_id"])


async def row(db: Database, session_id: str) -> dict[str, Any]:
    """The row of a session."""
    (found,) = await db.fetch("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
    return found


def seen(session_id: str, state: Any = "running", generation: int = 1, **fields: Any) -> Observed:
    """An observation of a session."""
    return Observed(session_id=session_id, generation=generation, state=state, **fields)


async def term_above(db: Database, term: int) -> bool:
    found = await db.fetch_one("SELECT term FROM zone_leases")
    return found is not None and found["term"] > term
