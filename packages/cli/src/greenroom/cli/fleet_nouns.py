"""The nouns of zones, Managers, Agents and machines (`nouns`)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from greenroom.cli.noun import ChangeVerb, Field, Noun
from greenroom.cli.output import Column, Row, columns
from greenroom.core.text import size


def _memory(agent: Row) -> str:
    return f"{size(agent['memory_allocated'])} of {size(agent['memory'])}"


def _agent_enabled(agent: Row) -> str:
    if agent["enabled"]:
        return "draining" if agent["draining"] else "yes"
    return "no"


def _status(member: Row) -> str:
    return f"{member['status']}. {member['status_reason']}" if member["status_reason"] else member["status"]


FLEET_NOUNS: Final = (
    Noun(
        noun="zones",
        path="/zones",
        singular="zone",
        plural="zones",
        key="zone_id",
        name="zone_name",
        create="greenroom.api.fleet.schemas:ZoneCreate",
        update="greenroom.api.fleet.schemas:ZonePatch",
        columns=columns(
            "zone_name allow_origin_domain upstream_auth_address load_balancing_strategy search_alternate_zones",
            "num_managers num_agents num_sessions",
        ),
    ),
    Noun(
        noun="managers",
        path="/managers",
        singular="Manager",
        plural="Managers",
        key="manager_id",
        name="instance_id",
        called="instance id",
        found_by_server=True,
        force="Delete even a running Manager; it registers again a second later, as a new record.",
        changes=(
            ChangeVerb("enable", {"enabled": True}, "Enable a Manager."),
            ChangeVerb(
                "disable",
                {"enabled": False},
                "Take a Manager out of service without stopping it; refused for the last enabled Manager of a zone.",
            ),
        ),
        columns=columns(
            "instance_id enabled first_reported last_reported zone_name", Column("Status", _status), "is_primary"
        ),
    ),
    Noun(
        noun="agents",
        path="/agents",
        singular="Agent",
        plural="Agents",
        key="agent_id",
        name="hostname",
        called="hostname",
        found_by_server=True,
        update="greenroom.api.fleet.schemas:AgentPatch",
        force="Also end the sessions of an Agent that will not return.",
        changes=(
            ChangeVerb(
                "enable",
                {"enabled": True, "draining": False},
                "Enable a new, disabled or draining Agent for new sessions.",
            ),
            ChangeVerb("disable", {"enabled": False}, "Start no new sessions on an Agent."),
            ChangeVerb(
                "drain",
                {"draining": True},
                "Start no new sessions on an Agent, and move its staged sessions; sessions of users continue.",
            ),
        ),
        columns=columns(
            "hostname",
            Column("Enabled", _agent_enabled),
            Column("Status", _status),
            "zone_name manager_instance_id sessions",
            Column("Cores reserved", lambda agent: f"{agent['cores_allocated']:g} of {agent['cores']:g}"),
            Column("Memory reserved", _memory),
            "last_reported",
            wide="agent_id",
        ),
    ),
    Noun(
        noun="join-tokens",
        path="/join-tokens",
        singular="join token",
        plural="join tokens",
        key="join_token_id",
        create="greenroom.api.fleet.schemas:JoinTokenCreate",
        columns=columns(
            "join_token_id role zone_name status agent_hostname",
            Column("Joined", "used"),
            "uses_left expires created_by",
        ),
    ),
    Noun(
        noun="gateways",
        path="/gateways",
        singular="gateway",
        plural="gateways",
        key="gateway_id",
        name="hostname",
        called="hostname",
        columns=columns("hostname gateway_id zone_name registered last_reported"),
    ),
    Noun(
        noun="machine-pools",
        path="/machine-pools",
        singular="machine pool",
        plural="machine pools",
        key="machine_pool_id",
        name="name",
        found_by_server=True,
        create="greenroom.api.fleet.machine_schemas:MachinePoolCreate",
        update="greenroom.api.fleet.machine_schemas:MachinePoolPatch",
        changes=(
            ChangeVerb("enable", {"enabled": True}, "Order and release machines automatically."),
            ChangeVerb(
                "disable",
                {"enabled": False},
                "Order no more machines; release each machine when its last session has ended.",
            ),
            ChangeVerb(
                "approve", {"approved": True}, "Enable the Agents of all machines that the pool orders from now on."
            ),
        ),
        columns=columns(
            "name zone_name enabled provider joined coming draining max_machines last_error",
            wide="approved_by releasing",
        ),
    ),
    Noun(
        noun="machine-orders",
        path="/machine-orders",
        singular="machine order",
        plural="machine orders",
        key="machine_order_id",
        filters=(
            Field("machine_pool_id", UUID),
            Field("open", bool, "orders whose machine exists or may exist; --no-open: all other orders"),
        ),
        delete=False,
        columns=columns("ordered pool_name state hostname sessions ref reason changed state_reason"),
    ),
)
