"""A gateway that maintains its plan: the plan from its settings and from discovered facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenroom.core.errors import SetupError
from greenroom.gateway.plan import Edge, parse_plan
from greenroom.gateway.plan_builder import SiteFacts, build_plan, check_settings, host_names
from greenroom.kit.config import GatewayAgent, GatewayCertificate, GatewayConfig, GatewayManager
from greenroom.wire.fleet import DirectZone, EdgeGateway, Fleet

FOLDER = Path("/gw")
AGENT_ID = "1a2b3c4d-0000-4000-8000-000000000000"
OTHER = "5e6f7a8b"
EDGE_DIR = Path("/edge")


def config(**changes: Any) -> GatewayConfig:
    return GatewayConfig(
        **{
            "gateway_dir": FOLDER,
            "main_listen": "0.0.0.0:8443",
            "stream_listen": "0.0.0.0:8445",
            "public_url": "https://desk.example",
            "tls_certificate": Path("/tls/cert.pem"),
            "tls_key": Path("/tls/key.pem"),
            "gateway_credential_file": Path("/gw/credential"),
            "api_upstream": "api.internal:8080",
            "gateway_managers": (
                GatewayManager(instance_id_file=Path("/m/instance_id"), zone="eu", sentinel_file=Path("/s/draining")),
            ),
            **changes,
        }
    )


def edge_config(**changes: Any) -> GatewayConfig:
    return GatewayConfig(
        **{
            "gateway_dir": FOLDER,
            "gateway_profile": "edge",
            "stream_listen": "0.0.0.0:8443",
            "public_url": "https://desk.example",
            "edge_dir": EDGE_DIR,
            **changes,
        }
    )


def edges(*given: EdgeGateway, **addresses: str) -> SiteFacts:
    return SiteFacts(fleet=Fleet(authority="pem", edges=given), addresses=addresses)


def test_settings_become_a_plan_that_can_be_served():
    facts = SiteFacts(texts={Path("/m/instance_id"): "manager-7"}, addresses={"api.internal": "10.0.0.4"})
    plan = build_plan(config(), facts, FOLDER)
    assert parse_plan(msgspec.json.encode(plan)) == plan
    assert plan.api == "10.0.0.4:8080"
    assert plan.served_hosts == ["127.0.0.1", "localhost", "desk.example"]
    assert plan.listeners == ["0.0.0.0:8443", "0.0.0.0:8445"]
    assert [(m.name, m.zone, m.upstream) for m in plan.managers] == [("manager-7", "eu", "127.0.0.1:8181")]


def test_a_manager_that_never_ran_is_served_under_its_configured_name():
    assert build_plan(config(), SiteFacts(), FOLDER).managers[0].name == "manager"


def test_a_name_that_is_not_found_stays_a_name():
    assert build_plan(config(), SiteFacts(), FOLDER).api == "api.internal:8080"


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (config(public_url=""), "GREENROOM_PUBLIC_URL"),
        (config(tls_key=None), "GREENROOM_TLS_KEY"),
        (config(gateway_credential_file=None), "GREENROOM_GATEWAY_CREDENTIAL_FILE"),
        (edge_config(edge_dir=None), "GREENROOM_EDGE_DIR"),
    ],
)
def test_settings_that_make_no_plan_are_refused_by_name(made: GatewayConfig, named: str):
    with pytest.raises(SetupError, match=named):
        check_settings(made)
    check_settings(config())
    check_settings(edge_config())


def test_streams_of_other_hosts_go_to_edges_verified_by_their_agent():
    facts = edges(EdgeGateway(route=OTHER, url="https://agent-b.example:9443"), **{"agent-b.example": "10.0.0.7"})
    assert build_plan(config(), facts, FOLDER).edges == [
        Edge(
            route=OTHER,
            upstream="10.0.0.7:9443",
            name=f"{OTHER}.edge.greenroom.internal",
            ca_file="/gw/fleet-authority.pem",
        )
    ]


@pytest.mark.parametrize(
    "edge",
    [
        EdgeGateway(route=OTHER, url="https://nowhere.example:9443"),  # has no address
        EdgeGateway(route=OTHER, url='https://b.example"; return 200'),
        EdgeGateway(route=OTHER, url=""),
        EdgeGateway(route="../../etc", url="https://b.example"),
    ],
)
def test_an_edge_that_cannot_be_used_is_left_out_and_the_others_served(edge: EdgeGateway):
    good = EdgeGateway(route="99999999", url="https://b.example")
    facts = edges(edge, good, **{"b.example": "10.0.0.8"})
    assert [found.upstream for found in build_plan(config(), facts, FOLDER).edges] == ["10.0.0.8:443"]


@given(host=st.text("ab0.-_[]:f%*", min_size=1, max_size=30), port=st.sampled_from(["", ":8443", ":0"]))
@example(host="a_b.example", port="")
@example(host="[::ffff:10.0.0.1]", port=":8443")
def test_no_address_that_an_agent_reports_stops_the_plan_of_a_gateway(host: str, port: str):
    reported = EdgeGateway(route=OTHER, url=f"https://{host}{port}", direct=True)
    plan = build_plan(config(), edges(reported, **{host: "10.0.0.7", "api.internal": "10.0.0.4"}), FOLDER)
    assert parse_plan(msgspec.json.encode(plan)) == plan


def test_of_agents_with_one_route_this_hosts_is_served_else_the_first():
    twice = [EdgeGateway(route=OTHER, url=f"https://10.0.0.{n}:8443") for n in (1, 2)]
    addresses = {f"10.0.0.{n}": f"10.0.0.{n}" for n in (1, 2)}
    assert [e.upstream for e in build_plan(config(), edges(*twice, **addresses), FOLDER).edges] == ["10.0.0.1:8443"]
    here = GatewayAgent(agent_id=f"{OTHER}-0000-4000-8000-000000000000", upstream="127.0.0.1:4445")
    plan = build_plan(config(gateway_agents=(here,)), edges(*twice, **addresses), FOLDER)
    assert (plan.edges, [a.upstream for a in plan.agents]) == ([], ["127.0.0.1:4445"])


def test_without_an_authority_no_edge_is_trusted():
    facts = SiteFacts(
        fleet=Fleet(edges=(EdgeGateway(route=OTHER, url="https://10.0.0.1"),)), addresses={"10.0.0.1": "10.0.0.1"}
    )
    assert build_plan(config(), facts, FOLDER).edges == []


def test_the_console_may_frame_all_stream_hosts_without_proxying():
    fleet = Fleet(
        edges=(
            EdgeGateway(route=OTHER, url="https://agent-b.example:9443", direct=True),
            EdgeGateway(route="99999999", url="https://agent-c.example:9443"),
        ),
        direct=(DirectZone(hostname="$request_host$", port=8445), DirectZone(hostname="desks.example", port=443)),
    )
    plan = build_plan(config(served_hosts="desk.example"), SiteFacts(fleet=fleet), FOLDER)
    assert plan.direct_origins == ["https://agent-b.example:9443", "https://desk.example:8445", "https://desks.example"]


def test_an_edge_gateway_serves_streams_with_its_agents_certificate():
    mine = GatewayCertificate(host="agent-a.example", certificate=Path("/tls/a.pem"), key=Path("/tls/a.key"))
    facts = SiteFacts(texts={EDGE_DIR / "agent_id": AGENT_ID}, has_edge_certificate=True)
    plan = build_plan(edge_config(agent_upstream="127.0.0.1:4450", named_certificate=mine), facts, FOLDER)
    assert parse_plan(msgspec.json.encode(plan)) == plan
    assert (plan.tls_certificate, plan.tls_key) == ("/edge/edge.pem", "/edge/edge.key")
    assert [(a.route, a.upstream) for a in plan.agents] == [("1a2b3c4d", "127.0.0.1:4450")]
    assert [one.host for one in plan.named_certificates] == ["agent-a.example"]
    assert plan.listeners == ["0.0.0.0:8443"]
    assert plan.served_hosts == ["127.0.0.1", "localhost", "desk.example"]


def test_an_edge_gateway_without_certificate_serves_nothing():
    with pytest.raises(SetupError, match="no certificate in /edge"):
        build_plan(edge_config(), SiteFacts(texts={EDGE_DIR / "agent_id": AGENT_ID}), FOLDER)
    with pytest.raises(SetupError, match="no certificate in /edge"):
        build_plan(edge_config(), SiteFacts(), FOLDER)


def test_a_web_gateway_is_the_edge_of_the_agent_beside_it():
    """Web gateways of other hosts use the Agent's name and receive its certificate."""
    facts = SiteFacts(texts={EDGE_DIR / "agent_id": AGENT_ID}, has_edge_certificate=True)
    plan = build_plan(config(edge_dir=EDGE_DIR), facts, FOLDER)
    assert [a.route for a in plan.agents] == ["1a2b3c4d"]
    assert [(n.host, n.certificate) for n in plan.named_certificates] == [
        ("1a2b3c4d.edge.greenroom.internal", "/edge/edge.pem")
    ]
    assert plan.tls_certificate == "/tls/cert.pem"


def test_an_agent_that_never_registered_has_no_streams_yet():
    plan = build_plan(config(edge_dir=EDGE_DIR), SiteFacts(), FOLDER)
    assert (plan.agents, plan.named_certificates) == ([], [])


def test_a_file_with_the_id_that_holds_none_is_named():
    facts = SiteFacts(texts={EDGE_DIR / "agent_id": "half of an"}, has_edge_certificate=True)
    with pytest.raises(SetupError, match="/edge/agent_id does not contain the id of an Agent"):
        build_plan(config(edge_dir=EDGE_DIR), facts, FOLDER)


def test_every_host_that_is_passed_on_to_is_looked_up():
    fleet = Fleet(edges=(EdgeGateway(route=OTHER, url="https://agent-b.example:9443"),))
    assert host_names(config(), fleet) == ["127.0.0.1", "agent-b.example", "api.internal"]
