"""The network of an installation's sessions: one bridge, no traffic between containers, firewall rules.

A bridge is also created when Docker has no address range left: Docker has about 30 ranges for networks that name none,
and each web filter policy in use takes one. Then a small range outside Docker's ranges is chosen here, to which no
route of this host leads.
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
from greenroom.runtimes.docker.errors import NO_ADDRESSES
from greenroom.runtimes.docker.spec import ContainerOwner

log = structlog.get_logger(__name__)

OPTION: Final = "com.docker.network"

ROUTES: Final = Path("/proc/net/route")
RESERVE: Final = ipaddress.IPv4Network("172.16.0.0/16")
"""Ranges are chosen from this network: private, and before the first of Docker's own (172.17.0.0/16)."""
RESERVE_PREFIX: Final = 24
"""Length of the ranges' prefix: room for 253 sessions."""


async def create_bridge(
    docker: aiodocker.Docker, name: str, bridge: str, labels: Mapping[str, str], **more: Any
) -> None:
    """Create a bridge network without traffic between its containers; `more` are further fields of the request.

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
            f"{OPTION}.bridge.name": bridge,
            f"{OPTION}.bridge.enable_icc": "false",
            f"{OPTION}.driver.mtu": str(uplink_mtu()),
        },
        **more,
    }
    try:
        await docker.networks.create(config)
    except aiodocker.DockerError as error:
        if NO_ADDRESSES not in error.message:
            raise
        if not await _create_in_reserve(docker, config):
            raise


async def remove_bridge(docker: aiodocker.Docker, name: str) -> list[str]:
    """Remove a network, if it exists; returns the names of the containers on it, which prevent the removal.

    Docker counts a network's endpoints separately from its list of them, and can lose count when containers start at
    the same instant (its issue 42119): it then keeps an empty network until the daemon restarts. That is harmless, is
    logged, and must not stop the removal of everything.

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
        on_it = await _containers_on(docker, name)
        if not on_it:
            log.warning(
                "Docker cannot remove an unused network; restart the Docker daemon and remove it",
                network=name,
                reason=error.message,
            )
        return on_it
    return []


async def _containers_on(docker: aiodocker.Docker, name: str) -> list[str]:
    network: Any = await docker.networks.get(name)
    facts: DockerJson = await network.show()
    return sorted(str(each["Name"]) for each in facts["Containers"].values())


async def _create_in_reserve(docker: aiodocker.Docker, config: DockerJson) -> bool:
    for subnet in free_subnets(ROUTES.read_text()):
        pool = {"Subnet": str(subnet), "Gateway": str(subnet[1])}
        try:
            await docker.networks.create({**config, "IPAM": {"Driver": "default", "Config": [pool]}})
        except aiodocker.DockerError as error:
            if "overlaps" not in error.message:  # with a network that was created at this moment
                raise
        else:
            return True
    return False


def free_subnets(routes: str) -> Iterator[ipaddress.IPv4Network]:
    """The ranges of `RESERVE` to which no entry of `routes` (the text of /proc/net/route) leads."""
    taken = [network for network in _destinations(routes) if network.prefixlen > 0]
    for subnet in RESERVE.subnets(new_prefix=RESERVE_PREFIX):
        if not any(subnet.overlaps(network) for network in taken):
            yield subnet


def _destinations(routes: str) -> Iterator[ipaddress.IPv4Network]:
    for line in routes.splitlines()[1:]:
        fields = line.split()
        address, mask = (int(text, 16).to_bytes(4, sys.byteorder) for text in (fields[1], fields[7]))
        yield ipaddress.IPv4Network((address, int.from_bytes(mask, "big").bit_count()))


def uplink_mtu(routes: Path = ROUTES, interfaces: Path = Path("/sys/class/net")) -> int:
    """The MTU of this host's route to the internet (at most 1500): with a larger one, sessions lose large packets."""
    for line in routes.read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return min(1500, int((interfaces / interface / "mtu").read_text()))
    return 1500


RULES_EVERY_S: Final = 30.0
"""Interval at which the rules are set again, because a reloaded firewall, e.g., may have removed them."""


class SessionsNetwork:
    """The network of an installation's sessions and the rules that block access to private networks and this host.

    An Agent that is root starts nothing if the rules cannot be set. Any other Agent can never set them (a trial on a
    private machine), and logs that. `connections_max` limits the open connections per session, 0 = any number; if the
    host cannot count them, that is logged, and sessions start.
    """

    def __init__(self, identity: ContainerOwner, connections_max: int = 0) -> None:
        self._identity = identity
        self._connections_max = connections_max
        self._problem = ""
        self._not_counted = ""
        self._keeping: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    async def ensure(self, docker: aiodocker.Docker) -> None:
        """Create network and rules if missing, and refresh the rules until `leave`. Several Agents may do so at
        once."""
        await self._make(docker)
        await self._set_rules()
        if self._keeping is None and os.geteuid() == 0:
            self._keeping = asyncio.create_task(self._keep_rules(), name="session-rules")

    async def _make(self, docker: aiodocker.Docker) -> None:
        if await _find(docker, self._identity) is not None:
            return
        try:
            labels = {INSTALLATION: self._identity.installation_id}
            await create_bridge(docker, self._identity.network, self._identity.bridge, labels)
        except aiodocker.DockerError:
            # Another process was faster, e.g. another Agent of this host: two networks cannot have the same bridge.
            await asyncio.sleep(0.2)
            if await _find(docker, self._identity) is None:
                raise

    async def require(self, docker: aiodocker.Docker, name: str) -> None:
        """Create this network again if it is missing, before a container is created for the network `name`. `docker
        network prune` removes it while no session runs."""
        if name == self._identity.network:
            await self._make(docker)

    async def leave(self) -> None:
        """Stop refreshing the rules; they stay, and so do network and sessions."""
        if self._keeping is not None:
            self._leaving.set()
            await self._keeping
            self._keeping = None
            self._leaving.clear()

    async def _keep_rules(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RULES_EVERY_S):
                    await self._leaving.wait()
                    return
            await self._set_rules()

    async def _set_rules(self) -> None:
        before = self._problem, self._not_counted
        try:
            self._not_counted = await firewall.install(self._identity, self._connections_max)
        except (firewall.FirewallError, OSError) as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001 -- no session starts while there is a problem, and the loop continues
            self._problem = reason_of(error)
        else:
            self._problem = ""
        if self._problem not in ("", before[0]):
            log.error("sessions can reach private networks and this host", reason=self._problem)
        if self._not_counted not in ("", before[1]):
            log.error("the connections of sessions are not limited", reason=self._not_counted)

    async def require_rules(self) -> None:
        """Refuse to start a session without the rules; rules that could not be set are retried first.

        Raises:
            StartError: they cannot be set, with the reason.
        """
        if self._problem and os.geteuid() == 0:
            await self._set_rules()
            if self._problem:
                raise StartError(
                    "The session could reach private networks and this host, because the firewall rules that prevent"
                    f" it cannot be set: {self._problem}."
                )

    async def remove(self, docker: aiodocker.Docker) -> None:
        """Remove the network and its rules. Raises StartError: containers are on the network; they are named."""
        await self.leave()
        try:
            await firewall.remove(self._identity)
        except firewall.FirewallError as error:
            log.warning("the rules of the sessions' network could not be removed", reason=str(error))
        found = await _find(docker, self._identity)
        if found is not None and (on_it := await remove_bridge(docker, found["Id"])):
            names = ", ".join(on_it)
            raise StartError(f"The network {found['Name']} still has containers: {names}. Remove them first.")


async def _find(docker: aiodocker.Docker, identity: ContainerOwner) -> DockerJson | None:
    label = f"{INSTALLATION}={identity.installation_id}"
    found: list[DockerJson] = await docker.networks.list(filters={"label": [label]})
    return next((network for network in found if network["Name"] == identity.network), None)
