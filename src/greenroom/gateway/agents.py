"""A gateway's conversation with Agents that are not on its host: where they are, and who they let in here.

The administrator names addresses (`GREENROOM_STREAM_AGENTS`); a name stands for all addresses it has, and each process
names those of the others. Each is asked, also while nginx drains: for news it holds the request. What it says of
viewers is kept (`greenroom.gateway.admissions`) before the next request says so.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import httpx
import msgspec
import structlog

from greenroom.gateway.admissions import Admissions
from greenroom.gateway.api_client import api_client
from greenroom.wire.messages import Message
from greenroom.wire.viewers import CHECK_PATH, LISTEN_PATH, SECRET_HEADER, Check, Checked, Listen, News

log = structlog.get_logger(__name__)

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
class Serving:
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
        self._last: dict[str, Serving] = {}

    def serving(self) -> list[Serving]:
        """Every Agent that answered, by its id; each with the addresses that answer now, or else those of
        before."""
        now_s = time.monotonic()
        found: dict[str, list[tuple[bool, str]]] = {}
        for link in self._links.values():
            if link.news is not None and now_s - link.answered_s < ANSWERED_S:
                found.setdefault(link.news.agent_id, []).append((not link.news.acting, link.address))
        self._last |= {
            agent_id: Serving(agent_id, tuple(address for _, address in sorted(addresses)))
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
