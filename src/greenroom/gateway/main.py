"""The gateway: the parent process of nginx. It converts the plan file into the configuration of nginx and runs nginx.

This process owns the listening sockets and nginx inherits them, so all ports stay open when nginx is killed or
replaced. A changed plan or a renewed certificate takes effect within `2 * CHECK_INTERVAL_S`: a new nginx starts, and
the old nginx gets the signal QUIT when the new one serves. An invalid plan is logged, and the old nginx continues.

After kill -9 of the nginx master, its workers become children of this process (a child subreaper). A new master starts
on the same sockets, and the workers get QUIT, so open desktops continue. After kill -9 of this process, its nginx
continues to serve. The next gateway process with the same folder opens the same ports (SO_REUSEPORT), and sends the old
nginx QUIT when its own nginx serves. After SIGTERM or SIGINT, every nginx of this folder ends at once, open desktops
are disconnected, and the exit code is 0. After SIGQUIT, nginx drains.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.errors import SetupError
from greenroom.gateway import health
from greenroom.gateway.agents import Admissions, AgentLinks
from greenroom.gateway.api_client import RequestReporter, WaitingRoom
from greenroom.gateway.health import GatewayMetrics
from greenroom.gateway.nginx import (
    REQUESTS_SOCKET,
    WAITING_SOCKET,
    Listeners,
    Nginx,
    install_configuration,
    nginx_conf,
    nginx_processes,
    superseded,
)
from greenroom.gateway.plan import GatewayPlan, read_plan
from greenroom.gateway.plan_writer import PlanWriter
from greenroom.kit import config as kit_config
from greenroom.kit import environment, stops
from greenroom.kit.concurrency import wait_for
from greenroom.kit.processes import become_subreaper, collect_ended_children, send_signal
from greenroom.kit.serving import serve_until_cancelled
from greenroom.kit.tcp import StreamTerminator

log = structlog.get_logger(__name__)

LOOPBACK: Final = "127.0.0.1"
CHECK_INTERVAL_S: Final = 0.5
"""The interval of the checks of the plan file and the certificates."""
PROBE_INTERVAL_S: Final = 2.0
MAX_FAILED_PROBES: Final = 3
RESTART_PAUSE_S: Final = 1.0
RETRY_PAUSE_S: Final = 30.0
"""The pause after a change that could not be served, for example because the disk is full or a port is in use."""
TERMINATION_TIMEOUT_S: Final = 5.0


class Gateway:
    """Runs nginx with the plan in a file. `folder` is an absolute path, the prefix of nginx, and belongs to this
    account. `workers` and `connections` are arguments of `nginx_conf`.
    """

    def __init__(self, plan_file: Path, folder: Path, *, workers: int = 0, connections: int = 0) -> None:
        self._plan_file = plan_file
        self._workers, self._connections = workers, connections
        self._folder = folder
        self._listeners = Listeners()
        self._plan: GatewayPlan | None = None
        self._last_identities: Identities = ()
        self._tried_identities: Identities = ()
        self._refused_at_s: float | None = None
        self._nginx: Nginx | None = None
        self._starts = 0
        self._failed_probes = 0
        self._retired: set[int] = set()
        self._wake = asyncio.Event()
        self._end_signal: signal.Signals | None = None
        self.reporter = RequestReporter(folder / REQUESTS_SOCKET)
        self.waiting_room = WaitingRoom(folder / WAITING_SOCKET, lambda: self._plan.api if self._plan else "")
        self.metrics = GatewayMetrics(
            nginx=lambda: self._nginx.pid if self._nginx else None, plan=lambda: self._plan, reporter=self.reporter
        )

    @property
    def plan(self) -> GatewayPlan | None:
        return self._plan

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGQUIT. Raises SetupError, with the reason: the first plan cannot be
        served."""
        become_subreaper()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._wake.set)
        for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(signal_number, self._request_end, signal_number)
        try:
            self._read_plan()
            await self._start()
            while self._end_signal is None:
                await self._round()
        finally:
            await self._stop_all(self._end_signal or signal.SIGTERM)

    async def _round(self) -> None:
        await wait_for(self._wake, CHECK_INTERVAL_S)
        self._wake.clear()
        ended = collect_ended_children()
        if self._nginx is not None and self._nginx.pid in ended:
            log.error("nginx ended; it is started again", pid=self._nginx.pid, status=ended[self._nginx.pid])
            self._nginx = None
        if self._end_signal is None:
            await self._follow_plan()
            if self._nginx is None or self._failed_probes >= MAX_FAILED_PROBES:
                await self._start()
            elif ended:
                self._retire_superseded()

    async def _follow_plan(self) -> None:
        """Serve the plan file and the certificates if they changed.

        Certificate and key are two files, so a change is served when both files were unchanged for one round. A change
        that cannot be served is tried again after `RETRY_PAUSE_S`.
        """
        previous, self._last_identities = self._last_identities, self._identities()
        is_due = self._refused_at_s is not None and time.monotonic() - self._refused_at_s >= RETRY_PAUSE_S
        if (self._last_identities == self._tried_identities and not is_due) or self._last_identities != previous:
            return
        self._tried_identities = self._last_identities
        try:
            self._read_plan()
        except SetupError as error:
            self._refused_at_s = time.monotonic()
            log.error(
                "the changed plan is not served; the previous plan stays in use",
                reason=error.message,
                next_try_s=RETRY_PAUSE_S,
            )
        else:
            self._refused_at_s = None
            await self._start()

    def _read_plan(self) -> None:
        """Read the plan file, and prepare the next nginx with the plan. Raises SetupError: the plan cannot be served;
        nothing was changed."""
        plan_file = _file_identity(self._plan_file)
        plan = read_plan(self._plan_file)
        self._prepare_next_nginx(plan)
        self._last_identities = self._tried_identities = (plan_file, *map(_file_identity, plan.files))

    def _identities(self) -> Identities:
        return tuple(_file_identity(path) for path in (self._plan_file, *(self._plan.files if self._plan else ())))

    def _prepare_next_nginx(self, plan: GatewayPlan) -> None:
        """Write the configuration and open the sockets for the next nginx. Raises SetupError: the plan cannot be
        served; nothing was changed."""
        check_sentinels(plan)
        has_earlier_nginx = self._nginx is None and bool(nginx_processes(self._folder))
        text = nginx_conf(
            plan,
            str(self._folder),
            max_files=_max_files(),
            workers=self._workers,
            connections=self._connections,
        )
        install_configuration(self._folder, text)
        self._listeners.ensure(plan.listeners, shares_ports=has_earlier_nginx)
        self._plan = plan
        self.reporter.set_plan(plan)

    async def _start(self) -> None:
        """Start an nginx on the sockets of this process. When it serves, send earlier nginx processes QUIT."""
        self._starts += 1
        self._failed_probes = 0
        candidate = Nginx(self._folder, self._starts % 2)
        if not await candidate.start(self._listeners):
            log.error("nginx did not start; it is tried again", pause_s=RESTART_PAUSE_S)
            await asyncio.sleep(RESTART_PAUSE_S)
            return
        self._nginx = candidate
        self.metrics.starts.inc()
        log.info("nginx serves", pid=candidate.pid)
        self._retire_superseded()

    def _retire_superseded(self) -> None:
        """Send the earlier nginx processes QUIT, each once."""
        if self._nginx is None:
            return
        for pid in superseded(nginx_processes(self._folder), self._nginx.pid):
            if pid not in self._retired:
                self._retired.add(pid)
                log.info("a previous nginx finishes its connections and ends", pid=pid)
                send_signal(pid, signal.SIGQUIT)
        self._retired &= {process.pid for process in nginx_processes(self._folder)}

    async def probe(self) -> None:
        """Probe nginx, forever. After `MAX_FAILED_PROBES` consecutive failures, nginx is replaced."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL_S)
            failure = await health.nginx_failure(self._plan) if self._plan and self._nginx else None
            self._failed_probes = self._failed_probes + 1 if failure else 0
            self.metrics.probes.labels("failed" if failure else "answered").inc()
            if failure:
                log.warning("nginx does not answer", times=self._failed_probes, reason=failure)

    def _request_end(self, signal_number: signal.Signals) -> None:
        self._end_signal = signal_number
        self._wake.set()

    async def _stop_all(self, signal_number: signal.Signals) -> None:
        """End every nginx of this folder: for SIGQUIT after its desktops are closed, otherwise at once (TERM, then KILL
        after `TERMINATION_TIMEOUT_S`)."""
        self._listeners.close()
        is_drain = signal_number == signal.SIGQUIT
        for process in nginx_processes(self._folder):
            send_signal(process.pid, signal.SIGQUIT if is_drain else signal.SIGTERM)
        waited = 0.0
        while processes := nginx_processes(self._folder):
            collect_ended_children()
            await asyncio.sleep(0.05)
            waited += 0.05
            if not is_drain and waited >= TERMINATION_TIMEOUT_S:
                for process in processes:
                    send_signal(process.pid, signal.SIGKILL)
        collect_ended_children()


def check_sentinels(plan: GatewayPlan) -> None:
    """Check that this account, under which nginx runs, can see the sentinel file of every Manager. While the file
    exists, the Manager is disabled; an nginx that cannot see the file would still send it requests. Raises SetupError:
    a folder of a sentinel file is missing or not accessible."""
    for manager in plan.managers:
        folder = Path(manager.sentinel_file).parent
        if not (folder.is_dir() and os.access(folder, os.X_OK)):
            raise SetupError(
                f"The sentinel folder {folder} of Manager {manager.name} is missing, or this account cannot read it;"
                " the gateway could not detect that the Manager is disabled."
            )


def _max_files() -> int:
    """Return the limit of open files per worker: the limit of the account, at most 65536."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)


Identities = tuple[tuple[int, int, int] | None, ...]
"""The identities of the plan file and of the files that it names, to detect a change of their content."""


def _file_identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _create_folder(path: Path) -> Path:
    """Create the gateway's folder if it is missing, and return its absolute path. The path is in nginx's configuration
    and identifies its processes. Raises SetupError: the folder cannot be created."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(f"The gateway's folder {path} cannot be used: {error.strerror}.") from error
    return path.resolve()


async def _create_links(config: kit_config.GatewayConfig, folder: Path) -> AgentLinks | None:
    """Return the connections to Agents on other hosts; None if there are none. Raises SetupError: their addresses or
    the secret cannot be used."""
    addresses = config.stream_agent_addresses()
    if not addresses or config.stream_secret_file is None:
        return None
    terminator = StreamTerminator()
    await terminator.probe()
    secret = kit_config.read_stream_secret(config.stream_secret_file)
    return AgentLinks(addresses, secret, Admissions(folder, terminator))


async def main() -> None:
    """Run the gateway of this host (settings: GatewayConfig)."""
    config = environment.configure_role(kit_config.GatewayConfig)
    if os.getuid() == 0:
        raise SetupError("Run the gateway under an unprivileged account such as greenroom; it does not require root.")
    await stops.serve_commands(config.stop_dir, config.process_name)
    folder = _create_folder(config.gateway_dir)
    plan_file, extra_loops = config.gateway_file, []
    if plan_file is None:
        links = await _create_links(config, folder)
        plan_writer = PlanWriter(config, folder, links)
        await plan_writer.write_first_plan()
        plan_file, extra_loops = plan_writer.path, [plan_writer.run(), *([links.run()] if links else [])]
    gateway = Gateway(plan_file, folder, workers=config.gateway_workers, connections=config.gateway_connections)
    serving = asyncio.create_task(gateway.run(), name="nginx")
    watch = health.watch_certificates(lambda: gateway.plan, gateway.reporter.set_warnings)
    loops = [gateway.probe(), gateway.reporter.run(), gateway.waiting_room.run(), watch, *extra_loops]
    if config.gateway_metrics_port is not None:
        loops.append(serve_until_cancelled(gateway.metrics.app(), LOOPBACK, config.gateway_metrics_port))
    tasks = [asyncio.create_task(loop) for loop in loops]
    done, _ = await asyncio.wait([serving, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, *tasks):
        if task not in done:
            task.cancel()
    await asyncio.gather(serving, *tasks, return_exceptions=True)
    for task in done:
        task.result()
