"""The two ways to run the Squid of a policy: as a process on the Agent's host, or through the runtime (Kubernetes)."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from greenroom.agent.web_filter.denials import DenialLog
from greenroom.agent.web_filter.secret_files import FilterError, Owner
from greenroom.agent.web_filter.squid import ACCOUNT, Squid, SquidLocation, configuration, pages
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.named_secrets import FilterSecret
from greenroom.core.web_filter import CLOSED_PORT, FILTER_PORT, Denial, FilterPolicy, name_servers, parse_denial
from greenroom.kit.accounts import ensure_system_account
from greenroom.kit.concurrency import convert_item_error
from greenroom.runtimes.contract import FilterAccount, FilterHost, FilterNetwork, FilterRunner, RuntimeUnavailable

log = structlog.get_logger(__name__)

RESOLV_CONF: Final = Path("/etc/resolv.conf")
RECONNECT_S: Final = 2.0
NO_SECRETS: Final = "The session has secrets, but Agents in Kubernetes cannot add them to requests."
MAX_UNREAD_DENIALS: Final = 5_000
"""The maximum number of denials between two readings; older ones are dropped."""


class PolicySquid(Protocol):
    """The Squid of one policy."""

    @property
    def run_id(self) -> int | None:
        """A number that identifies the current run of Squid; None = Squid does not run."""
        ...

    @property
    def adds_secrets(self) -> bool:
        """True if Squid adds secrets to requests, including a Squid that an earlier process of the Agent started."""
        ...

    def authority(self) -> str:
        """Return the certificate (PEM) of this filter's authority. For hosts to which secrets are sent, the filter
        presents its own certificates, which this authority signs. Raises FilterError: this Squid cannot add secrets."""
        ...

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        """Start Squid, or apply a changed policy or changed secrets. Raises GreenroomError: Squid does not start or
        accept connections.
        """
        ...

    def new_denials(self) -> list[Denial]:
        """Return the denials since the last call."""
        ...

    async def stop(self) -> None: ...

    def stop_watching(self) -> None:
        """Stop watching Squid, which continues to run when this process ends."""
        ...


def squids_of(
    runtime: FilterHost, folder: Path, resolvers: tuple[str, ...], on_end: Callable[[], None]
) -> HostPolicySquids | RuntimePolicySquids:
    """Return the object that runs the filters for this runtime. `resolvers` are the name servers of the filters; empty
    = the name servers of the host. `on_end` is called when a Squid ends unexpectedly."""
    if isinstance(runtime, FilterRunner):
        return RuntimePolicySquids(runtime, resolvers, on_end)
    owner = filter_owner if runtime.filters_packets else own_account
    return HostPolicySquids(folder, owner, resolvers, on_end)


def host_name_servers() -> tuple[str, ...]:
    """Return the name servers of this host."""
    return tuple(name_servers([RESOLV_CONF.read_text(errors="replace")]))


# On the Agent's host --------------------------------------------------------------------------------------------------


def filter_owner() -> Owner:
    """Return the account of the filters. Create it if it is missing. Raises FilterError: the account cannot be created,
    or the Agent does not run as root."""
    if os.geteuid() != 0:
        raise FilterError("The session requires the web filter, so the Agent of this host must run as root.")
    try:
        account = ensure_system_account(ACCOUNT)
    except SetupError as error:
        raise FilterError(error.message) from error
    return Owner(account.pw_uid, account.pw_gid)


def own_account() -> Owner:
    """Return the Agent's account, for a runtime that does not filter packets."""
    return Owner(os.geteuid(), os.getegid())


class HostPolicySquids:
    """Runs the filters of all policies as processes of this host. The account of the filters must have access to
    `folder`."""

    def __init__(
        self, folder: Path, owner: Callable[[], Owner], resolvers: tuple[str, ...], on_end: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._resolvers = resolvers
        self._on_end = on_end

    def account(self) -> FilterAccount:
        return FilterAccount(uid=self._owner().uid, name_servers=self._resolvers or host_name_servers())

    def squid_of(self, policy_id: str) -> HostPolicySquid:
        owner = self._owner()
        self._folder.mkdir(parents=True, exist_ok=True)
        os.chown(self._folder, 0, owner.gid)
        self._folder.chmod(0o750)
        squid = Squid(self._folder / policy_id, owner, self._on_end)
        return HostPolicySquid(squid, self._resolvers or host_name_servers())

    def stored_policy_ids(self) -> list[str]:
        return [folder.name for folder in self._folder.glob("*/")]


class HostPolicySquid:
    """Implements `PolicySquid` with one process."""

    def __init__(self, squid: Squid, resolvers: tuple[str, ...]) -> None:
        self._squid = squid
        self._resolvers = resolvers
        self._log = DenialLog(squid.denials, squid.reopen_log)

    @property
    def run_id(self) -> int | None:
        return self._squid.pid

    @property
    def adds_secrets(self) -> bool:
        return self._squid.secret_files.in_use

    def authority(self) -> str:
        return self._squid.secret_files.authority().certificate

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        await self._squid.apply(policy, network.address, network.subnet, self._resolvers, secrets)

    def new_denials(self) -> list[Denial]:
        return self._log.read()

    async def stop(self) -> None:
        await self._squid.stop()

    def stop_watching(self) -> None:
        self._squid.stop_watching()


# By the runtime -------------------------------------------------------------------------------------------------------


class RuntimePolicySquids:
    """Runs the filters of all policies through the runtime."""

    def __init__(self, runner: FilterRunner, resolvers: tuple[str, ...], on_end: Callable[[], None]) -> None:
        self._runner = runner
        self._resolvers = resolvers
        self._on_end = on_end

    def account(self) -> FilterAccount:
        return FilterAccount(uid=os.geteuid(), name_servers=self._resolvers or host_name_servers())

    def squid_of(self, policy_id: str) -> RuntimePolicySquid:
        return RuntimePolicySquid(self._runner, policy_id, self._resolvers, self._on_end)

    def stored_policy_ids(self) -> list[str]:
        return []


class RuntimePolicySquid:
    """Implements `PolicySquid` with one Squid of the runtime, whose output this object reads while Squid runs."""

    def __init__(
        self, runner: FilterRunner, policy_id: str, resolvers: tuple[str, ...], on_end: Callable[[], None]
    ) -> None:
        self._runner = runner
        self._policy_id = policy_id
        self._resolvers = resolvers
        self._on_end = on_end
        self._numbers = itertools.count(1)
        self._run_id: int | None = None
        self._unread_denials: deque[Denial] = deque(maxlen=MAX_UNREAD_DENIALS)
        self._reader: asyncio.Task[None] | None = None

    @property
    def run_id(self) -> int | None:
        return self._run_id

    @property
    def adds_secrets(self) -> bool:
        return False

    def authority(self) -> str:
        raise FilterError(NO_SECRETS)

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        if secrets:
            raise FilterError(NO_SECRETS)
        folder = self._runner.filter_folder
        location = SquidLocation(
            listen_addresses=(str(FILTER_PORT), str(CLOSED_PORT)),
            subnet=network.subnet,
            pages=folder,
            folder=folder,
            log="/dev/stdout",
            resolvers=self._resolvers,
        )
        files = {"squid.conf": configuration(policy, location), **pages(policy)}
        if await self._runner.run_filter(self._policy_id, files) or self._run_id is None:
            self._stop_reader()  # the reader may still read the output of a run that has ended
            self._run_id = next(self._numbers)
            log.info("the web filter runs", policy=policy.name, address=network.address)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._follow(), name="output of a web filter")

    def new_denials(self) -> list[Denial]:
        denials = list(self._unread_denials)
        self._unread_denials.clear()
        return denials

    async def stop(self) -> None:
        """Stop reading the output. The runtime ends Squid when the network of the policy is closed."""
        self.stop_watching()

    def stop_watching(self) -> None:
        self._stop_reader()
        self._run_id = None

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _follow(self) -> None:
        while True:
            try:
                with convert_item_error("output of a web filter", self._policy_id):
                    async for line in self._runner.filter_output(self._policy_id):
                        if (denial := parse_denial(line)) is not None:
                            self._unread_denials.append(denial)
                break
            except RuntimeUnavailable as error:
                log.info("the output of a web filter cannot be read at the moment", reason=error.message)
                await asyncio.sleep(RECONNECT_S)
            except GreenroomError as error:
                log.info("a web filter has ended", policy_id=self._policy_id, reason=error.message)
                break
        self._run_id = None
        self._on_end()
