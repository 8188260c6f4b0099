"""A gateway's conversation with Agents that are not on its host, and the viewers that they let in, kept in a file.

An admission is kept before nginx passes the viewer on, and until the Agent says that its session is gone; one of a
single connection until that connection is gone. What an Agent calls revoked is cut, every time it is found again: a
gateway that was away, or drains, or whose parent was restarted, carries it out when it is back.

The administrator names addresses (`GREENROOM_STREAM_AGENTS`); a name stands for all addresses it has, and each process
names those of the others. Each is asked, also while nginx drains: for news it holds the request. What it says of
viewers is kept (`greenroom.gateway.agents`) before the next request says so.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec
import structlog

from greenroom.core.session.viewing import Connection
from greenroom.gateway.api_client import api_client
from greenroom.kit.tcp import StreamTerminator, connected
from greenroom.wire.messages import Message
from greenroom.wire.viewers import CHECK_PATH, LISTEN_PATH, SECRET_HEADER, Admission, Check, Checked, Listen, News

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


LOOK_S: Final = 1.0
HOLD_S: Final = 4.0
ANSWER_S: Final = 3.0
CHECK_S: Final = 5.0
"""Everything is compared this often; what an Agent names at once."""
UNNAMED_S: Final = 30.0
"""An address that is not named any more is asked for this long."""
ANSWERED_S: Final = 10.0
"""An address that answered within this serves streams; without any such the last ones do."""
NAME_TIMEOUT_S: Final = 2.0

Answer = TypeVar("Answer", bound=Message)


@dataclass(slots=True)
class _Link:
    """The conversation with one address. `number` is that of the last news that are kept here."""

    address: str
    named_s: float
    task: asyncio.Task[None] | None = None
    news: News | None = None
    number: int = 0
    answered_s: float = float("-inf")
    checked_s: float = float("-inf")
    changed: set[str] = field(default_factory=set[str])
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ServingAgent:
    """An Agent and the addresses of its processes (host:port), the acting one first."""

    agent_id: str
    addresses: tuple[str, ...]


class AgentLinks:
    """Follows the Agents behind the addresses `seeds` (host:port); `run` does so forever."""

    def __init__(self, seeds: Sequence[str], secret: str, admissions: Admissions) -> None:
        self._seeds = tuple(seeds)
        self.secret = secret
        self._headers = {SECRET_HEADER: secret, "Content-Type": "application/json"}
        self.admissions = admissions
        self._links: dict[str, _Link] = {}
        self._last: dict[str, ServingAgent] = {}

    def serving(self) -> list[ServingAgent]:
        """Every Agent that answered, by its id; each with the addresses that answer now, or else those of
        before."""
        now_s = time.monotonic()
        found: dict[str, list[tuple[bool, str]]] = {}
        for link in self._links.values():
            if link.news is not None and now_s - link.answered_s < ANSWERED_S:
                found.setdefault(link.news.agent_id, []).append((not link.news.acting, link.address))
        self._last |= {
            agent_id: ServingAgent(agent_id, tuple(address for _, address in sorted(addresses)))
            for agent_id, addresses in found.items()
        }
        return [self._last[agent_id] for agent_id in sorted(self._last)]

    async def run(self) -> None:
        async with api_client() as client:
            try:
                while True:
                    await self._follow(client)
                    await asyncio.sleep(LOOK_S)
            finally:
                for link in self._links.values():
                    if link.task is not None:
                        link.task.cancel()

    async def _follow(self, client: httpx.AsyncClient) -> None:
        """Begin a conversation with every address that is named, and end it where none was for a while."""
        now_s = time.monotonic()
        named = {address for link in self._links.values() if link.news for address in link.news.replicas}
        for address in {*await self._addresses(), *named}:
            link = self._links.setdefault(address, _Link(address, now_s))
            link.named_s = now_s
            if link.task is None or link.task.done():
                link.task = asyncio.create_task(self._converse(client, link), name=f"agent {address}")
        for address in [one.address for one in self._links.values() if now_s - one.named_s >= UNNAMED_S]:
            link = self._links.pop(address)
            if link.task is not None:
                link.task.cancel()

    async def _addresses(self) -> set[str]:
        found = await asyncio.gather(*(_addresses_of(seed) for seed in self._seeds))
        return {address for addresses in found for address in addresses}

    async def _converse(self, client: httpx.AsyncClient, link: _Link) -> None:
        while True:
            try:
                await self._listen(client, link)
                await self._check(client, link)
            except (httpx.HTTPError, msgspec.MsgspecError, OSError) as error:
                if not link.failed:
                    log.warning("an Agent does not answer", address=link.address, reason=str(error) or repr(error))
                link.failed = True
                await asyncio.sleep(LOOK_S)

    async def _listen(self, client: httpx.AsyncClient, link: _Link) -> None:
        known = link.news
        said = Listen(
            gateway_id=self.admissions.gateway_id,
            process=known.process if known else "",
            noted=link.number,
            hold_s=HOLD_S if known else 0.0,
        )
        news = await self._ask(client, link.address, LISTEN_PATH, said, News)
        self.admissions.add(news.agent_id, news.admitted)
        if known is None or known.process != news.process or link.failed:
            log.info("an Agent answers", address=link.address, agent_id=news.agent_id, acting=news.acting)
        link.news, link.number, link.answered_s, link.failed = news, news.number, time.monotonic(), False
        link.changed.update(news.changed)
        if known is not None and news.acting and not known.acting:
            link.checked_s = float("-inf")

    async def _check(self, client: httpx.AsyncClient, link: _Link) -> None:
        """Compare what changed, or everything when it is due."""
        news = link.news
        if news is None or not news.acting:
            return
        is_due = time.monotonic() - link.checked_s >= CHECK_S
        if not (is_due or link.changed):
            return
        changed, link.changed = link.changed, set[str]()
        mine = self.admissions.of(news.agent_id, None if is_due else changed)
        if not (mine or is_due):
            return
        present = await self.admissions.present(mine)
        check = Check(
            gateway_id=self.admissions.gateway_id, admissions=tuple(mine), present=tuple(present), whole=is_due
        )
        checked = await self._ask(client, link.address, CHECK_PATH, check, Checked)
        if not checked.acting:
            return
        self.admissions.revoked(news.agent_id, [mine[n] for n in (*checked.revoked, *checked.gone)])
        if is_due:
            link.checked_s = time.monotonic()
            await self.admissions.forget_closed(news.agent_id)

    async def _ask(
        self, client: httpx.AsyncClient, address: str, path: str, message: Message, answer: type[Answer]
    ) -> Answer:
        reply = await client.post(
            f"http://{address}{path}",
            content=msgspec.json.encode(message),
            headers=self._headers,
            timeout=httpx.Timeout(HOLD_S + ANSWER_S, connect=2.0),
        )
        reply.raise_for_status()
        return msgspec.json.decode(reply.content, type=answer)


async def _addresses_of(seed: str) -> list[str]:
    """All addresses of host:port; none while the name is not found."""
    host, _, port = seed.rpartition(":")
    try:
        async with asyncio.timeout(NAME_TIMEOUT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        log.debug("an address is not found", name=host, reason=str(error) or "timeout")
        return []
    return sorted({f"[{a[4][0]}]:{port}" if a[0] == socket.AF_INET6 else f"{a[4][0]}:{port}" for a in answers})
