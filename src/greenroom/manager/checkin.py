"""The check-in: admit Agents, take in what they saw, answer with what is wanted (PROTOCOLS §2).

An answer is made from one reading of the database, taken right before it is sent; a held poll reads again whenever
there may be news, and at its end in any case. While the database is away the answer is `fresh: false` and changes
nothing. Nothing here needs the lease: launches go on while a zone has no Primary.
"""

from __future__ import annotations

import asyncio
import hmac
import uuid
from dataclasses import dataclass, field
from typing import Final

import structlog

from greenroom.core import checkin as core
from greenroom.core.errors import GreenroomError, IdentityConflict, Invalid, Unauthenticated, Unavailable
from greenroom.db import checkin as sql
from greenroom.db.agents import Newcomer, register
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter
from greenroom.db.managers import ManagerRow
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets, hashed, new_secret
from greenroom.manager import answers
from greenroom.manager.answers import State
from greenroom.manager.clock import boottime_s
from greenroom.manager.commit import Committer
from greenroom.manager.messages import agent_rows, checked
from greenroom.manager.standing import Standing, Wakers
from greenroom.wire.messages import Answer, CheckIn, Register, Registered, digest

log = structlog.get_logger(__name__)


MOST_TERMS_AHEAD: Final = 1_000_000
"""By how much an Agent may be ahead, after a restore of the database; more is a lie that would use up the terms."""


class ManagerLeftError(GreenroomError):
    """This Manager was disabled or is being stopped; ask another one."""

    code = "manager-disabled"
    http_status = 503


@dataclass(slots=True)
class _Told:
    """What one incarnation of an Agent was told by this Manager; forgetting it costs an answer too many, no more."""

    incarnation: int
    images_digest: str = ""
    command_ids: frozenset[str] = frozenset()
    verdicts: frozenset[str] = frozenset()
    asked_at_s: dict[str, float] = field(default_factory=dict[str, float])
    """Unknown containers → when the Agent first asked about each."""


class CheckIns:
    """The two routes for Agents; one per process, after registration."""

    def __init__(
        self,
        *,
        db: Database,
        me: ManagerRow,
        config: ManagerConfig,
        secrets: Secrets,
        logs: LogWriter,
        standing: Standing,
        wakers: Wakers,
        committer: Committer,
    ) -> None:
        self._db = db
        self._me = me
        self._config = config
        self._secrets = secrets
        self._logs = logs
        self._standing = standing
        self._wakers = wakers
        self._committer = committer
        self._told: dict[str, _Told] = {}
        self._last: dict[str, State] = {}

    # Registration ---------------------------------------------------------------------------------------------------

    async def register(self, message: Register) -> Registered:
        """Admit an Agent with a join token, or a known one with its credential.

        Raises:
            Unauthenticated, IdentityConflict, Invalid: it is refused; administrators find the reason in the logs.
            Unavailable: the database cannot be reached.
        """
        try:
            return await self._register(message)
        except (Unauthenticated, IdentityConflict, Invalid) as error:
            sentence = f"An Agent on host {message.hostname or 'unknown'} was refused: {error.message}"
            self._logs.write(
                "WARNING",
                "agent-refused",
                sentence,
                zone_name=self._me.zone_name,
                details={"agent_id": message.agent_id, "machine_id": message.machine_id},
            )
            raise

    async def _register(self, message: Register) -> Registered:
        if not (message.join_token or message.credential):
            raise Unauthenticated("The Agent has neither a join token nor a credential; give it a join token.")
        agent_id = _agent_id(message.agent_id)
        credential = new_secret()
        identity = await register(
            self._db,
            Newcomer(
                agent_id=agent_id,
                zone_id=self._me.zone_id,
                machine_id=message.machine_id,
                hostname=message.hostname,
                edge_url=message.edge_url,
                token_hash=hashed(message.join_token) if message.join_token else None,
                credential_hash=hashed(message.credential or "") if not message.join_token else None,
            ),
            hashed(credential),
        )
        how = "with a join token" if message.join_token else "again"
        self._logs.write(
            "INFO",
            "agent-registered",
            f"Agent {agent_id} on host {message.hostname} registered {how} (process {identity.incarnation})",
            zone_name=self._me.zone_name,
        )
        state = await self._read(agent_id)
        await self._db.notify("agents:", f"zone:{self._me.zone_key}")
        return Registered(
            agent_id=agent_id,
            credential=credential if message.join_token else None,
            incarnation=identity.incarnation,
            installation_id=identity.installation_id,
            db_epoch=identity.db_epoch,
            zone_id=self._me.zone_id,
            managers=answers.managers(state) if state else [],
        )

    # Check-in -------------------------------------------------------------------------------------------------------

    async def check_in(self, message: CheckIn, credential: str) -> Answer:
        """Take in what the Agent saw; answer at once, or when there is news, or when the hold is over.

        Raises:
            Unauthenticated: the credential is not the Agent's.
            IdentityConflict: another process has this identity; register again.
            ManagerLeftError: this Manager was disabled meanwhile.
            Unavailable: the database is away and this Manager knows nothing of this Agent.
        """
        message = checked(message)
        until_s = boottime_s() + min(message.hold_s, self._config.checkin_hold_s)
        with self._wakers.held(message.agent_id) as news:
            state = await self._admitted(message, credential)
            if state.fresh and message.db_epoch != state.db_epoch:
                return answers.no_news(state, self._me, self._config)
            for row in agent_rows(message, self._me.zone_name):
                self._logs.add(row)
            try:
                must_read_again = await self._take(message, state)
            except Unavailable as error:
                log.warning("observations wait for the database", agent_id=message.agent_id, reason=error.message)
                return await self._answer(message, state)  # not held: the Agent says it again at once
            if must_read_again:
                news.clear()
                state = await self._admitted(message, credential)
            while not (self._is_news(message, state) or boottime_s() >= until_s):
                await _wait(news, until_s - boottime_s())
                news.clear()
                state = await self._admitted(message, credential)
        return await self._answer(message, state)

    async def _admitted(self, message: CheckIn, credential: str) -> State:
        """The present state, if this Manager serves and the sender is who he says."""
        if not self._standing.serves_agents:
            raise ManagerLeftError
        state = await self._read(message.agent_id)
        if not state.enabled:
            raise ManagerLeftError
        if not hmac.compare_digest(hashed(credential), state.credential_hash):
            raise Unauthenticated("The Agent's credential is not valid; it was revoked, or the Agent was deleted.")
        if message.incarnation != state.incarnation:
            raise IdentityConflict("A newer process has this Agent's identity; register again.")
        if state.agent_zone_id != self._me.zone_id:
            raise IdentityConflict("The Agent belongs to another zone; register again to change it.")
        if message.term_seen > state.term + MOST_TERMS_AHEAD:
            raise Invalid(f"No Manager of this zone ever had term {message.term_seen}.")
        return state

    async def _read(self, agent_id: str) -> State:
        """The state as it is now, or the last one with `fresh` false while the database is away."""
        try:
            row = await sql.read_state(self._db, agent_id, self._me.manager_id)
        except Unavailable:
            if agent_id not in self._last:
                raise
            return self._last[agent_id].stale()
        if row is None:
            raise ManagerLeftError
        state = State.of(row)
        if row["credential_hash"] is not None:  # strangers are not remembered
            self._last[agent_id] = state
        return state

    async def _take(self, message: CheckIn, state: State) -> bool:
        """Have the message committed; True when it was waited for, so that the state must be read again.

        Raises:
            Unavailable: it could not be committed.
        """
        if not state.fresh:
            return False
        new_capacity = (message.capacity.cores, message.capacity.memory_bytes) != state.capacity
        nothing_new = (
            not message.sessions
            and message.images is None
            and not new_capacity
            and (state.complete or not message.inventory_complete)
            and state.heard == (self._me.manager_id, message.term_seen)
        )
        if nothing_new:
            self._committer.beat(message)
            return False
        await self._committer.submit(message, new_capacity=new_capacity)
        return True

    def _is_news(self, message: CheckIn, state: State) -> bool:
        """Whether a held poll is to be answered now."""
        if not state.fresh:
            return False
        told = self._told_of(message)
        return (
            message.full
            or digest(state.generations) != message.have_digest
            or state.term > message.term_seen
            or not state.command_ids <= told.command_ids
            or state.images_digest != told.images_digest
            or bool(self._ripe(message, told) - told.verdicts)
        )

    def _told_of(self, message: CheckIn) -> _Told:
        told = self._told.get(message.agent_id)
        if told is None or told.incarnation != message.incarnation:
            told = self._told[message.agent_id] = _Told(message.incarnation)
        return told

    def _ripe(self, message: CheckIn, told: _Told) -> frozenset[str]:
        """Unknown containers whose grace period is over."""
        now_s = boottime_s()
        told.asked_at_s = {session_id: told.asked_at_s.get(session_id, now_s) for session_id in message.unknown}
        return frozenset(s for s, at_s in told.asked_at_s.items() if now_s - at_s >= self._config.verdict_grace_s)

    async def _answer(self, message: CheckIn, state: State) -> Answer:
        if not state.fresh:
            return answers.no_news(state, self._me, self._config)
        told = self._told_of(message)
        try:
            answer = await answers.make(
                db=self._db,
                me=self._me,
                config=self._config,
                secrets=self._secrets,
                message=message,
                state=state,
                images_told=told.images_digest,
            )
            verdicts = await self._verdicts(message, told)
        except Unavailable:
            return answers.no_news(state.stale(), self._me, self._config)
        told.images_digest = state.images_digest
        told.command_ids = state.command_ids
        told.verdicts = frozenset(verdicts)
        return answers.with_verdicts(answer, verdicts)

    async def _verdicts(self, message: CheckIn, told: _Told) -> dict[str, core.Verdict]:
        if not message.unknown:
            return {}
        self._ripe(message, told)
        living = await sql.read_living(self._db, message.agent_id, message.unknown)
        now_s = boottime_s()
        asked_for_s = {session_id: now_s - at_s for session_id, at_s in told.asked_at_s.items()}
        return core.verdicts(message.unknown, living, asked_for_s, self._config.verdict_grace_s)


_LOOK_AGAIN_S: Final = 1.0
"""A held check-in looks by itself this often: nothing depends on a notification being heard (PROTOCOLS §1)."""


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(min(seconds, _LOOK_AGAIN_S)):
            await news.wait()
    except TimeoutError:
        return


def _agent_id(proposed: str | None) -> str:
    try:
        return str(uuid.UUID(proposed)) if proposed else str(uuid.uuid4())
    except ValueError as error:
        raise Invalid(f"The proposed agent_id {proposed!r} is not a uuid.") from error
