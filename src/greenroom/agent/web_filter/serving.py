"""The processes that run the Squid of a policy: the Agent on its own host, or its runtime if sessions are elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from greenroom.agent.web_filter.brokering import FilterError, Owner
from greenroom.agent.web_filter.denials import DenialLog
from greenroom.agent.web_filter.squid import ACCOUNT, Squid, SquidLocation, configuration, pages
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.named_secrets import FilterSecret
from greenroom.core.web_filter import CLOSED_PORT, PORT, Denial, FilterPolicy, name_servers, parse_denial
from greenroom.kit.accounts import system_account
from greenroom.kit.concurrency import one_item
from greenroom.runtimes.contract import FilterAccount, FilterHost, FilterNetwork, FilterRunner, RuntimeUnavailable

log = structlog.get_logger(__name__)

RESOLV_CONF: Final = Path("/etc/resolv.conf")
CONNECT_AGAIN_S: Final = 2.0
NO_SECRETS: Final = "The session has secrets, but Agents in Kubernetes cannot add them to requests."
MAX_REFUSED: Final = 5_000
"""Number of refusals between two looks; older ones are dropped."""


class Serving(Protocol):
    """The Squid of one policy."""

    @property
    def run(self) -> int | None:
        """The id of its current run; None = it does not run."""
        ...

    @property
    def brokers(self) -> bool:
        """True if a Squid adds secrets to requests, perhaps since an earlier process."""
        ...

    def authority(self) -> str:
        """The certificate of the authority that signs the certificates served in place of the hosts of secrets. Raises
        FilterError: no secrets can be added here."""
        ...

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        """Start the Squid, or make it read a changed policy or changed secrets. Raises GreenroomError: it does not
        serve, with the reason."""
        ...

    def refused(self) -> list[Denial]:
        """The denials since the last call."""
        ...

    async def stop(self) -> None: ...

    def leave(self) -> None:
        """Leave it running without this process."""
        ...


def servers_of(
    runtime: FilterHost, folder: Path, resolvers: tuple[str, ...], on_end: Callable[[], None]
) -> HostServers | RuntimeServers:
    """The servers for this runtime. `resolvers` are the filters' name servers, empty = the usual ones; `on_end` is
    called when a Squid ended without a request.
    """
    if isinstance(runtime, FilterRunner):
        return RuntimeServers(runtime, resolvers, on_end)
    owner = filter_owner if runtime.filters_packets else own_account
    return HostServers(folder, owner, resolvers, on_end)


def usual_name_servers() -> tuple[str, ...]:
    """The name servers of this host."""
    return tuple(name_servers([RESOLV_CONF.read_text(errors="replace")]))


# On the Agent's host --------------------------------------------------------------------------------------------------


def filter_owner() -> Owner:
    """The account of the filters, created if missing. Raises FilterError: it cannot be created; the Agent must run as
    root."""
    if os.geteuid() != 0:
        raise FilterError("The session requires the web filter, so the Agent of this host must run as root.")
    try:
        account = system_account(ACCOUNT)
    except SetupError as error:
        raise FilterError(error.message) from error
    return Owner(account.pw_uid, account.pw_gid)


def own_account() -> Owner:
    """The Agent's account, for hosts where no packets are filtered."""
    return Owner(os.geteuid(), os.getegid())


class HostServers:
    """The filters of all policies as processes of this host; their account must be able to reach `folder`."""

    def __init__(
        self, folder: Path, owner: Callable[[], Owner], resolvers: tuple[str, ...], on_end: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._resolvers = resolvers
        self._on_end = on_end

    def account(self) -> FilterAccount:
        return FilterAccount(uid=self._owner().uid, name_servers=self._resolvers or usual_name_servers())

    def of(self, policy_id: str) -> HostServing:
        owner = self._owner()
        self._folder.mkdir(parents=True, exist_ok=True)
        os.chown(self._folder, 0, owner.gid)
        self._folder.chmod(0o750)
        squid = Squid(self._folder / policy_id, owner, self._on_end)
        return HostServing(squid, self._resolvers or usual_name_servers())

    def left(self) -> list[str]:
        return [folder.name for folder in self._folder.glob("*/")]


class HostServing:
    """Implements `Serving` with one process."""

    def __init__(self, squid: Squid, resolvers: tuple[str, ...]) -> None:
        self._squid = squid
        self._resolvers = resolvers
        self._log = DenialLog(squid.denials, squid.reopen_log)

    @property
    def run(self) -> int | None:
        return self._squid.pid

    @property
    def brokers(self) -> bool:
        return self._squid.brokering.in_use

    def authority(self) -> str:
        return self._squid.brokering.authority().certificate

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        await self._squid.apply(policy, network.address, network.subnet, self._resolvers, secrets)

    def refused(self) -> list[Denial]:
        return self._log.read()

    async def stop(self) -> None:
        await self._squid.stop()

    def leave(self) -> None:
        self._squid.leave()


# By the runtime -------------------------------------------------------------------------------------------------------


class RuntimeServers:
    """The filters of all policies, run by the runtime."""

    def __init__(self, runner: FilterRunner, resolvers: tuple[str, ...], on_end: Callable[[], None]) -> None:
        self._runner = runner
        self._resolvers = resolvers
        self._on_end = on_end

    def account(self) -> FilterAccount:
        return FilterAccount(uid=os.geteuid(), name_servers=self._resolvers or usual_name_servers())

    def of(self, policy_id: str) -> RuntimeServing:
        return RuntimeServing(self._runner, policy_id, self._resolvers, self._on_end)

    def left(self) -> list[str]:
        return []


class RuntimeServing:
    """Implements `Serving` with one Squid of the runtime, whose output is followed while it runs."""

    def __init__(
        self, runner: FilterRunner, policy_id: str, resolvers: tuple[str, ...], on_end: Callable[[], None]
    ) -> None:
        self._runner = runner
        self._policy_id = policy_id
        self._resolvers = resolvers
        self._on_end = on_end
        self._numbers = itertools.count(1)
        self._run: int | None = None
        self._refused: deque[Denial] = deque(maxlen=MAX_REFUSED)
        self._following: asyncio.Task[None] | None = None

    @property
    def run(self) -> int | None:
        return self._run

    @property
    def brokers(self) -> bool:
        return False

    def authority(self) -> str:
        raise FilterError(NO_SECRETS)

    async def apply(self, policy: FilterPolicy, network: FilterNetwork, secrets: Sequence[FilterSecret] = ()) -> None:
        if secrets:
            raise FilterError(NO_SECRETS)
        folder = self._runner.filter_folder
        place = SquidLocation(
            listens=(str(PORT), str(CLOSED_PORT)),
            subnet=network.subnet,
            pages=folder,
            folder=folder,
            log="/dev/stdout",
            resolvers=self._resolvers,
        )
        files = {"squid.conf": configuration(policy, place), **pages(policy)}
        if await self._runner.run_filter(self._policy_id, files) or self._run is None:
            self._stop_following()  # it may have ended: the end of its output arrives late
            self._run = next(self._numbers)
            log.info("the web filter runs", policy=policy.name, address=network.address)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow(), name="output of a web filter")

    def refused(self) -> list[Denial]:
        found = list(self._refused)
        self._refused.clear()
        return found

    async def stop(self) -> None:
        """Do nothing else: the runtime ends the Squid with its network."""
        self.leave()

    def leave(self) -> None:
        self._stop_following()
        self._run = None

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self) -> None:
        while True:
            try:
                with one_item("output of a web filter", self._policy_id):
                    async for line in self._runner.filter_output(self._policy_id):
                        if (denial := parse_denial(line)) is not None:
                            self._refused.append(denial)
                break
            except RuntimeUnavailable as error:
                log.info("the output of a web filter cannot be read at the moment", reason=error.message)
                await asyncio.sleep(CONNECT_AGAIN_S)
            except GreenroomError as error:
                log.info("a web filter has ended", policy_id=self._policy_id, reason=error.message)
                break
        self._run = None
        self._on_end()
