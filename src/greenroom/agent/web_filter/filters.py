"""The web filters of this host: a network and a Squid for each policy that applies to a session of this Agent.

The filter of a policy is created before its first session, corrected in every round, and removed after its last
session. If the network cannot be restricted, the sessions of the policy fail with the reason; no session starts without
its filter. The last known policies are stored on disk, so that they apply while no Manager can be reached.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.agent.session.sessions import Sessions
from greenroom.agent.web_filter.denials import DenialRow, Denials
from greenroom.agent.web_filter.policy_squid import PolicySquid, squids_of
from greenroom.agent.web_filter.secret_files import FilterError
from greenroom.core import named_secrets
from greenroom.core.errors import GreenroomError, reason_of
from greenroom.core.log_codes import LogCode
from greenroom.core.named_secrets import FilterSecret
from greenroom.core.rate_limits import Backoff
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.session_spec import SessionFile, SessionSpec
from greenroom.kit.concurrency import convert_item_error, wait_for
from greenroom.runtimes.contract import FilterHost, FilterNetwork, TrustStore
from greenroom.wire.messages import LogLine

log = structlog.get_logger(__name__)

ROUND_INTERVAL_S: Final = 1.0
"""The interval of rounds. A round corrects all filters and reports their denials."""
RULES_INTERVAL_S: Final = 30.0
"""The interval at which the network and the firewall rules are checked, because other programs may change them."""
POLICY_TIMEOUT_S: Final = 10.0
"""The maximum wait for the policy of a session. A Manager sends it with the session or in the next answer."""
BACKOFF: Final = Backoff(first_s=0.5, max_s=30.0)
STABLE_AFTER_S: Final = 60.0
"""The running time after which a Squid that ended is restarted without a pause."""


@dataclass(slots=True)
class _Filter:
    """The filter of one policy; `lock` is held during a change."""

    denials: Denials = field(default_factory=Denials)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    squid: PolicySquid | None = None
    network: FilterNetwork | None = None
    applied_policy: FilterPolicy | None = None
    secrets: tuple[FilterSecret, ...] = ()
    adds_secrets: bool = False
    """True if the filter has or had secrets. Its sessions then trust its certificate authority."""
    checked_at_s: float = 0.0
    failures: int = 0
    started_at_s: float = float("-inf")
    start_count: int = 0
    next_try_s: float = 0.0
    unknown_since_s: float | None = None
    """Since when this Agent has a session under a policy that it does not know; None = it knows the policy."""

    @property
    def _is_running(self) -> bool:
        return self.squid is not None and self.squid.run_id is not None

    def is_current(self, policy: FilterPolicy, secrets: tuple[FilterSecret, ...]) -> bool:
        runs = self.network is not None and (not self.network.address or self._is_running)
        same = self.applied_policy == policy and self.secrets == secrets
        return runs and same and time.monotonic() - self.checked_at_s < RULES_INTERVAL_S

    def count_start(self) -> None:
        """Count a start. The pause before the next start grows while Squid ends repeatedly."""
        now = time.monotonic()
        self.start_count = 1 if now - self.started_at_s > STABLE_AFTER_S else self.start_count + 1
        self.started_at_s, self.next_try_s = now, now + BACKOFF.delay_s(self.start_count)

    def has_ended(self) -> bool:
        """Return True if the Squid of this policy ran before and does not run."""
        return self.applied_policy is not None and self.squid is not None and not self._is_running


def _unsent_error(policy_id: str) -> FilterError:
    return FilterError(f"No Manager sent the web filter policy {policy_id} of the session.")


class WebFilters:
    """Creates, corrects and removes the filters. The account of the filters must have access to `folder`. `resolvers`
    are the name servers of the filters; empty = the name servers of the host. Log rows are sent through the outbox of
    `sessions`."""

    def __init__(
        self,
        runtime: FilterHost,
        sessions: Sessions,
        folder: Path,
        resolvers: tuple[str, ...] = (),
    ) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._folder = folder
        self._policies: dict[str, FilterPolicy] = {}
        self._filters: dict[str, _Filter] = {}
        self._policies_received = asyncio.Event()
        self._round_requested = asyncio.Event()
        self._squids = squids_of(runtime, folder, resolvers, self._round_requested.set)

    # From the Manager -----------------------------------------------------------------------------------------------

    def set_policies(self, policies: list[FilterPolicy]) -> None:
        """Set the policies. A policy that is in use and not in the list stays unchanged."""
        in_use = {policy_id: policy for policy_id, policy in self._policies.items() if policy_id in self._filters}
        self._policies = in_use | {policy.filter_policy_id: policy for policy in policies}
        self._store()
        self._policies_received.set()
        self._round_requested.set()

    def _store(self) -> None:
        part = self._folder / ".policies.json.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.touch(mode=0o600)
            part.write_bytes(msgspec.json.encode(list(self._policies.values())))
            part.replace(self._folder / "policies.json")
        except OSError as error:
            log.error("the web filter policies cannot be stored for the next start", reason=str(error))

    def load(self) -> None:
        """Load the policies that an earlier process of this Agent stored. Policies from a Manager have priority."""
        try:
            stored = msgspec.json.decode((self._folder / "policies.json").read_bytes(), type=list[FilterPolicy])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the stored web filter policies cannot be read; the Manager will send them", reason=str(error))
            return
        self._policies = {policy.filter_policy_id: policy for policy in stored} | self._policies

    # Before a session starts ----------------------------------------------------------------------------------------

    async def wait_until_ready(self, policy_id: str | None) -> None:
        """Wait until a session under this policy may start: its network is restricted and its filter runs. Raises
        GreenroomError: the filter cannot be created."""
        if policy_id is None:
            return
        await self._wait_for_policy(policy_id)
        while True:
            web_filter = self._filters.setdefault(policy_id, _Filter())
            async with web_filter.lock:
                if self._filters.get(policy_id) is web_filter:  # it was not removed during the wait
                    await self._ensure_current(web_filter, self._policies[policy_id])
                    return

    async def _wait_for_policy(self, policy_id: str) -> None:
        try:
            async with asyncio.timeout(POLICY_TIMEOUT_S):
                while policy_id not in self._policies:
                    self._policies_received.clear()
                    await self._policies_received.wait()
        except TimeoutError as error:
            raise _unsent_error(policy_id) from error

    async def _ensure_current(self, web_filter: _Filter, policy: FilterPolicy) -> None:
        secrets = self._secrets_of(policy.filter_policy_id)
        if web_filter.is_current(policy, secrets):
            return
        try:
            await self._apply(web_filter, policy, secrets)
        except OSError as error:
            raise FilterError(f"The web filter cannot be set up on this host: {reason_of(error)}") from error

    def _secrets_of(self, policy_id: str) -> tuple[FilterSecret, ...]:
        """Return the secrets that the filter of a policy adds to requests. A policy with secrets has one session."""
        for session_id, desired in self._sessions.desired.entries.items():
            spec = self._sessions.desired.spec(session_id) if desired.secrets else None
            if spec is not None and spec.filter_policy == policy_id:
                return desired.secrets
        return ()

    async def _apply(self, web_filter: _Filter, policy: FilterPolicy, secrets: tuple[FilterSecret, ...]) -> None:
        web_filter.adds_secrets = web_filter.adds_secrets or bool(secrets)
        account, trusts_authority = self._squids.account(), web_filter.adds_secrets
        web_filter.network = await self._runtime.open_filter_network(
            policy.filter_policy_id, account, trusts_authority=trusts_authority
        )
        if web_filter.network.address:
            squid = web_filter.squid = web_filter.squid or self._squids.squid_of(policy.filter_policy_id)
            before = squid.run_id
            await squid.apply(policy, web_filter.network, secrets)
            if squid.run_id != before:
                web_filter.count_start()
                if before is not None:  # Squid had ended, but this was not known before, or it did not answer
                    self._log_end(policy.filter_policy_id)
        web_filter.applied_policy, web_filter.secrets = policy, secrets
        web_filter.checked_at_s, web_filter.failures = time.monotonic(), 0

    async def trust_files(self, session_id: str, spec: SessionSpec) -> tuple[SessionFile, ...]:
        """Return the files that make a session trust the certificate authority of its filter; empty if the filter adds
        no secrets. Raises GreenroomError: the filter does not run, or cannot add secrets."""
        if spec.filter_policy is None:
            return ()
        await self.wait_until_ready(spec.filter_policy)
        web_filter = self._filters[spec.filter_policy]
        if web_filter.squid is None or not web_filter.adds_secrets:
            return ()
        bundles = await self._runtime.certificate_bundles(session_id) if isinstance(self._runtime, TrustStore) else {}
        return named_secrets.trust_files(web_filter.squid.authority(), bundles)

    # Rounds ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run rounds, forever. The filters continue to run when the Agent stops."""
        try:
            await self._adopt()
            while True:
                await wait_for(self._round_requested, ROUND_INTERVAL_S)
                self._round_requested.clear()
                await self._run_round()
        finally:
            for web_filter in self._filters.values():
                if web_filter.squid is not None:
                    web_filter.squid.stop_watching()

    async def _adopt(self) -> None:
        """Add the filters of an earlier process of this Agent, including a Squid whose network is missing."""
        for policy_id in self._squids.stored_policy_ids():
            self._filters.setdefault(policy_id, _Filter())
        while True:
            try:
                with convert_item_error("web filters"):
                    for network in await self._runtime.filter_networks():
                        self._filters.setdefault(network.policy_id, _Filter())
            except GreenroomError as error:
                log.warning(
                    "the web filters of this host cannot be listed", reason=error.message, next_try_s=BACKOFF.max_s
                )
                await asyncio.sleep(BACKOFF.max_s)
            else:
                return

    async def _run_round(self) -> None:
        for policy_id in self._policies_in_use():
            self._filters.setdefault(policy_id, _Filter())
        for policy_id, web_filter in list(self._filters.items()):
            if web_filter.lock.locked() or time.monotonic() < web_filter.next_try_s:
                continue
            async with web_filter.lock:
                await self._correct(policy_id, web_filter)
        containers = self._sessions.observed.containers
        self._report_denials(
            {
                container.address.rpartition(":")[0]: session_id
                for session_id, container in containers.items()
                if container.address
            }
        )

    def _policies_in_use(self) -> set[str]:
        specs = [self._sessions.desired.spec(session_id) for session_id in self._sessions.desired.entries]
        return {spec.filter_policy for spec in specs if spec is not None and spec.filter_policy is not None}

    async def _correct(self, policy_id: str, web_filter: _Filter) -> None:
        if web_filter.has_ended() and not web_filter.failures:  # a failure to start has its own log row
            self._log_end(policy_id)
        try:
            with convert_item_error("web filter policy", policy_id):
                if self._sessions.is_known and policy_id not in self._policies_in_use():
                    await self._remove(policy_id, web_filter)
                elif (policy := self._policies.get(policy_id)) is None:
                    self._check_policy_sent(policy_id, web_filter)
                elif self._may_write(policy_id, web_filter):
                    web_filter.unknown_since_s = None
                    await self._ensure_current(web_filter, policy)
        except GreenroomError as error:
            web_filter.failures += 1
            web_filter.next_try_s = time.monotonic() + BACKOFF.delay_s(web_filter.failures)
            policy_name = self._name(policy_id)
            message = f"The web filter of policy {policy_name} fails: {error.message}"
            details = {"policy_id": policy_id}
            self._sessions.outbox.log_line(LogCode.WEB_FILTER_DOWN, message, level="ERROR", details=details)

    def _check_policy_sent(self, policy_id: str, web_filter: _Filter) -> None:
        """Raise FilterError if no Manager has sent the policy of a session in time: its filter cannot be corrected."""
        if not self._sessions.is_known:
            return
        if web_filter.unknown_since_s is None:
            web_filter.unknown_since_s = time.monotonic()
        elif time.monotonic() - web_filter.unknown_since_s >= POLICY_TIMEOUT_S:
            raise _unsent_error(policy_id)

    def _log_end(self, policy_id: str) -> None:
        policy_name = self._name(policy_id)
        sentence = f"The web filter of policy {policy_name} ended or did not answer; it is started again."
        self._sessions.outbox.log_line(LogCode.WEB_FILTER_DOWN, sentence, details={"policy_id": policy_id})

    def _name(self, policy_id: str) -> str:
        policy = self._policies.get(policy_id)
        return policy.name if policy else policy_id

    def _may_write(self, policy_id: str, web_filter: _Filter) -> bool:
        """Return True if the configuration of the filter may be written. If an earlier process started a Squid with
        secrets, the configuration must not be written before the desired list, which contains these secrets."""
        if self._sessions.is_known:
            return True
        if web_filter.squid is None and policy_id in self._squids.stored_policy_ids():
            web_filter.squid = self._squids.squid_of(policy_id)
        return web_filter.squid is None or not web_filter.squid.adds_secrets

    async def _remove(self, policy_id: str, web_filter: _Filter) -> None:
        """Remove the network, and then the filter. Do nothing if the network has a container."""
        if not await self._runtime.close_filter_network(policy_id):
            return
        if web_filter.squid is None and policy_id in self._squids.stored_policy_ids():
            web_filter.squid = self._squids.squid_of(policy_id)
        if web_filter.squid is not None:
            await web_filter.squid.stop()
        del self._filters[policy_id]

    # Denials --------------------------------------------------------------------------------------------------------

    def _report_denials(self, session_ids: dict[str, str]) -> None:
        """Report the new denials of all filters. `session_ids`: address → session id."""
        for policy_id, web_filter in self._filters.items():
            try:
                with convert_item_error("denials", policy_id):
                    self._report_denials_of(web_filter, session_ids)
            except GreenroomError as error:
                log.warning("the denials of a web filter cannot be read", policy_id=policy_id, reason=error.message)

    def _report_denials_of(self, web_filter: _Filter, session_ids: dict[str, str]) -> None:
        if web_filter.squid is not None and web_filter.applied_policy is not None:
            denials = web_filter.squid.new_denials()
            for row in web_filter.denials.rows(web_filter.applied_policy, denials, session_ids.get, time.monotonic()):
                self._report_denial(row)

    def _report_denial(self, row: DenialRow) -> None:
        desired = self._sessions.desired.get(row.session_id) if row.session_id else None
        line = LogLine(
            at=time.time(),
            level=LogCode.WEB_FILTER_DENIED.level,
            code=str(LogCode.WEB_FILTER_DENIED),
            message=row.sentence,
            session_id=row.session_id,
            user_id=desired.authorised.user_id if desired and desired.authorised else None,
            details=row.details,
        )
        log.info(row.sentence, code=str(LogCode.WEB_FILTER_DENIED), session_id=row.session_id)
        self._sessions.outbox.add_log_line(line)
