"""The origins of streams: those of zones, of edge gateways and of paths."""

from __future__ import annotations

import pytest

from greenroom.core.session.streams import ProxyFacts, direct_origins, parse_address
from greenroom.core.workspace.spec_builder import REQUEST_HOST


@pytest.mark.parametrize(
    ("zone", "origin"),
    [
        (ProxyFacts(), None),
        (ProxyFacts(proxy_connections=False), "https://desk.example"),
        (ProxyFacts(proxy_connections=False, proxy_port=8445), "https://desk.example:8445"),
        (ProxyFacts(proxy_connections=False, proxy_hostname="a.example"), "https://a.example"),
    ],
)
def test_where_streams_are_without_proxy_connections(zone: ProxyFacts, origin: str | None):
    assert zone.direct_origin("desk.example:8443") == origin


def test_every_direct_origin_is_known_to_the_gateway():
    zones = [
        ProxyFacts(),
        ProxyFacts(proxy_connections=False, proxy_hostname="a.example", proxy_port=9443),
        ProxyFacts(proxy_connections=False, proxy_port=8445),
    ]
    assert direct_origins(zones, ["127.0.0.1", "localhost"]) == [
        "https://127.0.0.1:8445",
        "https://a.example:9443",
        "https://localhost:8445",
    ]


def test_the_path_of_a_stream_is_understood_by_the_agent():
    session_id = "0f6e8a52-0000-4000-8000-00000000000a"
    path = ProxyFacts(proxy_path="screens").path_of("1a2b3c4d-0000-4000-8000-000000000000", session_id)
    address = parse_address(f"{path}/x")
    assert address is not None
    assert (address.route, address.session_id, address.prefix) == ("1a2b3c4d", session_id, f"{path}/")


@pytest.mark.parametrize(
    ("edge_url", "hostname", "origin"),
    [
        ("https://host-1.example:8445", REQUEST_HOST, "https://host-1.example:8445"),
        ("https://host-1.example:8445", "a.example", "https://a.example"),
        ("what an Agent reported", REQUEST_HOST, "https://desk.example"),
    ],
)
def test_streams_are_at_the_edge_gateway_of_an_agent_that_has_one(edge_url: str, hostname: str, origin: str):
    zone = ProxyFacts(proxy_connections=False, proxy_hostname=hostname, edge_url=edge_url)
    assert zone.direct_origin("desk.example:8443") == origin
