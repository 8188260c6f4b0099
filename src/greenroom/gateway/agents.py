"""The connections of a gateway to Agents on other hosts, and the admissions of viewers by these Agents, stored in a
file.

The gateway stores an admission before nginx forwards the request of the viewer. It removes the admission when the Agent
reports that the session does not exist any more. An admission for a single connection is removed when the connection is
closed. When an Agent reports that an admission is revoked, the gateway ends the connections of the viewer. Every check
repeats this, also after a restart of the gateway.

The administrator configures addresses (`GREENROOM_STREAM_AGENTS`). A host name stands for all its addresses, and each
Agent process reports the addresses of the other replicas. The gateway sends requests to each address, even while nginx
drains. The Agent answers when there is a change. The gateway stores the admissions in the answer, and confirms them
with its next request.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import msgspec
import structlog

from greenroom.core.session.viewing import Connection
from greenroom.gateway.api_client import api_client
from greenroom.kit.tcp import StreamTerminator, find_established
from greenroom.wire.messages import Message
from greenroom.wire.viewers import CHECK_PATH, LISTEN_PATH, SECRET_HEADER, Admission, Check, Checked, Listen, News

log = structlog.get_logger(__name__)

ADMISSIONS_FILE: Final = "admissions.json"
MAX_OPENING_S: Final = 10.0
"""A connection that was admitted within this time may not be open yet."""
MAX_CUT_S: Final = 3.0
"""The time within which `StreamTerminator` ends the connections of a revoked viewer."""


class _StoredAdmissions(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. `agents` maps the id of an Agent to its admissions."""

    gateway_id: str
    agents: dict[str, list[Admission]]


class Admissions:
    """The admissions of Agents on other hosts. Raises OSError: the folder cannot be used."""

    def __init__(self, folder: Path, terminator: StreamTerminator) -> None:
        self._file = folder / ADMISSIONS_FILE
        self._terminator = terminator
        stored = self._read_file()
        self.gateway_id = stored.gateway_id
        now_s = time.monotonic()
        self._agents = {agent_id: dict.fromkeys(admissions, now_s) for agent_id, admissions in stored.agents.items()}
        self._cut_times_s: dict[Admission, float] = {}
        """Admission → the time at which its connections were first ended."""
        self._save()

    def _read_file(self) -> _StoredAdmissions:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_StoredAdmissions)
        except FileNotFoundError:
            pass  # the first start of this gateway
        except msgspec.MsgspecError as error:
            log.error(
                "the stored admissions of Agents on other hosts cannot be read; open desktops stay open",
                reason=str(error),
            )
        return _StoredAdmissions(gateway_id=str(uuid.uuid4()), agents={})

    @property
    def agents(self) -> list[str]:
        return list(self._agents)

    def add(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        """Store these admissions on disk. Raises OSError: they could not be stored."""
        known, now_s = self._agents.setdefault(agent_id, {}), time.monotonic()
        if new := [admission for admission in admissions if admission not in known]:
            known.update(dict.fromkeys(new, now_s))
            self._save()

    def find(self, agent_id: str, sessions: Set[str] | None = None) -> list[Admission]:
        """Return the admissions of an Agent for these sessions; None = for all sessions."""
        known = self._agents.get(agent_id, {})
        return [admission for admission in known if sessions is None or admission.session_id in sessions]

    async def connected_positions(self, admissions: Sequence[Admission]) -> list[int]:
        """Return the positions of the admissions whose connection exists."""
        clients = [None if admission.client is None else _without_gateway(admission.client) for admission in admissions]
        connections = frozenset(client for client in clients if client is not None)
        existing = await asyncio.to_thread(find_established, connections) if connections else connections
        return [position for position, client in enumerate(clients) if client in existing]

    def end_connections(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        """End the connections of these viewers: for a guest, the connection of the guest; for the user of a session,
        all connections to the session. An admission that is reported again after `MAX_CUT_S` is only removed, because
        other viewers may have connected since then."""
        now_s, repeated = time.monotonic(), list[Admission]()
        for admission in admissions:
            first_cut_s = self._cut_times_s.setdefault(admission, now_s)
            if now_s - first_cut_s >= MAX_CUT_S:
                repeated.append(admission)
            elif first_cut_s == now_s:
                self._end_connections_of(admission)
        self.remove(agent_id, repeated)

    def _end_connections_of(self, admission: Admission) -> None:
        if not admission.viewer_id:
            for address in admission.addresses:
                self._terminator.cut_soon(admission.session_id, address)
        elif admission.client is not None:
            self._terminator.cut_clients_soon(admission.session_id, [_without_gateway(admission.client)])

    def remove(self, agent_id: str, admissions: Iterable[Admission]) -> None:
        known, removed = self._agents.get(agent_id, {}), list(admissions)
        for admission in removed:
            known.pop(admission, None)
            self._cut_times_s.pop(admission, None)
        if removed:
            self._save()

    async def remove_closed(self, agent_id: str) -> None:
        """Remove the admissions for single connections that are closed."""
        single = [admission for admission in self.find(agent_id) if admission.client is not None]
        connected, now_s = set(await self.connected_positions(single)), time.monotonic()
        known = self._agents.get(agent_id, {})
        closed = [
            admission
            for position, admission in enumerate(single)
            if position not in connected and now_s - known.get(admission, now_s) >= MAX_OPENING_S
        ]
        self.remove(agent_id, closed)

    def _save(self) -> None:
        agents = {agent_id: list(admissions) for agent_id, admissions in self._agents.items() if admissions}
        stored = _StoredAdmissions(gateway_id=self.gateway_id, agents=agents)
        part = self._file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(msgspec.json.encode(stored))
        part.replace(self._file)


def _without_gateway(connection: Connection) -> Connection:
    """Return the connection as the kernel of this host identifies it."""
    return connection._replace(gateway="")


RETRY_INTERVAL_S: Final = 1.0
LONG_POLL_S: Final = 4.0
ANSWER_TIMEOUT_S: Final = 3.0
CHECK_INTERVAL_S: Final = 5.0
"""The interval of complete checks. Sessions that an Agent reports as changed are checked immediately."""
KEEP_UNLISTED_S: Final = 30.0
"""The time for which requests to an address continue after it was last configured or reported."""
MAX_ANSWER_AGE_S: Final = 10.0
"""The age of the last answer up to which an address is used for streams. If no address of an Agent has answered within
this time, the last used addresses stay in use."""
NAME_TIMEOUT_S: Final = 2.0

AnswerType = TypeVar("AnswerType", bound=Message)


@dataclass(slots=True)
class _AgentLink:
    """The connection to one address of an Agent. `stored_change` is the number of the last change that is stored."""

    address: str
    listed_at_s: float
    task: asyncio.Task[None] | None = None
    news: News | None = None
    stored_change: int = 0
    answered_at_s: float = float("-inf")
    checked_at_s: float = float("-inf")
    changed_sessions: set[str] = field(default_factory=set[str])
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ServingAgent:
    """An Agent and the addresses of its processes (host:port), the acting process first."""

    agent_id: str
    addresses: tuple[str, ...]


class AgentLinks:
    """Exchanges admissions with the Agents at the configured addresses (host:port). `run` never returns."""

    def __init__(self, configured_addresses: Sequence[str], secret: str, admissions: Admissions) -> None:
        self._configured_addresses = tuple(configured_addresses)
        self.secret = secret
        self._headers = {SECRET_HEADER: secret, "Content-Type": "application/json"}
        self.admissions = admissions
        self._links: dict[str, _AgentLink] = {}
        self._last_serving: dict[str, ServingAgent] = {}

    def serving(self) -> list[ServingAgent]:
        """Return every Agent that has answered since the start, ordered by id, each with the addresses that answer now,
        or else with the last used addresses."""
        now_s = time.monotonic()
        found: dict[str, list[tuple[bool, str]]] = {}
        for link in self._links.values():
            if link.news is not None and now_s - link.answered_at_s < MAX_ANSWER_AGE_S:
                found.setdefault(link.news.agent_id, []).append((not link.news.acting, link.address))
        self._last_serving |= {
            agent_id: ServingAgent(agent_id, tuple(address for _, address in sorted(addresses)))
            for agent_id, addresses in found.items()
        }
        return [self._last_serving[agent_id] for agent_id in sorted(self._last_serving)]

    async def run(self) -> None:
        async with api_client() as client:
            try:
                while True:
                    await self._update_links(client)
                    await asyncio.sleep(RETRY_INTERVAL_S)
            finally:
                for link in self._links.values():
                    if link.task is not None:
                        link.task.cancel()

    async def _update_links(self, client: httpx2.AsyncClient) -> None:
        """Connect to each listed address, and disconnect from addresses that are no longer listed."""
        now_s = time.monotonic()
        reported = {address for link in self._links.values() if link.news for address in link.news.replicas}
        for address in {*await self._resolve_addresses(), *reported}:
            link = self._links.setdefault(address, _AgentLink(address, now_s))
            link.listed_at_s = now_s
            if link.task is None or link.task.done():
                link.task = asyncio.create_task(self._poll_address(client, link), name=f"agent {address}")
        for address in [link.address for link in self._links.values() if now_s - link.listed_at_s >= KEEP_UNLISTED_S]:
            link = self._links.pop(address)
            if link.task is not None:
                link.task.cancel()

    async def _resolve_addresses(self) -> set[str]:
        found = await asyncio.gather(*(_resolve(host_and_port) for host_and_port in self._configured_addresses))
        return {address for addresses in found for address in addresses}

    async def _poll_address(self, client: httpx2.AsyncClient, link: _AgentLink) -> None:
        while True:
            try:
                await self._listen(client, link)
                await self._check(client, link)
            except (httpx2.HTTPError, msgspec.MsgspecError, OSError) as error:
                if not link.failed:
                    log.warning("an Agent does not answer", address=link.address, reason=str(error) or repr(error))
                link.failed = True
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _listen(self, client: httpx2.AsyncClient, link: _AgentLink) -> None:
        previous = link.news
        message = Listen(
            gateway_id=self.admissions.gateway_id,
            process=previous.process if previous else "",
            noted=link.stored_change,
            hold_s=LONG_POLL_S if previous else 0.0,
        )
        news = await self._post(client, link.address, LISTEN_PATH, message, News)
        self.admissions.add(news.agent_id, news.admitted)
        if previous is None or previous.process != news.process or link.failed:
            log.info("an Agent answers", address=link.address, agent_id=news.agent_id, acting=news.acting)
        link.news, link.stored_change, link.answered_at_s, link.failed = news, news.number, time.monotonic(), False
        link.changed_sessions.update(news.changed)
        if previous is not None and news.acting and not previous.acting:
            link.checked_at_s = float("-inf")

    async def _check(self, client: httpx2.AsyncClient, link: _AgentLink) -> None:
        """Send the admissions of changed sessions to the Agent for a check, or all admissions if a complete check is
        due. End the connections of revoked admissions and of admissions whose session does not exist any more."""
        news = link.news
        if news is None or not news.acting:
            return
        is_due = time.monotonic() - link.checked_at_s >= CHECK_INTERVAL_S
        if not (is_due or link.changed_sessions):
            return
        changed_sessions, link.changed_sessions = link.changed_sessions, set[str]()
        admissions = self.admissions.find(news.agent_id, None if is_due else changed_sessions)
        if not (admissions or is_due):
            return
        present = await self.admissions.connected_positions(admissions)
        check = Check(
            gateway_id=self.admissions.gateway_id, admissions=tuple(admissions), present=tuple(present), whole=is_due
        )
        checked = await self._post(client, link.address, CHECK_PATH, check, Checked)
        if not checked.acting:
            return
        ended = [admissions[position] for position in (*checked.revoked, *checked.gone)]
        self.admissions.end_connections(news.agent_id, ended)
        if is_due:
            link.checked_at_s = time.monotonic()
            await self.admissions.remove_closed(news.agent_id)

    async def _post(
        self, client: httpx2.AsyncClient, address: str, path: str, message: Message, answer_type: type[AnswerType]
    ) -> AnswerType:
        reply = await client.post(
            f"http://{address}{path}",
            content=msgspec.json.encode(message),
            headers=self._headers,
            timeout=httpx2.Timeout(LONG_POLL_S + ANSWER_TIMEOUT_S, connect=2.0),
        )
        reply.raise_for_status()
        return msgspec.json.decode(reply.content, type=answer_type)


async def _resolve(host_and_port: str) -> list[str]:
    """Return all addresses (IP:port) of host:port; empty if the host name cannot be resolved."""
    host, _, port = host_and_port.rpartition(":")
    try:
        async with asyncio.timeout(NAME_TIMEOUT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        log.debug("an address cannot be resolved", name=host, reason=str(error) or "timeout")
        return []
    return sorted(
        f"[{ip}]:{port}" if family == socket.AF_INET6 else f"{ip}:{port}"
        for family, ip in {(family, address[0]) for family, _, _, _, address in answers}
    )
