"""The runtime of the Agent and the parts that use it.

The runtime needs the id of the installation, which the first registration returns. The identity file contains it, so
that a restarted Agent opens the runtime without waiting for a Manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from greenroom.agent.app import AgentHealth, AgentMetrics
from greenroom.agent.capacity import NO_CAPACITY, CapacityMeter, DiskGuard, HostLimits, free_disk, keep_failure
from greenroom.agent.changes import ContainerChanges
from greenroom.agent.concurrency import Workers
from greenroom.agent.copying import ImageReceiver
from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import ManagerClient
from greenroom.agent.homes import HomesKeeper
from greenroom.agent.images import ImageKeeper
from greenroom.agent.reconciler import Executor, Reconciler
from greenroom.agent.session.commands import Commands
from greenroom.agent.session.handover import Handovers
from greenroom.agent.session.inventory import RETRY_S, Inventory
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.prober import ProbeTimeLimits, SessionProber
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.starts import Starts
from greenroom.agent.web_filter.filters import WebFilters
from greenroom.core.errors import GreenroomError, RestartRequired, SetupError
from greenroom.core.fleet.disk import shortage
from greenroom.core.fleet.liveness import Lateness
from greenroom.core.log_codes import LogCode
from greenroom.core.web_filter import FilterPolicy
from greenroom.kit.clock import LatenessMeter
from greenroom.kit.concurrency import Loop, keep_running, wait_for, warn_of_item_error
from greenroom.kit.config import AgentConfig
from greenroom.runtimes.contract import (
    FilterHost,
    HomeHost,
    HostDisk,
    ImageCopyHost,
    Runtime,
    RuntimeUnavailable,
    SharedKernel,
)
from greenroom.runtimes.host_folders import HostFolders
from greenroom.runtimes.host_homes import HostHomes
from greenroom.runtimes.plugin import Context
from greenroom.runtimes.registry import open_runtime
from greenroom.wire.fields import HomeRemoval, HomeReport
from greenroom.wire.messages import DesiredImage, ImageReport, ReportedCapacity, Usage

log = structlog.get_logger(__name__)

READY_TIMEOUT_S = 5.0


@dataclass(eq=False, kw_only=True)
class HostServices:
    """Opens the runtime, runs the loops that use it, and provides the data about the host for the check-in. `fence` is
    passed to the runtime: it raises RuntimeUnavailable while another replica of this Agent acts. `streams_closed` waits
    until the websockets of an ended session are closed."""

    config: AgentConfig
    identity: AgentIdentity
    manager_client: ManagerClient
    sessions: Sessions
    journal: Journal
    health: AgentHealth
    metrics: AgentMetrics
    streams_closed: Callable[[str], Awaitable[None]]
    fence: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._installation_id = self.identity.installation_id
        self._lateness = LatenessMeter()
        self._installation_known = asyncio.Event()
        self._inspected = asyncio.Event()
        self.runtime: Runtime | None = None
        self._images: ImageKeeper | None = None
        self._homes: HomesKeeper | None = None
        self._removals: list[HomeRemoval] = []
        self._desired_images: list[DesiredImage] | None = None
        self._filters: WebFilters | None = None
        self._policies: list[FilterPolicy] | None = None
        self._meter: CapacityMeter | None = None
        self.loops: dict[str, Loop] = {}
        """The loops of the opened runtime, by name."""
        if self._installation_id:
            self._installation_known.set()

    # For the check-in ---------------------------------------------------------------------------------------------

    async def wait_until_inspected(self) -> None:
        """Wait for the first inspection of the host, at most `READY_TIMEOUT_S`."""
        if not await wait_for(self._inspected, READY_TIMEOUT_S):
            log.warning("the runtime was not ready in time; the first check-in has no inventory")

    def set_installation(self, installation_id: str) -> None:
        """Set the installation of this Agent after a registration, and report all images and homes again, because the
        Manager has no reports yet. Raises RestartRequired: the Agent belonged to another installation before.
        """
        if self._installation_id not in {"", installation_id}:
            raise RestartRequired("This Agent now belongs to another installation and starts again.")
        self._installation_id = installation_id
        self._installation_known.set()
        if self._images:
            self._images.report_all_again()
        if self._homes:
            self._homes.report_all_again()

    def capacity(self) -> ReportedCapacity:
        return self._meter.capacity if self._meter else NO_CAPACITY

    def usage(self) -> Usage:
        return self._meter.usage if self._meter else Usage()

    def lateness(self) -> Lateness:
        return self._lateness.current()

    def runtime_error(self) -> str:
        """Return the reason why the runtime does not answer; empty if it answers."""
        return self._meter.runtime_error if self._meter else self.health.runtime_error

    def images(self) -> list[ImageReport] | None:
        """Return the images, or None if they have not changed since the last report that arrived."""
        return self._images.report() if self._images else None

    def images_reported(self, images: list[ImageReport]) -> None:
        """Record that this report of the images arrived at the Manager. A newer report may be in transit."""
        if self._images:
            self._images.reported(images)

    def set_desired_images(self, images: list[DesiredImage]) -> None:
        self._desired_images = images
        if self._images:
            self._images.set_desired(images)

    def set_filter_policies(self, policies: list[FilterPolicy]) -> None:
        self._policies = policies
        if self._filters:
            self._filters.set_policies(policies)

    def homes(self) -> list[HomeReport] | None:
        """Return the kept homes, or None if no report is due."""
        return self._homes.report() if self._homes else None

    def homes_reported(self, homes: list[HomeReport]) -> None:
        """Record that this report of the homes arrived at the Manager."""
        if self._homes:
            self._homes.reported(homes)

    def set_homes_to_remove(self, removals: list[HomeRemoval]) -> None:
        self._removals = removals
        if self._homes:
            self._homes.set_removal_orders(removals)

    # The work -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the runtime as soon as the installation is known, and run its loops forever."""
        await self._installation_known.wait()
        runtime = await self._create_runtime()
        await self._open(runtime)
        self.runtime = runtime
        try:
            await self._run_loops(runtime)
        finally:
            await runtime.close()

    async def _create_runtime(self) -> Runtime:
        """Create the runtime. After an error of the settings, try again, because an administrator may correct them
        while this process runs, for example add a kubeconfig."""
        while True:
            try:
                return open_runtime(self.config.runtime, self._context())
            except SetupError as error:
                await self._wait_after(error)

    def _context(self) -> Context:
        config = self.config
        return Context(
            installation_id=self._installation_id,
            agent_id=self.identity.agent_id,
            folder=config.agent_dir,
            share=config.share,
            connections_max=config.session_connections,
            runtime_classes=config.extra_runtime_classes(),
            fence=self.fence,
            folders=HostFolders(
                private=config.private_folders(),
                allowed=config.mountable_folders(),
                volumes_folder=config.own_volumes(),
                homes=HostHomes(config.homes_path()),
            ),
        )

    async def _open(self, runtime: Runtime) -> None:
        while True:
            try:
                await runtime.open()
            except RuntimeUnavailable as error:
                await self._wait_after(error)
            else:
                self.health.runtime_error = ""
                return

    async def _wait_after(self, error: GreenroomError) -> None:
        self.health.runtime_error = error.message
        self._inspected.set()
        log.warning("the runtime cannot be opened", reason=error.message, next_try_s=RETRY_S)
        await asyncio.sleep(RETRY_S)

    async def _run_loops(self, runtime: Runtime) -> None:
        sessions, journal = self.sessions, self.journal
        inventory = Inventory(runtime, sessions, self.identity.agent_id, self.health)
        images = self._images = ImageKeeper(runtime, sessions.outbox.request_report, self._image_receiver(runtime))
        if self._desired_images is not None:
            images.set_desired(self._desired_images)
        filters = self._filters = self._web_filters(runtime) if isinstance(runtime, FilterHost) else None
        meter = self._meter = CapacityMeter(
            runtime,
            self.identity.hostname,
            sessions.outbox.log_line,
            disk_kept_bytes=self.config.disk_kept_bytes,
            on_read=self.health.set_runtime_error,
        )
        limits = None
        if isinstance(runtime, SharedKernel):
            limits = HostLimits(self.identity.hostname, sessions.outbox.log_line, runtime.count_containers)
        explain = limits.explain_failure if limits else keep_failure
        await self._inspect_host(inventory, images, meter)
        time_limits = ProbeTimeLimits(self._lateness.current)
        starts = Starts(
            sessions,
            self._lateness.current,
            lambda: meter.capacity.cores,
            on_other_machines=lambda: meter.on_other_machines,
        )
        reconciler = Reconciler(sessions, inventory, self.health)
        async with asyncio.TaskGroup() as group:
            workers = Workers(group, reconciler.worker_done)
            handovers = Handovers(runtime, sessions, journal, time_limits)
            sessions.acknowledged.subscribe(handovers.acknowledged)
            executor = Executor(
                changes=ContainerChanges(
                    runtime,
                    sessions,
                    inventory,
                    images,
                    filters,
                    streams_closed=self.streams_closed,
                    explain_failure=explain,
                    disk_shortage=lambda: shortage(self.identity.hostname, free_disk(meter.usage)),
                ),
                sessions=sessions,
                inventory=inventory,
                commands=Commands(runtime, sessions, journal),
                handovers=handovers,
                starts=starts,
                workers=workers,
                metrics=self.metrics,
            )
            prober = SessionProber(
                runtime,
                sessions,
                workers,
                self.metrics,
                time_limits,
                interval_s=self.config.probe_interval_s,
                explain_failure=explain,
            )
            self.loops = {
                "events": inventory.watch,
                "inventory": partial(reconciler.take_inventory, workers),
                "inspect": partial(reconciler.inspect_changed, workers),
                "reconcile": partial(reconciler.run, executor, prober),
                "images": images.run,
                "capacity": meter.run,
                "lateness": self._lateness.run,
                "starts": starts.run,
            }
            if isinstance(runtime, HomeHost):
                outbox = sessions.outbox
                keeper = self._homes = HomesKeeper(runtime.homes, outbox.request_report, outbox.log_line)
                keeper.set_removal_orders(self._removals)
                self.loops["homes"] = keeper.run
            if filters is not None:
                self.loops["web filters"] = filters.run
            if isinstance(runtime, HostDisk):
                disk = DiskGuard(runtime, runtime, sessions, self.identity.hostname, lambda: meter.usage)
                self.loops["disk"] = disk.run
            if limits is not None:
                self.loops["limits"] = limits.run
            log_failure = partial(sessions.outbox.log_line, LogCode.LOOP_FAILED)
            for name, loop in self.loops.items():
                group.create_task(keep_running(name, loop, log_failure), name=name)

    def _image_receiver(self, runtime: Runtime) -> ImageReceiver | None:
        if not isinstance(runtime, ImageCopyHost):
            return None
        return ImageReceiver(
            runtime.image_archives(), self.identity, self.manager_client, self.config.agent_dir, self.usage
        )

    def _web_filters(self, runtime: FilterHost) -> WebFilters:
        filters = WebFilters(
            runtime,
            self.sessions,
            self.config.web_filter_dir or self.config.agent_dir / "web-filter",
            self.config.filter_resolvers(),
        )
        filters.load()
        if self._policies is not None:
            filters.set_policies(self._policies)
        return filters

    async def _inspect_host(self, inventory: Inventory, images: ImageKeeper, meter: CapacityMeter) -> None:
        """Read the state of the host for the first check-in. After a failure, the loops read it again."""
        with warn_of_item_error(log, "the host could not be inspected", "host"):
            await inventory.take()
            await images.read_images()
            await meter.read()
        self._inspected.set()
