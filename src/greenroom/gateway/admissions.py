"""The viewers that Agents elsewhere let in at this gateway, kept in a file, and the end of those who may not stay.

An admission is kept before nginx passes the viewer on, and until the Agent says that its session is gone; one of a
single connection until that connection is gone. What an Agent calls revoked is cut, every time it is found again: a
gateway that was away, or drains, or whose parent was restarted, carries it out when it is back.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.core.session.visits import Connection
from greenroom.kit.tcp import StreamTerminator, connected
from greenroom.wire.viewers import Admission

log = structlog.get_logger(__name__)

FILE: Final = "admissions.json"
NEW_S: Final = 10.0
"""A connection that was let in so short a time ago may not be open yet."""
CUT_S: Final = 3.0
"""A cut is over by then."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The file: who this gateway is, and who was let in, by Agent."""

    gateway_id: str
    agents: dict[str, list[Admission]]


class Admissions:
    """`look` returns which of these connections exist on this host.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        cutter: StreamTerminator,
        look: Callable[[Set[Connection]], Set[Connection]] = connected,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = folder / FILE
        self._cutter = cutter
        self._look = look
        self._clock = clock
        stored = self._stored()
        self.gateway_id = stored.gateway_id
        now_s = clock()
        self._agents = {agent_id: dict.fromkeys(admissions, now_s) for agent_id, admissions in stored.agents.items()}
        self._cut: dict[Admission, float] = {}
        """What was cut, and when."""
        self._save()

    def _stored(self) -> _Stored:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Stored)
        except FileNotFoundError:
            pass
        except msgspec.MsgspecError as error:
            log.error(
                "which viewers Agents elsewhere let in here is lost; open desktops stay open",
                reason=str(error),
            )
        return _Stored(gateway_id=str(uuid.uuid4()), agents={})

    @property
    def agents(self) -> list[str]:
        return list(self._agents)

    def add(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        """Keep these; they are on disk when this returns.

        Raises:
            OSError: they are not.
        """
        known, now_s = self._agents.setdefault(agent_id, {}), self._clock()
        if new := [admission for admission in admissions if admission not in known]:
            known.update(dict.fromkeys(new, now_s))
            self._save()

    def of(self, agent_id: str, sessions: Set[str] | None = None) -> list[Admission]:
        """Those at this Agent, of these sessions; None = of all."""
        known = self._agents.get(agent_id, {})
        return [admission for admission in known if sessions is None or admission.session_id in sessions]

    async def present(self, admissions: Sequence[Admission]) -> list[int]:
        """The positions of those whose connection exists."""
        wanted = frozenset(_bare(one.client) for one in admissions if one.client is not None)
        there = await asyncio.to_thread(self._look, wanted) if wanted else wanted
        return [n for n, one in enumerate(admissions) if one.client is not None and _bare(one.client) in there]

    def revoked(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        """End what these viewers have open: of a guest the connection, of the session's user all to the session. Those
        found a second time are forgotten: that the first cut is over was awaited, and others may be there by now."""
        now_s, again = self._clock(), list[Admission]()
        for admission in admissions:
            since_s = self._cut.setdefault(admission, now_s)
            if now_s - since_s >= CUT_S:
                again.append(admission)
            elif since_s == now_s:
                self._end(admission)
        self.forget(agent_id, again)

    def _end(self, admission: Admission) -> None:
        if not admission.viewer_id:
            for address in admission.addresses:
                self._cutter.cut_soon(admission.session_id, address)
        elif admission.client is not None:
            self._cutter.cut_clients_soon(admission.session_id, [_bare(admission.client)])

    def forget(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        known, gone = self._agents.get(agent_id, {}), list(admissions)
        for admission in gone:
            known.pop(admission, None)
            self._cut.pop(admission, None)
        if gone:
            self._save()

    async def forget_closed(self, agent_id: str) -> None:
        """Forget single connections that are gone."""
        single = [one for one in self.of(agent_id) if one.client is not None]
        there, now_s = set(await self.present(single)), self._clock()
        known = self._agents.get(agent_id, {})
        closed = [one for n, one in enumerate(single) if n not in there and now_s - known.get(one, now_s) >= NEW_S]
        self.forget(agent_id, closed)

    def _save(self) -> None:
        stored = _Stored(gateway_id=self.gateway_id, agents={name: list(of) for name, of in self._agents.items() if of})
        part = self._file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(msgspec.json.encode(stored))
        part.replace(self._file)


def _bare(connection: Connection) -> Connection:
    """As the kernel of this host knows it."""
    return connection._replace(gateway="")
