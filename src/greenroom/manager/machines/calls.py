"""Calls providers of machines, with a time limit. A failure is stored as a sentence. Each write has the fencing token.

A machine is requested once. If the request failed without a clear refusal by the provider, the machine may appear
later; a listing finds it by its name.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.model import EndMachine, ListedMachines, OrderState, OrderTransition, RequestMachine
from greenroom.core.fleet.machines.provider import (
    JoinParameters,
    is_usable_ref,
    machine_name,
    machines_of_pool,
    name_prefix,
    provider_text,
    user_data,
)
from greenroom.db.fleet import machine_orders
from greenroom.db.fleet.leadership import guarded
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.kit.environment import load_settings
from greenroom.kit.secrets import Secrets
from greenroom.machine_providers.contract import JoinData, NewMachine, Provider, ProviderError
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin, find_provider
from greenroom.manager.tasks.context import PrimaryContext

PROVIDER_CALL_TIMEOUT_S: Final = 60.0
"""Time limit of one call of a provider."""


class Providers:
    """The providers of the pools. A provider is reused until the settings of its pool change."""

    trusted: tuple[AllowedHost, ...] = ()
    """The hosts of the setting `webhook_hosts`."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._plugins: dict[str, ProviderPlugin[Any]] = {}
        self._cached: dict[str, tuple[object, Provider]] = {}

    def of(self, pool: MachinePoolRow) -> Provider:
        """Return the provider of a pool. Raises GreenroomError: it is not installed, or its settings or the pool's
        secrets cannot be used."""
        settings = (pool.provider, pool.options, pool.secrets, self.trusted)
        cached = self._cached.get(pool.machine_pool_id)
        if cached is None or cached[0] != settings:
            cached = settings, self._new(pool)
            self._cached[pool.machine_pool_id] = cached
        return cached[1]

    def secrets_of(self, pool: MachinePoolRow) -> dict[str, str]:
        """Return the secrets of a pool in plain text. Raises SetupError: they were encrypted with another key."""
        return {name: self._secrets.unseal(sealed) for name, sealed in pool.secrets.items()}

    def _new(self, pool: MachinePoolRow) -> Provider:
        if pool.provider not in self._plugins:
            plugin_type = find_provider(pool.provider)
            self._plugins[pool.provider] = plugin_type(pool.provider, load_settings(plugin_type.settings_type))
        return self._plugins[pool.provider].provider(
            PoolContext(
                machine_pool_id=pool.machine_pool_id,
                options=pool.options,
                secrets=self.secrets_of(pool),
                call_timeout_s=PROVIDER_CALL_TIMEOUT_S,
                trusted_hosts=self.trusted,
            )
        )


T = TypeVar("T")
log = structlog.get_logger(__name__)

MAX_CALLS_PER_POOL: Final = 4
"""Maximum number of simultaneous calls for one pool, so that a provider that hangs does not delay other pools."""


@dataclass(frozen=True, slots=True)
class ProviderCallOutcome:
    """The outcome of a call. `error`: None after a success. `order_failure`: the reason why the order of the call
    failed. `listing`: the machines of the provider, after a successful listing."""

    machine_pool_id: str
    error: str | None = None
    retry_after_s: float = 0.0
    order_failure: str | None = None
    listing: ListedMachines | None = None


class Calls:
    """Calls providers, a few at a time."""

    def __init__(self, providers: Providers, installation_id: str, timeout_s: float = PROVIDER_CALL_TIMEOUT_S) -> None:
        self._providers = providers
        self._installation_id = installation_id
        self._timeout_s = timeout_s
        self._limits = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(MAX_CALLS_PER_POOL))

    async def list(self, pool: MachinePoolRow) -> ProviderCallOutcome:
        """Return the machines of the pool. Their time is `pool.now`, the time at which the row was read."""
        prefix = name_prefix(self._installation_id, pool.machine_pool_id)
        try:
            listed = await self._call(pool, lambda provider: provider.list(prefix), "list its machines")
        except GreenroomError as error:
            return _outcome(pool, error)
        pairs = [(machine.ref, machine.name) for machine in listed]
        machines = machines_of_pool(self._installation_id, pool.machine_pool_id, pairs)
        return ProviderCallOutcome(pool.machine_pool_id, listing=ListedMachines(pool.now, machines))

    async def create(self, ctx: PrimaryContext, pool: MachinePoolRow, action: RequestMachine) -> ProviderCallOutcome:
        """Request a machine, once. Raises LeaseLost: the term is over."""
        async with guarded(ctx.db, ctx.fence) as connection:
            if not await machine_orders.record_call(connection, action.machine_order_id):
                return ProviderCallOutcome(pool.machine_pool_id)
        outcome = ProviderCallOutcome(pool.machine_pool_id)
        try:
            machine = new_machine(pool, self._installation_id, action.machine_order_id, ctx.secrets)
            ref = await self._call(pool, lambda provider: provider.create(machine), "create a machine")
            if not is_usable_ref(ref):
                raise ProviderError("The provider returned a reference of the new machine that cannot be stored.")
            transition = OrderTransition(
                action.machine_order_id, OrderState.CREATED, f"the provider creates it as {ref}", ref
            )
        except GreenroomError as error:
            outcome = _outcome(pool, error)
            if not isinstance(error, ProviderError) or not error.refused:
                async with guarded(ctx.db, ctx.fence) as connection:
                    await machine_orders.record_unconfirmed_call(connection, action.machine_order_id, error.message)
                return outcome
            outcome = ProviderCallOutcome(
                pool.machine_pool_id, outcome.error, outcome.retry_after_s, order_failure=error.message
            )
            transition = OrderTransition(action.machine_order_id, OrderState.ENDED, error.message, failed=True)
        async with guarded(ctx.db, ctx.fence) as connection:
            await machine_orders.apply_transition(connection, transition)
        return outcome

    async def end(self, pool: MachinePoolRow, action: EndMachine) -> ProviderCallOutcome:
        """Request the end of a machine. Its end is confirmed by a listing."""
        name = machine_name(self._installation_id, pool.machine_pool_id, action.machine_order_id)
        try:
            verb_phrase = f"end the machine {action.ref}"
            await self._call(pool, lambda provider: provider.end(action.ref, name), verb_phrase)
        except GreenroomError as error:
            return _outcome(pool, error)
        return ProviderCallOutcome(pool.machine_pool_id)

    async def _call(self, pool: MachinePoolRow, call: Callable[[Provider], Awaitable[T]], verb_phrase: str) -> T:
        """Call the provider of a pool within the time limit. The sentence about a failure contains `verb_phrase`.
        Raises GreenroomError: the call failed. No other exception is raised, because a round serves all pools."""
        async with self._limits[pool.machine_pool_id]:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await call(self._providers.of(pool))
            except GreenroomError:
                raise
            except TimeoutError as error:
                raise ProviderError(f"The provider did not {verb_phrase} within {self._timeout_s:g} s.") from error
            except (OSError, ExceptionGroup) as error:
                raise ProviderError(
                    f"The provider did not {verb_phrase}: {provider_text(str(error)) or 'no reason'}."
                ) from error
            except Exception as error:  # its message may contain secrets
                frame = traceback.extract_tb(error.__traceback__)[-1]
                log.error(
                    "a call of a provider failed unexpectedly",
                    machine_pool=pool.name,
                    error=type(error).__name__,
                    where=f"{frame.filename}:{frame.lineno}",
                )
                raise ProviderError(f"The provider did not {verb_phrase}: {type(error).__name__}.") from error


def _outcome(pool: MachinePoolRow, error: GreenroomError) -> ProviderCallOutcome:
    retry_after_s = error.retry_after_s if isinstance(error, ProviderError) else 0.0
    return ProviderCallOutcome(pool.machine_pool_id, error.message, retry_after_s)


def new_machine(pool: MachinePoolRow, installation_id: str, machine_order_id: str, secrets: Secrets) -> NewMachine:
    """Return the machine to request from the provider."""
    name = machine_name(installation_id, pool.machine_pool_id, machine_order_id)
    token = secrets.machine_token(machine_order_id)
    joining = JoinParameters(
        name=name,
        zone_name=pool.zone_name,
        join_url=pool.join_url,
        public_url=pool.public_url,
        token=token,
        ca_sha256=pool.ca_sha256,
        edge_url=pool.edge_url,
    )
    return NewMachine(
        name=name,
        cores=pool.cores,
        memory=pool.memory,
        user_data=user_data(joining),
        join=JoinData(
            url=pool.join_url, token=token, ca_sha256=pool.ca_sha256, edge_url=pool.edge_url, zone=pool.zone_name
        ),
    )


class CallsInProgress:
    """The calls of providers in progress. `on_end` is called at the end of each call."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._tasks: dict[asyncio.Task[ProviderCallOutcome], str] = {}

    @property
    def pools(self) -> frozenset[str]:
        """The ids of the pools with calls that have not ended, or whose outcomes were not returned yet."""
        return frozenset(self._tasks.values())

    def begin(self, machine_pool_id: str, call: Coroutine[Any, Any, ProviderCallOutcome]) -> None:
        task = asyncio.create_task(call, name=f"provider of {machine_pool_id}")
        self._tasks[task] = machine_pool_id
        task.add_done_callback(lambda _: self._on_end())

    async def outcomes(self, within_s: float) -> list[ProviderCallOutcome]:
        """Wait up to this time for the end of a call. Return the outcomes of all calls that have ended, each once.
        Raises ExceptionGroup: the term is over, or the database cannot be reached. Other outcomes are kept."""
        if not self._tasks:
            return []
        ended, _ = await asyncio.wait(self._tasks, timeout=within_s)
        failed = {task: error for task in ended if isinstance(error := task.exception(), Exception)}
        for task in failed or ended:
            del self._tasks[task]
        if failed:
            raise ExceptionGroup("calls of providers failed", list(failed.values()))
        return [task.result() for task in ended]

    async def stop(self) -> None:
        """Cancel all calls. A requested machine may still appear, and is found by its name."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
