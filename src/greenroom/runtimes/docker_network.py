"""The network of an installation's sessions: one bridge, no traffic between containers, rules about what they reach."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.runtimes import firewall
from greenroom.runtimes.docker_spec import INSTALLATION, Identity

log = structlog.get_logger(__name__)

OPTION: Final = "com.docker.network"


async def ensure_network(docker: aiodocker.Docker, identity: Identity) -> None:
    """Make the network and its rules where they are missing; several Agents may do so at the same time."""
    if await _find(docker, identity) is None:
        try:
            await docker.networks.create(_config(identity))
        except aiodocker.DockerError:
            # Another Agent of this host was faster: two networks cannot have the same bridge.
            await asyncio.sleep(0.2)
            if await _find(docker, identity) is None:
                raise
    try:
        await firewall.install(identity)
    except firewall.FirewallError as error:
        log.error(
            "sessions are not kept from private networks and from this host: the rules could not be set",
            reason=str(error),
        )


async def remove_network(docker: aiodocker.Docker, identity: Identity) -> None:
    """Remove network and rules, as far as they are there."""
    try:
        await firewall.remove(identity)
    except firewall.FirewallError as error:
        log.warning("the rules of the sessions' network could not be removed", reason=str(error))
    found = await _find(docker, identity)
    if found is not None:
        network: Any = await docker.networks.get(found["Id"])
        await network.delete()


async def _find(docker: aiodocker.Docker, identity: Identity) -> dict[str, Any] | None:
    label = f"{INSTALLATION}={identity.installation_id}"
    found: list[dict[str, Any]] = await docker.networks.list(filters={"label": [label]})
    return next((network for network in found if network["Name"] == identity.network), None)


def _config(identity: Identity) -> dict[str, Any]:
    return {
        "Name": identity.network,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "EnableIPv6": False,
        "Labels": {INSTALLATION: identity.installation_id},
        "Options": {
            f"{OPTION}.bridge.name": identity.bridge,
            f"{OPTION}.bridge.enable_icc": "false",
            f"{OPTION}.driver.mtu": str(uplink_mtu()),
        },
    }


def uplink_mtu(routes: Path = Path("/proc/net/route"), interfaces: Path = Path("/sys/class/net")) -> int:
    """The largest packet this host's way to the internet takes (at most 1500), or sessions lose large ones on it."""
    for line in routes.read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return min(1500, int((interfaces / interface / "mtu").read_text()))
    return 1500
