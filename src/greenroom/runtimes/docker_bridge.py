"""Making a bridge network, also where Docker has no range of addresses left, and removing it.

Docker has some 30 ranges for networks that name none, and one web filter policy in use takes one. Beyond them a small
range is chosen here, next to Docker's, that no route of this host leads to.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.runtimes.docker_errors import NO_ADDRESSES

log = structlog.get_logger(__name__)

OPTION: Final = "com.docker.network"

ROUTES: Final = Path("/proc/net/route")
RESERVE: Final = ipaddress.IPv4Network("172.16.0.0/16")
"""Where ranges are taken from: private, and before the first of Docker's own (172.17.0.0/16)."""
RESERVE_PREFIX: Final = 24
"""Length of their prefix: room for 253 sessions."""


async def create_bridge(
    docker: aiodocker.Docker, name: str, bridge: str, labels: Mapping[str, str], **more: Any
) -> None:
    """Make a bridge network without traffic between its containers; `more` are further fields of the request.

    Raises:
        aiodocker.DockerError: as Docker refused it.
    """
    config: dict[str, Any] = {
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
    """Remove a network, if it is there; returns the names of the containers that are on it and keep it.

    Docker counts what is on a network apart from the list of it, and can lose count where containers start at the same
    instant (its issue 42119): it then keeps a network that nothing is on until the daemon is started anew. That harms
    nobody, is said in the log, and is no reason to stop what removes everything.

    Raises:
        aiodocker.DockerError: as Docker refused it.
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
                "Docker keeps a network that nothing is on; it can be removed once the Docker daemon was restarted",
                network=name,
                reason=error.message,
            )
        return on_it
    return []


async def _containers_on(docker: aiodocker.Docker, name: str) -> list[str]:
    network: Any = await docker.networks.get(name)
    facts: dict[str, Any] = await network.show()
    return sorted(str(each["Name"]) for each in facts["Containers"].values())


async def _create_in_reserve(docker: aiodocker.Docker, config: Mapping[str, Any]) -> bool:
    for subnet in free_subnets(ROUTES.read_text()):
        pool = {"Subnet": str(subnet), "Gateway": str(subnet[1])}
        try:
            await docker.networks.create({**config, "IPAM": {"Driver": "default", "Config": [pool]}})
        except aiodocker.DockerError as error:
            if "overlaps" not in error.message:  # with a network that was made in this moment
                raise
        else:
            return True
    return False


def free_subnets(routes: str) -> Iterator[ipaddress.IPv4Network]:
    """The ranges of `RESERVE` that no entry of `routes` (the text of /proc/net/route) leads to."""
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
    """The largest packet this host's way to the internet takes (at most 1500), or sessions lose large ones on it."""
    for line in routes.read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return min(1500, int((interfaces / interface / "mtu").read_text()))
    return 1500
