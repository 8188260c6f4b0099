"""The network of an installation's sessions: one bridge without traffic between containers, and its firewall rules.

Docker has about 30 address ranges, and each network uses one. If all are in use, this module selects a small range of
`RESERVED_NETWORK` to which this host has no route.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.core.errors import reason_of
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.contract.containers import INSTALLATION
from greenroom.runtimes.docker import firewall
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import NO_ADDRESSES_TEXT
from greenroom.runtimes.docker.spec import ContainerOwner

log = structlog.get_logger(__name__)

OPTION_PREFIX: Final = "com.docker.network"

ROUTES: Final = Path("/proc/net/route")
RESERVED_NETWORK: Final = ipaddress.IPv4Network("172.16.0.0/16")
"""The private network from which ranges are selected. The ranges of Docker begin after it, at 172.17.0.0/16."""
RESERVED_PREFIX_LENGTH: Final = 24
"""The prefix length of a range, which has addresses for 253 sessions."""


async def create_bridge(
    docker: aiodocker.Docker, name: str, bridge: str, labels: Mapping[str, str], **options: Any
) -> None:
    """Create a bridge network without traffic between its containers. `options` are additional fields of the request.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    config: DockerJson = {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "EnableIPv6": False,
        "Labels": dict(labels),
        "Options": {
            f"{OPTION_PREFIX}.bridge.name": bridge,
            f"{OPTION_PREFIX}.bridge.enable_icc": "false",
            f"{OPTION_PREFIX}.driver.mtu": str(uplink_mtu()),
        },
        **options,
    }
    try:
        await docker.networks.create(config)
    except aiodocker.DockerError as error:
        if NO_ADDRESSES_TEXT not in error.message:
            raise
        if not await _create_in_reserved_network(docker, config):
            raise


async def remove_bridge(docker: aiodocker.Docker, name: str) -> list[str]:
    """Remove a network if it exists. Return the names of the containers that prevent the removal.

    Docker may refuse to remove an unused network until the daemon restarts, because its count of endpoints is wrong
    after parallel starts (issue 42119 of moby). Such a network is logged and counts as removed.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    try:
        network: Any = await docker.networks.get(name)
        await network.delete()
    except aiodocker.DockerError as error:
        if error.status == 404:
            return []
        if error.status != 403:
            raise
        container_names = await _containers_on(docker, name)
        if not container_names:
            log.warning(
                "Docker cannot remove an unused network; restart the Docker daemon and remove it",
                network=name,
                reason=error.message,
            )
        return container_names
    return []


async def _containers_on(docker: aiodocker.Docker, name: str) -> list[str]:
    network: Any = await docker.networks.get(name)
    network_state: DockerJson = await network.show()
    return sorted(str(container["Name"]) for container in network_state["Containers"].values())


async def _create_in_reserved_network(docker: aiodocker.Docker, config: DockerJson) -> bool:
    for subnet in free_subnets(ROUTES.read_text()):
        pool = {"Subnet": str(subnet), "Gateway": str(subnet[1])}
        try:
            await docker.networks.create({**config, "IPAM": {"Driver": "default", "Config": [pool]}})
        except aiodocker.DockerError as error:
            if "overlaps" not in error.message:  # another process just created a network with this range
                raise
        else:
            return True
    return False


def free_subnets(routes: str) -> Iterator[ipaddress.IPv4Network]:
    """Yield the ranges of `RESERVED_NETWORK` that overlap no entry of `routes`, the text of /proc/net/route."""
    routed = [network for network in _destinations(routes) if network.prefixlen > 0]
    for subnet in RESERVED_NETWORK.subnets(new_prefix=RESERVED_PREFIX_LENGTH):
        if not any(subnet.overlaps(network) for network in routed):
            yield subnet


def _destinations(routes: str) -> Iterator[ipaddress.IPv4Network]:
    for line in routes.splitlines()[1:]:
        fields = line.split()
        address, mask = (int(text, 16).to_bytes(4, sys.byteorder) for text in (fields[1], fields[7]))
        yield ipaddress.IPv4Network((address, int.from_bytes(mask, "big").bit_count()))


def uplink_mtu(routes: Path = ROUTES, interfaces: Path = Path("/sys/class/net")) -> int:
    """Return the MTU of this host's default route, at most 1500. With a larger MTU, sessions lose large packets."""
    for line in routes.read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return min(1500, int((interfaces / interface / "mtu").read_text()))
    return 1500


RULES_INTERVAL_S: Final = 30.0
"""The interval at which the rules are set again. A reload of the firewall may remove them."""


class SessionsNetwork:
    """The network of an installation's sessions and the rules that block access to private networks and this host.

    An Agent with root starts no session if the rules cannot be set. An Agent without root cannot set them, logs an
    error and starts sessions, for trials on a private machine. `connections_max` limits the open connections per
    session, 0 = unlimited; if the host cannot limit them, an error is logged and sessions start.
    """

    def __init__(self, owner: ContainerOwner, connections_max: int = 0) -> None:
        self._owner = owner
        self._connections_max = connections_max
        self._problem = ""
        self._limit_problem = ""
        self._refresh_task: asyncio.Task[None] | None = None
        self._stop_event = asyncio.Event()

    async def ensure(self, docker: aiodocker.Docker) -> None:
        """Create the network and the rules if they are missing, and set the rules again at intervals until
        `stop_refresh`. Several Agents may do this at the same time.
        """
        await self._create(docker)
        await self._set_rules()
        if self._refresh_task is None and os.geteuid() == 0:
            self._refresh_task = asyncio.create_task(self._refresh_rules(), name="session-rules")

    async def _create(self, docker: aiodocker.Docker) -> None:
        if await _find(docker, self._owner) is not None:
            return
        try:
            labels = {INSTALLATION: self._owner.installation_id}
            await create_bridge(docker, self._owner.network, self._owner.bridge, labels)
        except aiodocker.DockerError:
            # another Agent of this host may have created the network, because two networks cannot have the same bridge
            await asyncio.sleep(0.2)
            if await _find(docker, self._owner) is None:
                raise

    async def recreate_if_pruned(self, docker: aiodocker.Docker, name: str) -> None:
        """Create the network again if it is missing and has the name `name`. While no session runs, `docker network
        prune` removes the network.
        """
        if name == self._owner.network:
            await self._create(docker)

    async def stop_refresh(self) -> None:
        """Stop the refresh of the rules. The rules, the network and the sessions stay."""
        if self._refresh_task is not None:
            self._stop_event.set()
            await self._refresh_task
            self._refresh_task = None
            self._stop_event.clear()

    async def _refresh_rules(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RULES_INTERVAL_S):
                    await self._stop_event.wait()
                    return
            await self._set_rules()

    async def _set_rules(self) -> None:
        last_problem, last_limit_problem = self._problem, self._limit_problem
        try:
            self._limit_problem = await firewall.install(self._owner, self._connections_max)
        except (firewall.FirewallError, OSError) as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001 -- no session starts while there is a problem, and the loop continues
            self._problem = reason_of(error)
        else:
            self._problem = ""
        if self._problem not in ("", last_problem):
            log.error("sessions can reach private networks and this host", reason=self._problem)
        if self._limit_problem not in ("", last_limit_problem):
            log.error("the connections of sessions are not limited", reason=self._limit_problem)

    async def require_rules(self) -> None:
        """Check that the rules are set; try to set them again if they are not. An Agent without root skips the check.

        Raises:
            StartError: the rules cannot be set.
        """
        if self._problem and os.geteuid() == 0:
            await self._set_rules()
            if self._problem:
                raise StartError(
                    "The session could reach private networks and this host, because the firewall rules that prevent"
                    f" it cannot be set: {self._problem}."
                )

    async def remove(self, docker: aiodocker.Docker) -> None:
        """Remove the network and its rules. Raises StartError: the network still has containers."""
        await self.stop_refresh()
        try:
            await firewall.remove(self._owner)
        except firewall.FirewallError as error:
            log.warning("the rules of the sessions' network could not be removed", reason=str(error))
        network = await _find(docker, self._owner)
        if network is not None and (container_names := await remove_bridge(docker, network["Id"])):
            names = ", ".join(container_names)
            raise StartError(f"The network {network['Name']} still has containers: {names}. Remove them first.")


async def _find(docker: aiodocker.Docker, owner: ContainerOwner) -> DockerJson | None:
    label = f"{INSTALLATION}={owner.installation_id}"
    networks: list[DockerJson] = await docker.networks.list(filters={"label": [label]})
    return next((network for network in networks if network["Name"] == owner.network), None)
