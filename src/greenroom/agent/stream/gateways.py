"""The exchange with gateways on other hosts: the admissions that the gateways store, and the check of these admissions.

Only a gateway can end its connections. Therefore the gateway stores each admission before the viewer is admitted
(`admit`). The gateway sends its admissions to the Agent for a check after the permitted viewers changed, and every few
seconds (`greenroom.gateway.agents`). The first check after an interruption finds all viewers who are not permitted any
more.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.agent.session.observed import SessionReader, SessionSnapshot
from greenroom.agent.stream.nginx_requests import permitted_by
from greenroom.agent.stream.viewers import StreamOrigin, Viewer
from greenroom.core.errors import Unavailable
from greenroom.core.session.streams import Grant, still_holds
from greenroom.core.session.viewing import Connection
from greenroom.kit.concurrency import wait_for
from greenroom.kit.tcp import find_established
from greenroom.wire.messages import Message
from greenroom.wire.viewers import CHECK_PATH, LISTEN_PATH, Admission, Check, Checked, Listen, News

STORE_TIMEOUT_S: Final = 2.0
"""The time limit for a gateway to store an admission. After it, the viewer is not admitted."""
NOT_LISTENING: Final = "The gateway is not connected to the Agent of this desktop at the moment; try again."
FORGET_AFTER_S: Final = 60.0
"""The time without a request after which the state of a gateway is deleted. The gateway sends its admissions again with
the next check."""
MAX_HOLD_S: Final = 10.0
PRESENT_S: Final = 15.0
"""The time for which a connection counts as present after it was admitted, or after the gateway's last report of it."""

Body = TypeVar("Body", bound=Message)


class HasAgentId(Protocol):
    """The part of the Agent's identity that gateways need (`agent.fleet.identity`)."""

    @property
    def agent_id(self) -> str: ...


@dataclass(slots=True)
class _Gateway:
    """The state of one gateway: the numbered changes that it has not confirmed yet, and its stored admissions."""

    last_request_s: float
    number: int = 0
    """The number of the last change."""
    admitted: dict[int, Admission] = field(default_factory=dict[int, Admission])
    """Number → an admission that the gateway must store."""
    changed: dict[str, int] = field(default_factory=dict[str, int])
    """session_id → the number of the last change of its permitted viewers."""
    stored: set[Admission] = field(default_factory=set[Admission])
    """Stored admissions without a `client`. The gateway keeps each of them until its session is gone."""
    present: dict[Connection, float] = field(default_factory=dict[Connection, float])
    """Connection → the time at which it was admitted or last reported."""
    has_news: asyncio.Event = field(default_factory=asyncio.Event)
    confirmed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def confirm(self, last_stored: int, now_s: float) -> None:
        """Remove the changes up to `last_stored`, the number of the last change that the gateway has stored."""
        for number in [number for number in self.admitted if number <= last_stored]:
            admission = self.admitted.pop(number)
            if admission.client is None:
                self.stored.add(admission)
            else:
                self.present[admission.client] = now_s
        self.changed = {session_id: number for session_id, number in self.changed.items() if number > last_stored}
        if not (self.admitted or self.changed):
            self.has_news.clear()


@dataclass(eq=False)
class Gateways:
    """The gateways on other hosts that send requests to this Agent.

    `acting` returns True if this process acts for the Agent and has its desired list. `replicas`
    returns the stream addresses of all replicas.
    """

    agent: HasAgentId
    sessions: SessionReader
    acting: Callable[[], bool]
    replicas: Callable[[], Iterable[str]] = tuple
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._process = str(uuid.uuid4())
        self._gateways: dict[str, _Gateway] = {}

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route(LISTEN_PATH, self.listen, methods=["POST"]),
            Route(CHECK_PATH, self.check, methods=["POST"]),
        ]

    # For the stream authorizer ------------------------------------------------------------------------------------

    async def admit(self, viewer: Viewer, session: SessionSnapshot, origin: StreamOrigin, *, websocket: bool) -> None:
        """Wait until a gateway on another host has stored the admission of a viewer. A gateway on this host needs no
        admission. Raises Unavailable: the gateway did not store it, so that the viewer must not be admitted."""
        connection = origin.connection
        if connection is None or not connection.gateway:
            return
        admission = Admission(
            session_id=session.session_id,
            user_id=viewer.user_id,
            epoch=viewer.epoch,
            database=viewer.database,
            viewer_id=viewer.viewer_id,
            access="view" if viewer.is_view_only else "control",
            program=viewer.is_program,
            addresses=tuple(sorted({session.address or "", *session.services.values()} - {""})),
            client=connection if websocket or viewer.viewer_id else None,
        )
        await self._store(connection.gateway, admission)

    async def _store(self, gateway_id: str, admission: Admission) -> None:
        """Wait until the gateway has stored this admission. Raises Unavailable: it did not store it in time."""
        gateway = self._gateway(gateway_id)  # an unknown gateway sends its first request soon
        if admission.client is None and admission in gateway.stored:
            return
        gateway.number += 1
        number = gateway.number
        gateway.admitted[number] = admission
        gateway.has_news.set()
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S), gateway.confirmed:
                await gateway.confirmed.wait_for(lambda: number not in gateway.admitted)
        except TimeoutError as error:
            gateway.admitted.pop(number, None)
            raise Unavailable(NOT_LISTENING) from error

    def release_requests(self) -> None:
        """Answer the open requests of gateways, because this process becomes the acting process."""
        for gateway in self._gateways.values():
            gateway.has_news.set()

    def changed(self, session_id: str) -> None:
        """Notify each gateway that the permitted viewers of a session have changed."""
        for gateway in self._gateways.values():
            gateway.number += 1
            gateway.changed[session_id] = gateway.number
            gateway.has_news.set()

    def connected(self, connections: Set[Connection]) -> frozenset[Connection]:
        """Return the connections that exist: those to the gateway of this host by the table of the kernel, those to
        other gateways by the reports of the gateways."""
        now_s = self.clock()
        local = find_established(frozenset(connection for connection in connections if not connection.gateway))
        remote = (connection for connection in connections if connection.gateway)
        return local | frozenset(connection for connection in remote if self._is_present(connection, now_s))

    def _is_present(self, connection: Connection, now_s: float) -> bool:
        gateway = self._gateways.get(connection.gateway)
        return gateway is not None and now_s - gateway.present.get(connection, float("-inf")) < PRESENT_S

    # For the gateways ---------------------------------------------------------------------------------------------

    async def listen(self, request: Request) -> Response:
        message = await _decode_body(request, Listen)
        if message is None:
            return _unreadable()
        gateway = self._gateway(message.gateway_id)
        if message.process == self._process:
            gateway.confirm(message.noted, self.clock())
            async with gateway.confirmed:
                gateway.confirmed.notify_all()
        await wait_for(gateway.has_news, max(0.0, min(message.hold_s, MAX_HOLD_S)))
        gateway.last_request_s = self.clock()
        news = News(
            agent_id=self.agent.agent_id,
            process=self._process,
            acting=self.acting(),
            replicas=tuple(self.replicas()),
            number=gateway.number,
            admitted=tuple(gateway.admitted.values()),
            changed=tuple(gateway.changed),
        )
        return _encoded(news)

    async def check(self, request: Request) -> Response:
        """Check which admissions are not permitted any more, and which of their sessions do not exist any more."""
        message = await _decode_body(request, Check)
        if message is None:
            return _unreadable()
        gateway, now_s = self._gateway(message.gateway_id), self.clock()
        reported = {client for position in message.present if (client := _client(message, position)) is not None}
        if message.whole:
            gateway.present = {client: at_s for client, at_s in gateway.present.items() if now_s - at_s < PRESENT_S}
        gateway.present |= dict.fromkeys(reported, now_s)
        if not self.acting():
            return _encoded(Checked())
        sessions = [self.sessions.get(admission.session_id) for admission in message.admissions]
        ended_positions = tuple(position for position, session in enumerate(sessions) if session is None)
        gateway.stored.difference_update(message.admissions[position] for position in ended_positions)
        revoked = tuple(
            position
            for position, session in enumerate(sessions)
            if session is not None and not _is_permitted(message.admissions[position], session)
        )
        return _encoded(Checked(acting=True, revoked=revoked, gone=ended_positions))

    def _gateway(self, gateway_id: str) -> _Gateway:
        now_s = self.clock()
        self._gateways = {
            name: gateway
            for name, gateway in self._gateways.items()
            if name == gateway_id or now_s - gateway.last_request_s < FORGET_AFTER_S
        }
        gateway = self._gateways.setdefault(gateway_id, _Gateway(now_s))
        gateway.last_request_s = now_s
        return gateway


def _is_permitted(admission: Admission, session: SessionSnapshot) -> bool:
    grant = Grant(
        user_id=admission.user_id,
        epoch=admission.epoch,
        viewer_id=admission.viewer_id,
        access="program" if admission.program else admission.access,
        database=admission.database,
    )
    return still_holds(grant, permitted_by(session))


def _client(check: Check, position: int) -> Connection | None:
    """Return the connection of the admission at `position`; None if it has none."""
    return check.admissions[position].client if 0 <= position < len(check.admissions) else None


async def _decode_body(request: Request, message_type: type[Body]) -> Body | None:
    try:
        return msgspec.json.decode(await request.body(), type=message_type)
    except msgspec.MsgspecError:
        return None


def _unreadable() -> Response:
    return JSONResponse({"error_message": "The message cannot be read."}, status_code=422)


def _encoded(message: Message) -> Response:
    return Response(msgspec.json.encode(message), media_type="application/json")
