"""The check-in: store Agents' observations, answer with instructions (docs/explanation/protocols.md §2).

An answer is created from one reading of the database, immediately before it is sent. A held check-in reads again after
a notification about its Agent, and always at its end (ADR 3). While the database is away, the answer has `fresh` false,
changes nothing, and is held like other answers. Check-ins do not need a Primary, so launches continue while a zone has
none.
"""

from __future__ import annotations

import asyncio
import hmac
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from greenroom.core.errors import GreenroomError, IdentityConflict, Invalid, Unauthenticated, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.session import observations
from greenroom.core.text import one_line
from greenroom.db.diagnostics.batches import storable
from greenroom.db.diagnostics.logs import LogRow
from greenroom.db.fleet import checkin
from greenroom.db.fleet.agents import record_check_in_refusal
from greenroom.db.fleet.checkin import CheckInState, RequestedRemoval, ZoneState
from greenroom.db.fleet.liveness import record_disconnection
from greenroom.kit.clock import boottime_s
from greenroom.kit.concurrency import wait_for
from greenroom.kit.secrets import secret_digest
from greenroom.kit.stops import hold_if_armed
from greenroom.manager.checkin import answers
from greenroom.manager.checkin.answers import MissingChanges, PreparedAnswer
from greenroom.manager.checkin.commit import Committer, UnstoredCheckIns
from greenroom.manager.checkin.readings import BatchedReader, DesiredListCache
from greenroom.manager.status import ManagerContext, ManagerMetrics, ManagerStatus
from greenroom.wire.messages import VERSION, Answer, CheckIn

log = structlog.get_logger(__name__)


_LOG_CODES: Final = frozenset(map(str, LogCode))
MAX_TERMS_AHEAD: Final = 1_000_000
"""The maximum by which the term of an Agent may exceed the term of the zone, which is lower after a restore of the
database. A message with a larger difference is forged, and would use up the terms."""


MAX_REFUSAL_CHARACTERS: Final = 1000


class ManagerDisabledError(GreenroomError):
    """This Manager was disabled or is being stopped; ask another one."""

    code = "manager-disabled"
    http_status = 503


RECENT_S: Final = 1.0
"""The maximum age of a reading that the next check-in of the same Agent uses: half of the age that
docs/explanation/protocols.md §2 allows for an answer."""
MAX_LISTS: Final = 4
"""The number of desired lists stored for each Agent. An Agent has two connections, which are answered at the same time,
so the list that it applies may be two lists older than the newest list."""


@dataclass(slots=True)
class _SentState:
    """The state that this Manager sent to one incarnation of an Agent. If this state is missing, for example after a
    restart, the Agent gets one unnecessary answer. `verdicts` are the ids of the unknown containers for which the last
    answer had a verdict."""

    images_digest: str = ""
    command_ids: frozenset[str] = frozenset()
    removals: frozenset[RequestedRemoval] = frozenset()
    verdicts: frozenset[str] = frozenset()
    lists: dict[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """Digest → the desired list (session id → generation) with this digest, for the last answers; the newest is
    last."""
    reported_at_s: dict[str, float] = field(default_factory=dict[str, float])
    """The session id of each unknown container → the time of the Agent's first report of it."""

    def add_list(self, list_digest: str, generations: Mapping[str, int]) -> None:
        """Store the list that the Agent has after the answer."""
        self.lists.pop(list_digest, None)
        self.lists = {**dict(list(self.lists.items())[1 - MAX_LISTS :]), list_digest: generations}

    def add_unknown(self, unknown: Iterable[str]) -> dict[str, float]:
        """Replace the stored unknown containers. Return session id → the time since the first report, in seconds."""
        now_s = boottime_s()
        self.reported_at_s = {session_id: self.reported_at_s.get(session_id, now_s) for session_id in unknown}
        return {session_id: now_s - at_s for session_id, at_s in self.reported_at_s.items()}

    def has_instruction(self, session_id: str, generation: int) -> bool:
        newest = self.lists[next(reversed(self.lists))] if self.lists else dict[str, int]()
        return newest.get(session_id, -1) >= generation


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading of an Agent, with the time of its start and the number of notifications about the Agent at this time.
    `sent` belongs to the incarnation that was read."""

    state: CheckInState
    sent: _SentState
    notifications: int
    at_s: float


class CheckIns:
    """The route for check-ins; one per process, after registration."""

    def __init__(
        self,
        shared: ManagerContext,
        *,
        status: Callable[[], ManagerStatus],
        committer: Committer,
        unstored: UnstoredCheckIns,
        metrics: ManagerMetrics,
    ) -> None:
        self._db, self._me = shared.agents_db, shared.me
        self._config, self._logs = shared.config, shared.logs
        self._notifier, self._takeover = shared.notifier, shared.takeover
        self._metrics = metrics
        self._status = status
        self._committer = committer
        self._unstored = unstored
        self._last: dict[str, _Reading] = {}
        self._zone: ZoneState | None = None
        """The last state of the zone. All Agents share this object until the state changes."""
        self._reader = BatchedReader(DesiredListCache(self._db, self._me.manager_id, self._notifier).read)
        self._answers = answers.Answers(shared)

    # Check-in -------------------------------------------------------------------------------------------------------

    async def check_in(self, message: CheckIn, credential: str, *, closed: Callable[[], Awaitable[None]]) -> Answer:
        """Store the Agent's observations. Answer immediately if the Agent lacks changes, else at the next change or at
        the end of the hold. `closed` waits until the Agent has closed the connection of this check-in.

        Raises:
            Unauthenticated: the credential is not the Agent's.
            IdentityConflict: another process has this identity; register again.
            ManagerDisabledError: this Manager was disabled in the meantime.
            Unavailable: the database is away and this Manager has no reading of this Agent.
            Invalid: the message has another version.
        """
        if message.v != VERSION:
            raise Invalid(f"The message has version {message.v}; this Manager has version {VERSION}.")
        early_fraction = _MAX_EARLY_FRACTION * random.random()  # noqa: S311 -- spreads load, protects nothing
        until_s = boottime_s() + min(message.hold_s, self._config.checkin_hold_s) * (1.0 - early_fraction)
        with self._notifier.hold_check_in(message.agent_id) as notified:
            reading = self._recent_reading(message) or await self._read(message.agent_id)
            self._admit(message, credential, reading.state)
            if reading.state.fresh and message.db_epoch != reading.state.zone.db_epoch:
                return self._answers.unchanged_answer(reading.state)
            await self._write_log(message)
            try:
                must_read_again = await self._store(message, reading.state)
            except Unavailable as error:
                log.warning("observations wait for the database", agent_id=message.agent_id, reason=error.message)
                answer = await self._answer(message, reading)  # not held: the Agent must soon report again
                return msgspec.structs.replace(answer, jitter_s=answers.NOT_FRESH_JITTER_S)
            if must_read_again:
                notified.clear()
                self._notifier.add_changed_sessions(
                    message.agent_id, *(observed.session_id for observed in message.sessions)
                )
                reading = await self._read(message.agent_id)
                self._admit(message, credential, reading.state)
            reading = await self._hold(message, credential, reading, notified, until_s=until_s, closed=closed)
        return await self._answer(message, reading)

    async def _hold(
        self,
        message: CheckIn,
        credential: str,
        reading: _Reading,
        notified: asyncio.Event,
        *,
        until_s: float,
        closed: Callable[[], Awaitable[None]],
    ) -> _Reading:
        """Wait for a change that the Agent lacks, for the end of the hold, or until the Agent closes the connection.
        Return the last reading."""
        if boottime_s() >= until_s or self._missing_changes(message, reading).exist:
            return reading
        watch = asyncio.ensure_future(closed())
        watch.add_done_callback(lambda _: notified.set())
        try:
            while not (watch.done() or self._missing_changes(message, reading).exist or boottime_s() >= until_s):
                is_woken = await wait_for(notified, until_s - boottime_s())
                notified.clear()
                reading = await self._read(message.agent_id, urgent=is_woken)
                self._admit(message, credential, reading.state)
            if watch.done():
                await self._record_disconnection(message)
        finally:
            watch.cancel()
        return reading

    async def _record_disconnection(self, message: CheckIn) -> None:
        """Store that the Agent closed the connection of a check-in, so that launches prefer other Agents. A healthy
        Agent checks in again at once, at this Manager or at another."""
        try:
            if await record_disconnection(self._db, message.agent_id, message.incarnation, message.seq):
                log.info("an Agent closed the connection of its check-in", agent_id=message.agent_id)
        except Unavailable as error:
            log.warning("the end of a connection cannot be stored", agent_id=message.agent_id, reason=error.message)

    async def record_refusal(self, agent_id: str, credential: str, reason: str) -> None:
        """Store and log the reason why a check-in of an Agent was refused: the silence of the Agent would be the only
        sign of it. An unchanged reason is logged once."""
        reason = storable(one_line(reason))[:MAX_REFUSAL_CHARACTERS]
        try:
            if not await record_check_in_refusal(self._db, agent_id, secret_digest(credential), reason):
                return
        except Unavailable as error:
            log.warning("a refusal cannot be stored", agent_id=agent_id, reason=error.message)
            return
        self._logs.write(
            LogCode.AGENT_CHECK_IN_REFUSED,
            f"A check-in of Agent {agent_id} was refused: {reason}",
            details={"agent_id": agent_id},
        )

    async def _write_log(self, message: CheckIn) -> None:
        """Store the log lines of the Agent. While the database is away, the rows have no session ids. A row never has
        the id of a session of another Agent, or of the user of another session, even if the message contains it."""
        users: dict[str, str | None] = {}
        if session_ids := sorted({line.session_id for line in message.logs if line.session_id}):
            try:
                users = await checkin.read_users_of_sessions(self._db, message.agent_id, session_ids)
            except Unavailable as error:
                log.warning("log lines of an Agent are stored without their sessions", reason=error.message)
        for line in message.logs:
            is_known = line.code in _LOG_CODES
            row = LogRow(
                level=line.level,
                component="agent",
                code=line.code if is_known else str(LogCode.AGENT_LOG_UNKNOWN),
                message=line.message if is_known else f"{line.code}: {line.message}",
                zone_name=self._logs.zone_name,
                session_id=line.session_id if line.session_id in users else None,
                user_id=line.user_id if line.user_id and users.get(line.session_id or "") == line.user_id else None,
                details={**line.details, "agent_id": message.agent_id},
                time=datetime.fromtimestamp(line.at, UTC),
            )
            self._logs.add(row)

    def _admit(self, message: CheckIn, credential: str, state: CheckInState) -> None:
        """Raise an error unless this Manager serves Agents, and this state proves the sender's identity."""
        if not self._status().serves_agents:
            raise ManagerDisabledError
        agent, zone = state.agent, state.zone
        if not hmac.compare_digest(secret_digest(credential).hex(), agent.credential_hash):
            raise Unauthenticated(_CREDENTIAL_REFUSED)
        if message.incarnation != agent.incarnation:
            raise IdentityConflict("A newer process has this Agent's identity; register again.")
        if agent.zone_id != self._me.zone_id:
            raise IdentityConflict("The Agent belongs to another zone; its credential is valid only there.")
        if message.term_seen > zone.term + MAX_TERMS_AHEAD:
            raise Invalid(f"No Manager of this zone ever had term {message.term_seen}.")

    def _recent_reading(self, message: CheckIn) -> _Reading | None:
        """Return the last reading of this Agent, if it is recent and sufficient. If the message contains observations,
        each reading is sufficient, because the state is read again after their commit. Otherwise a reading is
        sufficient if the check-in is held, no notification about the Agent has arrived since, and the Agent has all
        changes of the reading."""
        last = self._last.get(message.agent_id)
        if last is None or boottime_s() - last.at_s > RECENT_S:
            return None
        if message.incarnation != last.state.agent.incarnation:  # the Agent has registered since
            return None
        if message.sessions:
            return last if self._notifier.knows_changed_sessions(message.agent_id) else None
        if message.hold_s <= 0 or last.notifications != self._notifier.notification_count(message.agent_id):
            return None
        return None if self._missing_changes(message, last).exist else last

    async def _read(self, agent_id: str, *, urgent: bool = True) -> _Reading:
        """Read the present state; while the database is away, return the last state with `fresh` false."""
        await self._takeover.wait()
        notifications, at_s = self._notifier.notification_count(agent_id), boottime_s()
        try:
            reading = await self._reader.read(agent_id, urgent=urgent)
        except Unavailable:
            if agent_id not in self._last:
                raise
            last = self._last[agent_id]
            return replace(last, state=last.state.as_not_fresh())
        if reading is None or not reading.zone.enabled:
            raise ManagerDisabledError
        if agent_id not in reading.agents:
            raise Unauthenticated(_CREDENTIAL_REFUSED)
        if self._zone is None or self._zone != reading.zone:
            self._zone = reading.zone
        state, last = CheckInState(agent=reading.agents[agent_id], zone=self._zone), self._last.get(agent_id)
        sent = last.sent if last and last.state.agent.incarnation == state.agent.incarnation else _SentState()
        self._last[agent_id] = _Reading(state, sent, notifications, at_s)
        return self._last[agent_id]

    async def _store(self, message: CheckIn, state: CheckInState) -> bool:
        """Store the message. Return True if this call waited for the commit, so that the state must be read again.
        Raises Unavailable: the message could not be committed."""
        if not state.fresh:
            return False
        reported, agent = message.capacity, state.agent
        new_capacity = (reported.cores, reported.memory_bytes) != (agent.cores_reported, agent.memory_reported)
        reported_before = (agent.recorded_manager_id, agent.recorded_term) == (self._me.manager_id, message.term_seen)
        # With an older term, the Agent sends the message again immediately, with the term of the answer.
        will_repeat = message.term_seen < state.zone.term
        nothing_new = (
            not message.sessions
            and message.images is None
            and message.homes is None
            and not new_capacity
            and (agent.complete or not message.inventory_complete)
            and (reported_before or will_repeat)
        )
        if nothing_new:
            self._unstored.add(message)
            return False
        await self._committer.submit(message, new_capacity=new_capacity)
        if not reported_before:
            self._metrics.agents_taken_over.inc()
        return True

    def _missing_changes(self, message: CheckIn, reading: _Reading) -> MissingChanges:
        """Return the changes that the Agent does not have yet; none if the state is not fresh."""
        state, sent = reading.state, reading.sent
        if not state.fresh:
            return MissingChanges()
        agent, zone, grace_s = state.agent, state.zone, self._config.verdict_grace_s
        overdue = {s for s, reported_s in sent.add_unknown(message.unknown).items() if reported_s >= grace_s}
        return MissingChanges(
            desired=message.full or agent.digest != message.have_digest,
            images=agent.images_digest != sent.images_digest,
            # an Agent without a web filter reports no digest
            filter_policies=message.have_filter_policies not in {None, zone.filter_policies_digest},
            other=zone.term > message.term_seen
            or not agent.command_ids <= sent.command_ids
            or not sent.removals.issuperset(agent.removals)
            or bool(overdue - sent.verdicts),
        )

    async def _answer(self, message: CheckIn, reading: _Reading) -> Answer:
        state, sent = reading.state, reading.sent
        answer = self._answers.unchanged_answer(state)
        if state.fresh:
            known_list = None if message.full else sent.lists.get(message.have_digest)
            verdicts: dict[str, observations.ContainerVerdict] = {}
            try:
                missing = self._missing_changes(message, reading)
                prepared = await self._answers.make(
                    state, missing, have_digest=message.have_digest, known_list=known_list
                )
                if message.unknown:
                    existing = await checkin.read_undeleted(self._db, message.agent_id, message.unknown)
                    reported_for_s = sent.add_unknown(message.unknown)
                    verdicts = observations.verdicts(
                        message.unknown, existing, reported_for_s, self._config.verdict_grace_s
                    )
            except Unavailable:
                answer = self._answers.unchanged_answer(state.as_not_fresh())
            else:
                self._store_sent(reading, prepared, verdicts)
                answer = msgspec.structs.replace(prepared.answer, verdicts=verdicts)
        if answer.desired is not None or answer.changes is not None or answer.commands:
            await hold_if_armed("checkin.before_answer")
        self._metrics.check_ins.labels(_result(answer)).inc()
        return answer

    def _store_sent(self, reading: _Reading, prepared: PreparedAnswer, verdicts: Iterable[str]) -> None:
        """Store the content of this answer, and measure the delay of the instructions that the Agent gets for the first
        time. Nothing is measured for the first answer, because another Manager may have sent its instructions."""
        agent, sent = reading.state.agent, reading.sent
        if prepared.digest != agent.digest:  # the list has changed since the state was read
            self._notifier.add_changed_sessions(agent.agent_id)
        for instruction in prepared.instructions if sent.lists else ():
            if instruction.key not in sent.command_ids and not sent.has_instruction(
                instruction.key, instruction.generation
            ):
                self._metrics.instruction_seconds.labels(instruction.kind).observe(max(0.0, instruction.age_s))
        sent.add_list(prepared.digest, prepared.generations)
        sent.images_digest = agent.images_digest
        sent.removals = frozenset(agent.removals)
        sent.command_ids = agent.command_ids
        sent.verdicts = frozenset(verdicts)


_CREDENTIAL_REFUSED: Final = "The Agent's credential is not valid; it was revoked, or the Agent was deleted."
_MAX_EARLY_FRACTION: Final = 0.2
"""The maximum fraction of the hold by which it ends early, at random, so that Agents that were answered together do not
check in together again."""


def _result(answer: Answer) -> str:
    if not answer.fresh:
        return "stale"
    has_list = answer.desired is not None or answer.changes is not None
    is_news = has_list or answer.images is not None or answer.filter_policies is not None
    return "news" if is_news or answer.commands or answer.verdicts else "nothing new"
