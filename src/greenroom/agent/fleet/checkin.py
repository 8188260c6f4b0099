"""The registration and the check-ins of the Agent with the Managers (docs/explanation/protocols.md §2).

Two loops number their messages in one sequence. `poll` keeps a request open, which the Manager answers after a change,
or after `hold_s` seconds. `report` sends new observations over a second connection, and the Manager answers
immediately. Each message contains all unacknowledged observations, so that a later message replaces a lost one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from greenroom.agent.app import AgentHealth, AgentMetrics
from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerRefusedError, NoManager
from greenroom.agent.host import HostServices
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.rate_limits import Backoff
from greenroom.kit.concurrency import wait_for
from greenroom.kit.program import version
from greenroom.wire.messages import (
    Answer,
    CheckIn,
    Register,
    Registered,
)

log = structlog.get_logger(__name__)

REGISTER_PATH: Final = "/manager_api/v1/register"
CHECK_IN_PATH: Final = "/manager_api/v1/check-in"

SHARING_RETRY_S: Final = 0.5
"""The pause after a failure to store the identity for the other replicas of this Agent."""
FIRST_HOLD_S: Final = 5.0
REPORT_RETRY_S: Final = 0.5
STEP_REPORT_DELAY_S: Final = 0.5
"""The delay of reports about the steps of a staged session's start. No user waits for them, and each report costs the
Manager one transaction, like a claim.
"""
MAX_QUICK_ANSWERS: Final = 3
UNCHANGED_PAUSE_S: Final = 1.0
"""The pause after more than `MAX_QUICK_ANSWERS` consecutive answers that took less than this time and changed nothing.
"""
REFUSAL_MEMORY_S: Final = 60.0
"""The time without a refusal after which `REFUSED_BACKOFF` begins again with its first pause."""
REFUSED_BACKOFF: Final = Backoff(first_s=1.0, max_s=60.0)


@dataclass(eq=False, kw_only=True)
class CheckInLoop:
    """Registers with a Manager and checks in."""

    identity: AgentIdentity
    sessions: Sessions
    manager_client: ManagerClient
    host: HostServices
    health: AgentHealth
    metrics: AgentMetrics
    join_token_file: Path | None
    edge_url: str = ""
    read_shared_identity: Callable[[], Awaitable[bytes | None]] | None = None
    """Reads the identity that the replicas of this Agent share; None = the Agent has no replicas."""

    def __post_init__(self) -> None:
        self._seq = 0
        self._hold_s = FIRST_HOLD_S
        self._registered = False
        self._credential_refused = False
        self._refusals = 0
        self._last_refusal = 0.0
        self._quick_answers = 0
        self._filter_policies_digest = ""

    # The loops ----------------------------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Register and keep a check-in open, forever. A failure is logged, and the request is repeated."""
        while True:
            try:
                if not self._registered:
                    await self._register()
                await self._poll_once()
            except NoManager as error:
                await self._wait_for_manager(error)
            except ManagerRefusedError as error:
                await self._handle_refusal(error)
            except Unavailable as error:
                log.warning("the identity cannot be shared", reason=error.message)
                await asyncio.sleep(SHARING_RETRY_S)

    async def report(self) -> None:
        """Send new observations immediately, and the steps of a staged session's start after `STEP_REPORT_DELAY_S`,
        forever. Observations during an open request are sent together in the next message.
        """
        outbox = self.sessions.outbox
        while True:
            await outbox.unsent.wait()
            await wait_for(outbox.urgent, STEP_REPORT_DELAY_S)
            outbox.unsent.clear()
            outbox.urgent.clear()
            if not (self._registered and outbox.has_unsent()):
                continue
            try:
                await self._check_in(hold_s=0.0)
                if outbox.is_waiting():  # the Manager could not commit them, because the database did not answer
                    asyncio.get_running_loop().call_later(REPORT_RETRY_S, outbox.request_report)
            except NoManager as error:
                log.info("an observation waits for the next check-in", reason=error.message)
            except ManagerRefusedError as error:
                log.warning("a Manager refused an observation", status=error.status, reason=error.message)
                self._registered = False

    async def _poll_once(self) -> None:
        begun = time.monotonic()
        has_list = self.sessions.desired.is_known
        is_changed, answer = await self._check_in(hold_s=self._hold_s if has_list else 0.0)
        self._hold_s = answer.hold_s
        is_quick = not is_changed and time.monotonic() - begun < UNCHANGED_PAUSE_S
        self._quick_answers = self._quick_answers + 1 if is_quick else 0
        if self._quick_answers > MAX_QUICK_ANSWERS:
            await asyncio.sleep(UNCHANGED_PAUSE_S)
        elif not is_changed:
            await asyncio.sleep(random.random() * answer.jitter_s)  # noqa: S311 -- spreads load, protects nothing

    # One message --------------------------------------------------------------------------------------------------

    async def _check_in(self, hold_s: float) -> tuple[bool, Answer]:
        """Send one message and apply its answer. Return True if the instructions or their term changed, and the
        answer."""
        message = self._message(hold_s)
        try:
            answer = await self.manager_client.ask(CHECK_IN_PATH, message, Answer, bearer=self.identity.bearer)
        except BaseException as error:
            self.metrics.check_ins.labels(type(error).__name__).inc()
            self.sessions.outbox.return_log_lines(message.logs)
            raise
        self.metrics.check_ins.labels("fresh" if answer.fresh else "not fresh").inc()
        return self._apply(answer, message), answer

    def _message(self, hold_s: float) -> CheckIn:
        self._seq += 1
        sessions = self.sessions
        return CheckIn(
            installation_id=self.identity.installation_id,
            db_epoch=self.identity.db_epoch,
            agent_id=self.identity.agent_id,
            incarnation=self.identity.incarnation,
            seq=self._seq,
            hold_s=hold_s,
            term_seen=sessions.desired.highest_term,
            have_digest=sessions.desired.digest,
            have_filter_policies=self._filter_policies_digest,
            full=not sessions.desired.is_known,
            inventory_complete=sessions.observed.is_complete,
            capacity=self.host.capacity(),
            usage=self.host.usage(),
            lateness=self.host.lateness(),
            runtime_error=self.host.runtime_error(),
            crash_loop=self.health.crash_loop(),
            images=self.host.images(),
            homes=self.host.homes(),
            sessions=sessions.outbox.unacknowledged(self._seq, with_steps=hold_s == 0),
            unknown=sessions.undesired(),
            logs=sessions.outbox.take_log_lines(),
        )

    def _apply(self, answer: Answer, message: CheckIn) -> bool:
        if message.incarnation != self.identity.incarnation:
            return False
        if answer.db_epoch != self.identity.db_epoch:
            self.sessions.outbox.log_line(
                LogCode.AGENT_NEW_DATABASE, "The database was replaced or restored; the Agent registers again."
            )
            self._registered = False
            return False
        self.health.last_answer = time.monotonic()
        self.health.manager_error = ""
        self.sessions.acknowledge(answer.acked_seq)
        if message.images is not None and answer.acked_seq >= message.seq:
            self.host.images_reported(message.images)
        if message.homes is not None and answer.acked_seq >= message.seq:
            self.host.homes_reported(message.homes)
        before = (self.sessions.desired.digest, self.sessions.desired.highest_term)
        pending = self.sessions.commands
        has_new_command = any(pending.get(command.command_id) is None for command in answer.commands)
        if not self.sessions.accept(answer):
            if answer.fresh:
                log.warning("an answer of an older term is ignored", term=answer.term, known_term=before[1])
            return False
        self.health.last_fresh = self.health.last_answer
        self._update_managers(answer)
        if answer.fresh:
            self.host.set_homes_to_remove(answer.homes_to_remove)
        if answer.images is not None:
            self.host.set_desired_images(answer.images)
        if answer.filter_policies is not None:
            self.host.set_filter_policies(answer.filter_policies)
            self._filter_policies_digest = answer.filter_policies_digest
        return has_new_command or (self.sessions.desired.digest, self.sessions.desired.highest_term) != before

    def _update_managers(self, answer: Answer) -> None:
        managers = self.manager_client.managers
        managers.set_listed(manager.url for manager in answer.managers)
        for manager in answer.managers:
            if manager.instance_id == answer.primary:
                managers.set_primary(manager.url, answer.term)

    # Registration -------------------------------------------------------------------------------------------------

    async def _register(self) -> None:
        await self.identity.store_shared()  # so that a replica that takes over later uses the same id
        token = self._join_token()
        credential = None if token else self.identity.credential
        message = Register(
            machine_id=self.identity.machine_id,
            hostname=self.identity.hostname,
            agent_id=self.identity.agent_id,
            join_token=token,
            credential=credential,
            edge_url=self.edge_url,
            place=self.identity.place_id,
            version=version(),
        )
        try:
            registered = await self.manager_client.ask(REGISTER_PATH, message, Registered)
        except BaseException as error:
            self.metrics.registrations.labels(type(error).__name__).inc()
            raise
        self.metrics.registrations.labels("registered").inc()
        if registered.installation_id != self.identity.installation_id:
            self.sessions.desired.join_installation(registered.db_epoch)
        elif registered.db_epoch != self.identity.db_epoch:
            self.sessions.desired.invalidate()
        self.identity.store(registered)
        await self.identity.store_shared()
        self.manager_client.managers.set_listed(manager.url for manager in registered.managers)
        self.sessions.outbox.resend_all()
        self._seq = 0
        self._credential_refused = False
        self.host.set_installation(registered.installation_id)
        # `report` sends no message before the first reading, because the message would have no capacity.
        await self.host.wait_until_inspected()
        self._registered = True
        log.info("registered", agent_id=registered.agent_id, incarnation=registered.incarnation)

    def _join_token(self) -> str | None:
        """Return the join token from its file if there is no credential or a Manager refused it; otherwise None."""
        if self.identity.credential and not self._credential_refused:
            return None
        try:
            return self.join_token_file.read_text().strip() if self.join_token_file else None
        except OSError as error:
            log.warning("the join token cannot be read", file=str(self.join_token_file), reason=error.strerror)
            return None

    # Failures -----------------------------------------------------------------------------------------------------

    async def _wait_for_manager(self, error: NoManager) -> None:
        self.health.manager_error = error.message
        wait_s = self.manager_client.managers.wait_s(time.monotonic())
        log.warning(
            "no Manager answers; the sessions continue to run", reason=error.message, next_try_s=round(wait_s, 2)
        )
        await asyncio.sleep(wait_s)

    async def _is_credential_changed(self) -> bool:
        """Load the shared identity. Return True if another replica of this Agent has changed it."""
        try:
            content = await self.read_shared_identity() if self.read_shared_identity is not None else None
        except Unavailable as unavailable:
            log.warning("the shared identity cannot be read", reason=unavailable.message)
            return False
        return content is not None and self.identity.load_shared(content)

    async def _handle_refusal(self, error: ManagerRefusedError) -> None:
        """Pause after a refusal; the pause grows with each consecutive refusal. The Agent then registers again. After a
        401 for its credential, it sends the join token, if it has one; after a 401 for the token, the credential."""
        self._registered = False
        refuses_credential = error.status == 401 and not self._credential_refused
        self._credential_refused = refuses_credential and not await self._is_credential_changed()
        self.health.manager_error = error.message
        now = time.monotonic()
        if now - self._last_refusal > REFUSAL_MEMORY_S:
            self._refusals = 0
        self._last_refusal = now
        pause_s = REFUSED_BACKOFF.delay_s(self._refusals)
        self._refusals += 1
        log.error(
            "a Manager refused this Agent; the Agent registers again",
            status=error.status,
            reason=error.message,
            pause_s=pause_s,
        )
        await asyncio.sleep(pause_s)
