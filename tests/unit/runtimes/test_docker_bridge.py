"""Address ranges for networks when Docker has none left, and networks that Docker does not remove."""

from __future__ import annotations

import ipaddress
import struct
import sys
from typing import Any

import aiodocker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from greenroom.runtimes.docker.networks import RESERVED_NETWORK, free_subnets, remove_bridge

HEADER = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"


def route(network: str) -> str:
    parsed = ipaddress.IPv4Network(network)
    order = "<I" if sys.byteorder == "little" else ">I"
    destination, mask = (
        struct.unpack(order, address.packed)[0] for address in (parsed.network_address, parsed.netmask)
    )
    return f"eth0 {destination:08X} 00000000 0001 0 0 0 {mask:08X} 0 0 0\n"


@given(st.lists(st.tuples(st.ip_addresses(v=4, network="172.16.0.0/12"), st.integers(8, 32)), max_size=8))
def test_no_route_leads_to_a_range_that_is_chosen(routes: list[tuple[ipaddress.IPv4Address, int]]):
    networks = [ipaddress.IPv4Network((int(address), prefix), strict=False) for address, prefix in routes]
    text = HEADER + route("0.0.0.0/0") + "".join(route(str(network)) for network in networks)
    chosen = list(free_subnets(text))
    assert all(not subnet.overlaps(network) for subnet in chosen for network in networks)
    left_out = set(RESERVED_NETWORK.subnets(new_prefix=24)) - set(chosen)
    assert all(any(subnet.overlaps(network) for network in networks) for subnet in left_out)


def test_the_way_to_the_internet_is_in_nobodys_way():
    assert len(list(free_subnets(HEADER + route("0.0.0.0/0")))) == 256


class RefusedNetworks:
    """A Docker daemon that does not remove the network, as Docker 20.10 sometimes does after parallel starts. This
    cannot be provoked on a real one."""

    def __init__(self, status: int, *on_it: str) -> None:
        self.networks = self
        self._status = status
        self._on_it = on_it

    async def get(self, _name: str) -> RefusedNetworks:
        """Return this network."""
        return self

    async def delete(self) -> None:
        """Refuse the deletion."""
        raise aiodocker.DockerError(self._status, "network n has active endpoints")

    async def show(self) -> dict[str, Any]:
        """The containers on the network."""
        return {"Containers": {str(number): {"Name": name} for number, name in enumerate(self._on_it)}}


async def test_an_empty_network_that_docker_keeps_blocks_nothing():
    docker: Any = RefusedNetworks(403)
    with capture_logs() as logs:
        assert await remove_bridge(docker, "n") == []
    assert [(row["log_level"], row["network"]) for row in logs] == [("warning", "n")]


async def test_containers_that_keep_a_network_are_named():
    docker: Any = RefusedNetworks(403, "b", "a")
    assert await remove_bridge(docker, "n") == ["a", "b"]


async def test_an_absent_network_counts_as_removed_not_other_refusals():
    gone: Any = RefusedNetworks(404)
    assert await remove_bridge(gone, "n") == []
    broken: Any = RefusedNetworks(500, "a")
    with pytest.raises(aiodocker.DockerError):
        await remove_bridge(broken, "n")
