"""Agents without a host, thousands in one process: the cost of a fleet for the Managers of an installation.

Each Agent registers with a join token and checks in continuously like a real Agent, over its own persistent connection.
A session that it must run is usable at once. `python -m bench.agents --help` runs some of them and prints
a `Second` as JSON every second; the CPU of that process is the Agents', not the Manager's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import uvloop

from greenroom.wire.messages import (
    Answer,
    CheckIn,
    Message,
    Observed,
    Register,
    Registered,
    ReportedCapacity,
    digest,
)

PAUSE_S: Final = 0.5
"""The minimum time between two attempts after no Manager answered; the maximum is twice as long."""
ANSWER_MARGIN_S: Final = 5.0
"""An answer counts as lost if it arrives later than the end of the hold by this time."""
CAPACITY: Final = ReportedCapacity(cores=4, memory_bytes=16 << 30)
MAX_CONCURRENT_REGISTRATIONS: Final = 4
"""The number of Agents of a process that register at the same time: they all wait for the lock of one join token."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_encoder: Final = msgspec.json.Encoder()
_AnswerType = TypeVar("_AnswerType", bound=Message)


class Received(msgspec.Struct, frozen=True):
    """An instruction that reached its Agent; `at` is seconds since the epoch."""

    session_id: str
    generation: int
    at: float


class Second(msgspec.Struct, kw_only=True):
    """The events of a process's Agents within a second; `cpu_s` is the CPU time of the process since its start."""

    registered: int = 0
    """The number of Agents that have registered so far."""
    fresh: int = 0
    not_fresh: int = 0
    refused: int = 0
    """The number of answers with a status other than 200."""
    lost: int = 0
    """The number of messages without an answer."""
    reason: str = ""
    """The reason for the last refused or lost message."""
    received: list[Received] = []
    cpu_s: float = 0.0


class NoAnswerError(Exception):
    """The connection failed, or no answer arrived in time."""


class RefusedError(Exception):
    """The Manager answered with a status other than 200."""


class ManagerConnection:
    """A persistent connection to the first of `managers` that answers: base URLs, of gateways with `/manager_api`."""

    def __init__(self, managers: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        self._managers = [urlsplit(url.rstrip("/")) for url in managers]
        self._tls = tls
        self._index = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, path: str, message: Message, kind: type[_AnswerType], bearer: str = "", hold_s: float = 0.0
    ) -> _AnswerType:
        """Send a message and return its answer; without an answer, the next message goes to the next Manager.

        Raises:
            NoAnswerError: there is none.
            RefusedError: the Manager does not serve this Agent.
        """
        try:
            async with asyncio.timeout(hold_s + ANSWER_MARGIN_S):
                status, body = await self._exchange(path, _encoder.encode(message), bearer)
        except (OSError, EOFError, TimeoutError) as error:
            self._use_next_manager()
            raise NoAnswerError(f"{path}: {error!r}") from error
        if status != 200:
            self._use_next_manager()
            raise RefusedError(f"{path}: {status} {body[:200]!r}")
        return msgspec.json.decode(body, type=kind)

    async def _exchange(self, path: str, body: bytes, bearer: str) -> tuple[int, bytes]:
        manager = self._managers[self._index]
        if self._streams is None:
            tls = self._tls if manager.scheme == "https" else None
            self._streams = await asyncio.open_connection(manager.hostname, manager.port, ssl=tls)
        reader, writer = self._streams
        request_head = (
            f"POST {manager.path}{path} HTTP/1.1\r\nHost: {manager.netloc}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {bearer}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(request_head.encode() + body)
        response_head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(response_head)
        return int(response_head[9:12]), await reader.readexactly(int(length[1]) if length else 0)

    def _use_next_manager(self) -> None:
        self.close()
        self._index = (self._index + 1) % len(self._managers)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class SimulatedAgent:
    """A simulated Agent of the machine `name`; counts its events in `tally`.

    `identity` is its identity; None if it must register.
    """

    def __init__(
        self, name: str, connection: ManagerConnection, tally: Tally, identity: Registered | None = None
    ) -> None:
        self._name = name
        self._connection = connection
        self._tally = tally
        self.identity = identity
        self._agent_id = str(uuid.uuid4())
        self._seq = time.time_ns() // 1_000_000
        """Higher than in an earlier run with this identity."""
        self._term_seen = 0
        self._hold_s = 0.0
        self._generations: dict[str, int] | None = None
        """The generations of the sessions on its desired list; None before the first list."""
        self._unreported: dict[str, Observed] = {}
        self._filter_policies = ""

    async def run(self, join_token: str, registration_limit: asyncio.Semaphore) -> None:
        """Register when `registration_limit` allows it, and check in continuously."""
        while True:
            try:
                if self.identity is None:
                    async with registration_limit:
                        self.identity = await self._register(join_token)
                await self._check_in(self.identity)
            except NoAnswerError as error:
                self._tally.current.lost += 1
                self._tally.current.reason = str(error)
            except RefusedError as error:
                self._tally.current.refused += 1
                self._tally.current.reason = str(error)
            else:
                continue
            await asyncio.sleep(PAUSE_S * (1.0 + random.random()))  # noqa: S311 -- spreads load, protects nothing

    async def _register(self, join_token: str) -> Registered:
        message = Register(
            agent_id=self._agent_id,
            machine_id=self._name,
            hostname=self._name,
            join_token=join_token,
            place=self._name,
        )
        return await self._connection.request("/v1/register", message, Registered)

    async def _check_in(self, identity: Registered) -> None:
        self._seq += 1
        generations = self._generations or {}
        message = CheckIn(
            installation_id=identity.installation_id,
            db_epoch=identity.db_epoch,
            agent_id=identity.agent_id,
            incarnation=identity.incarnation,
            seq=self._seq,
            hold_s=0.0 if self._generations is None or self._unreported else self._hold_s,
            term_seen=self._term_seen,
            have_digest=digest(generations),
            have_filter_policies=self._filter_policies,
            full=self._generations is None,
            inventory_complete=self._generations is not None,
            capacity=CAPACITY,
            sessions=list(self._unreported.values()),
        )
        answer = await self._connection.request(
            "/v1/check-in", message, Answer, bearer=f"{identity.agent_id}.{identity.credential}", hold_s=message.hold_s
        )
        if answer.fresh:
            self._tally.current.fresh += 1
        else:
            self._tally.current.not_fresh += 1
        if answer.acked_seq >= message.seq:
            self._unreported.clear()
        self._apply(answer)
        if answer.desired is None and answer.changes is None:
            await asyncio.sleep(random.random() * answer.jitter_s)  # noqa: S311 -- no secret

    def _apply(self, answer: Answer) -> None:
        self._hold_s = answer.hold_s
        self._term_seen = max(self._term_seen, answer.term)
        if answer.filter_policies is not None:
            self._filter_policies = answer.filter_policies_digest
        known = self._generations or {}
        if answer.desired is not None:
            entries, kept = answer.desired, dict[str, int]()
        elif answer.changes is not None and answer.changes.since == digest(known):
            entries = answer.changes.changed
            kept = {session_id: number for session_id, number in known.items() if session_id not in answer.changes.left}
        else:
            return
        for desired in entries:
            if known.get(desired.session_id, -1) < desired.generation:
                self._tally.current.received.append(Received(desired.session_id, desired.generation, time.time()))
                state = "running" if desired.want == "running" else "absent"
                self._unreported[desired.session_id] = Observed(
                    session_id=desired.session_id, generation=desired.generation, state=state, usable=state == "running"
                )
        self._generations = kept | {desired.session_id: desired.generation for desired in entries}


class Tally:
    """The counters of the current second."""

    def __init__(self) -> None:
        self.current = Second()

    def end_second(self, registered: int) -> Second:
        """End the current second and return it."""
        second, self.current = self.current, Second()
        second.registered = registered
        second.cpu_s = time.process_time()
        return second


async def run(
    count: int, managers: Sequence[str], *, name: str, join_token: str, identities: Path | None, ca_file: Path | None
) -> None:
    """Run `count` Agents, `<name>-0` and so on, and print a `Second` each second, until cancelled.

    The file `identities` stores their identities: Agents in that file do not register again.
    """
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    tally, registration_limit = Tally(), asyncio.Semaphore(MAX_CONCURRENT_REGISTRATIONS)
    identities_in_file = _read_identities(identities)[:count] if identities else []
    agents = [
        SimulatedAgent(
            f"{name}-{number}",
            ManagerConnection(managers, tls),
            tally,
            identities_in_file[number] if number < len(identities_in_file) else None,
        )
        for number in range(count)
    ]
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.run(join_token, registration_limit))
        while True:
            await asyncio.sleep(1.0)
            registered = [agent.identity for agent in agents if agent.identity is not None]
            if identities and len(registered) > len(identities_in_file):
                identities_in_file = _write_identities(identities, registered)
            sys.stdout.write(f"{msgspec.json.encode(tally.end_second(len(registered))).decode()}\n")
            sys.stdout.flush()


def _read_identities(identities: Path) -> list[Registered]:
    return msgspec.json.Decoder(Registered).decode_lines(identities.read_bytes()) if identities.exists() else []


def _write_identities(identities: Path, registered: list[Registered]) -> list[Registered]:
    identities.write_bytes(_encoder.encode_lines(registered))
    return registered


def main() -> None:
    """The entry point of `python -m bench.agents`."""
    parser = argparse.ArgumentParser(prog="python -m bench.agents", description="Run simulated Agents.")
    parser.add_argument("--agents", type=int, required=True, help="number of Agents")
    parser.add_argument("--manager", action="append", required=True, help="base URL, e.g. https://HOST/manager_api")
    parser.add_argument("--token-file", type=Path, help="file with the join token of all Agents")
    parser.add_argument("--identities", type=Path, help="file with the identities of the Agents, for the next run")
    parser.add_argument("--name", default="simulated", help="prefix of their host names, different in each process")
    parser.add_argument("--ca-file", type=Path, help="certificate authority of the gateways")
    arguments = parser.parse_args()
    coroutine = run(
        arguments.agents,
        arguments.manager,
        name=arguments.name,
        join_token=arguments.token_file.read_text().strip() if arguments.token_file else "",
        identities=arguments.identities,
        ca_file=arguments.ca_file,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


if __name__ == "__main__":
    main()
