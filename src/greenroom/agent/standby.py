"""A process that stands by: it has a copy of what gateways ask about, and answers while the one that acts does not.

It refuses no one for good: what it does not know may be newer than its copy. Viewers that are new to it are asked about
at the api, as always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from greenroom.agent.election import Election
from greenroom.agent.fleet.identity import write_private
from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.stream.admission import UpstreamAuth, ViewOnlyPages
from greenroom.agent.stream.authoriser import StreamAuthoriser
from greenroom.agent.stream.session_cache import Shown
from greenroom.core.errors import Unavailable
from greenroom.kit.config import AgentConfig
from greenroom.kit.tcp import StreamTerminator
from greenroom.runtimes.contract import RuntimeUnavailable, Shared

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.5
AT_LEAST_EVERY_S: Final = 20.0
NEWER: Final = "The process of the Agent that knows this session does not answer at the moment; try again."


class _Identity(msgspec.Struct):
    """The shared identity, as `greenroom.agent.fleet.identity` keeps it."""

    agent_id: str
    credential: str

    @property
    def route(self) -> str:
        return self.agent_id.replace("-", "")[:8]

    @property
    def bearer(self) -> str:
        return f"Bearer {self.agent_id}.{self.credential}"


class Copy:
    """The sessions of the last copy (`observed.SessionView`)."""

    def __init__(self) -> None:
        self._sessions: Mapping[str, SessionSnapshot] = {}

    def take(self, content: bytes) -> None:
        shown = msgspec.json.decode(content, type=list[Shown])
        self._sessions = {one.session_id: one.snapshot for one in shown}

    def get(self, session_id: str) -> SessionSnapshot | None:
        session = self._sessions.get(session_id)
        if session is None or not session.handed_over or session.address is None:
            raise Unavailable(NEWER)
        return session


class Standby:
    """What this process knows while another acts."""

    def __init__(self, settings: AgentConfig, shared: Shared, election: Election, address: str) -> None:
        self._settings = settings
        self._shared = shared
        self._election = election
        self._address = address
        self._copy = Copy()
        self._number = -1
        self._version: str | None = None
        self._identity: _Identity | None = None
        self._authoriser: StreamAuthoriser | None = None
        self.is_ready = False

    async def run(self) -> None:
        """Keep the copy fresh, forever."""
        waited_s = AT_LEAST_EVERY_S
        while True:
            seen = self._election.seen
            number = seen.record.copy if seen is not None and seen.record is not None else 0
            if not self._election.may_act and (number != self._number or waited_s >= AT_LEAST_EVERY_S):
                waited_s = 0.0
                try:
                    await self._look()
                    self._number = number
                except (RuntimeUnavailable, msgspec.MsgspecError, OSError) as error:
                    log.warning("what the Agent's processes share cannot be read", reason=str(error))
            await asyncio.sleep(LOOK_S)
            waited_s += LOOK_S

    async def _look(self) -> None:
        identity, shown = await self._shared.read("identity"), await self._shared.read("shown")
        edge = await self._shared.read("edge")
        if shown is not None:
            self._copy.take(shown.content)
        if edge is not None:
            self._keep_edge(msgspec.json.decode(edge.content, type=dict[str, str]))
        if identity is not None:
            known = msgspec.json.decode(identity.content, type=_Identity)
            if known != self._identity:
                self._identity, self._authoriser = known, self._answering(known)
        self.is_ready = True

    def _keep_edge(self, files: dict[str, str]) -> None:
        folder = self._settings.edge_dir or self._settings.agent_dir / "edge"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in files.items():
            file = folder / name
            if not file.exists() or file.read_text() != text:
                write_private(file, text.encode(), owner=folder.stat())

    def _answering(self, identity: _Identity) -> StreamAuthoriser:
        folder = self._settings.agent_dir / "standby"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return StreamAuthoriser(
            self._copy,
            identity,
            UpstreamAuth(self._settings.ca_file, self._settings.gateway_address),
            StreamTerminator(),
            folder,
            pages=ViewOnlyPages(),
            last_fresh=lambda: None,
            report=lambda sentence, session_id: log.info(sentence, session_id=session_id),
            opened=lambda sentence, session_id, _: log.info(sentence, session_id=session_id),
            closed=lambda sentence, session_id, _: log.info(sentence, session_id=session_id),
            acting=lambda: False,
            replicas=self._replicas,
        )

    def ask_again(self) -> None:
        """This process acts from now on: gateways do not wait here for what the standby knows."""
        if self._authoriser is not None:
            self._authoriser.gateways.ask_again()

    def _replicas(self) -> list[str]:
        seen = self._election.seen
        acting = seen.record.address if seen is not None and seen.record is not None else ""
        return [address for address in (acting, self._address) if address]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._authoriser is None:
            await JSONResponse({"error_message": NEWER}, status_code=503)(scope, receive, send)
            return
        routes = [*self._authoriser.routes, *self._authoriser.gateways.routes]
        await Starlette(routes=routes)(scope, receive, send)
