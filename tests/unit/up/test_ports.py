"""The ports of an instance."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.processes import free_port

from greenroom.core.errors import SetupError
from greenroom.up.options import PortReservations, choose_ports, has_ipv6, preferred_ports

NAMES = preferred_ports(["manager-default-1"], ["agent-default"])
some_ports = st.sets(st.sampled_from([8080, 8081, 8181, 8182, 8443, 8445, 8446, 8447, 4444, 4445]))


def test_the_usual_ports_when_all_are_free():
    assert choose_ports(NAMES, {}, 8443, lambda port: True) == {
        "stream": 8445,
        "api": 8080,
        "gateway-metrics": 8088,
        "manager-default-1": 8181,
        "manager-default-1-gateway": 8446,
        "agent-default": 4444,
    }


@given(some_ports, st.sampled_from([8443, 8445, 8446, 4444]))
def test_every_listener_has_a_free_port_of_its_own(taken: set[int], main: int):
    chosen = choose_ports(NAMES, {}, main, lambda port: port not in taken)
    assert len(set(chosen.values())) == len(NAMES)
    assert not set(chosen.values()) & (taken | {main})


@given(some_ports, some_ports)
def test_a_restart_keeps_every_port_that_is_still_free(first: set[int], later: set[int]):
    before = choose_ports(NAMES, {}, 8443, lambda port: port not in first)
    after = choose_ports(NAMES, before, 8443, lambda port: port not in later)
    assert {n for n in NAMES if before[n] not in later} == {n for n in NAMES if before[n] == after[n]}


def test_no_port_left_is_a_sentence():
    with pytest.raises(SetupError, match="No free port is left for stream from 8445 upwards"):
        choose_ports({"stream": 8445}, {}, 8443, lambda port: False)


def test_two_instances_that_start_at_once_do_not_get_the_same_port():
    one, other = PortReservations(), PortReservations()
    port = free_port()
    assert one.take(port)
    assert one.take(port)
    assert not other.take(port)
    for descriptor in one.detach():
        os.close(descriptor)
    assert other.take(port)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_port_with_a_listener_is_not_free(host: str, family: socket.AddressFamily):
    with socket.create_server((host, 0), family=family) as server:
        assert not PortReservations().take(server.getsockname()[1])


@pytest.mark.parametrize(("number", "part"), [(errno.EAFNOSUPPORT, "socket"), (errno.EADDRNOTAVAIL, "bind")])
def test_a_machine_without_ipv6_listens_on_ipv4_alone(monkeypatch: pytest.MonkeyPatch, number: int, part: str):
    class WithoutIpv6(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *rest: int) -> None:
            if part == "socket" and family == socket.AF_INET6:
                raise OSError(number, os.strerror(number))
            super().__init__(family, *rest)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(number, os.strerror(number))
            super().bind(address)

    assert has_ipv6()
    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    assert not has_ipv6()
    assert PortReservations().take(free_port())
