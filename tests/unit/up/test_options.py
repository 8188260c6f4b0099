"""Options of the command line, and what an instance was started with before."""

from __future__ import annotations

import pytest

from greenroom.core.errors import SetupError
from greenroom.up.options import Options, settle


def test_defaults():
    settings = settle(Options(), {})
    assert (settings.port, settings.managers, settings.zones) == (8443, 1, ("default",))
    assert settings.listen_host == "127.0.0.1"
    assert settings.served_hosts == ["127.0.0.1", "localhost"]


def test_a_later_up_goes_on_with_what_was_given_before():
    first = settle(Options(port=9443, zones=("a", "b"), managers=2), {})
    assert settle(Options(), first.stored()) == first
    assert settle(Options(managers=1), first.stored()).managers == 1


def test_a_host_name_opens_all_addresses():
    settings = settle(Options(hostname="rooms.example.org"), {})
    assert (settings.host, settings.listen_host) == ("rooms.example.org", "0.0.0.0")
    assert settings.served_hosts == ["rooms.example.org", "127.0.0.1", "localhost"]


def test_names_of_the_processes():
    settings = settle(Options(zones=("a", "b"), managers=2), {})
    assert settings.manager_names == [
        ("manager-a-1", "a"),
        ("manager-a-2", "a"),
        ("manager-b-1", "b"),
        ("manager-b-2", "b"),
    ]
    assert settings.agent_names == [("agent-a", "a"), ("agent-b", "b")]


@pytest.mark.parametrize("name", ["-a", "a b", "ä", "a" * 64, "a/b"])
def test_a_zone_name_that_cannot_be_used(name: str):
    with pytest.raises(SetupError, match="cannot be the name of a zone"):
        settle(Options(zones=(name,)), {})


@pytest.mark.parametrize("names", [(), ("",), ("eu", ""), ("eu", "eu")])
def test_zones_need_different_names(names: tuple[str, ...]):
    with pytest.raises(SetupError, match="--zones needs one or more different names"):
        settle(Options(zones=names), {})
