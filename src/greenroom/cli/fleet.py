"""Verbs that switch something of Managers, Agents and API keys, join tokens for new Agents, and requests of Agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.fields import body_of, options_of
from greenroom.cli.filters import RequestFilter
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column, absolute
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, add_change, address, command, identity

Zone = Annotated[str, typer.Option(metavar="ZONE", help="The zone they join, by name or id.")]
Uses = Annotated[int, typer.Option(min=1, help="How many may join with it.")]
Role = Annotated[Literal["agent", "gateway"], typer.Option(help="What joins.")]
Hours = Annotated[
    int,
    typer.Option(parser=duration("h", whole=True), metavar="DURATION", help="How long it is valid, hours; 24 at most."),
]
Again = Annotated[
    str | None,
    typer.Option("--agent", metavar="AGENT", help="A known Agent that is to join again, alone.", show_default=False),
]

Enable = Annotated[
    bool, typer.Option("--enable", help="New Agents are enabled at once; otherwise by an administrator.")
]


def register_agents(app: typer.Typer) -> None:
    """`agents enable|disable|drain|confirm-edge|decline-edge|revoke|join-token`."""
    add_change(
        app,
        "enable",
        "agents",
        {"enabled": True, "draining": False},
        "Let an Agent take new sessions: a new one that waits for it, a disabled or a draining one.",
    )
    add_change(app, "disable", "agents", {"enabled": False}, "Give an Agent no new sessions.")
    add_change(
        app,
        "drain",
        "agents",
        {"draining": True},
        "Give an Agent no new sessions; those people use go on, staged ones move to other Agents.",
    )
    app.command("confirm-edge")(command(confirm_edge, [identity(NOUNS["agents"])]))
    app.command("decline-edge")(command(decline_edge, [identity(NOUNS["agents"])]))
    app.command("revoke")(command(revoke, [identity(NOUNS["agents"])]))
    app.command("join-token")(command(join_token))


def register_keys(app: typer.Typer) -> None:
    """`keys enable|disable`."""
    add_change(app, "enable", "keys", {"enabled": True}, "Let an API key be used again.")
    add_change(app, "disable", "keys", {"enabled": False}, "Let an API key be used no more, without deleting it.")


def confirm_edge(call: Call, *, given_id: str) -> None:
    """Use the address at which an Agent says that its edge gateway is now, e.g. after it was changed on its host."""
    path, agent = _with_waiting_edge(call, given_id)
    call.one(call.client.patch(path, {"edge_url": agent["edge_url_requested"]}))


def decline_edge(call: Call, *, given_id: str) -> None:
    """Go on with the address of an Agent's edge gateway that is in use; the one that it told waits no more."""
    path, agent = _with_waiting_edge(call, given_id)
    call.one(call.client.patch(path, {"edge_url": agent["edge_url"]}))


def _with_waiting_edge(call: Call, given_id: str) -> tuple[str, Row]:
    path = address(call, NOUNS["agents"], given_id)
    agent = call.client.get(path)
    if agent["edge_url_requested"] is None:
        in_use = agent["edge_url"] or "none"
        raise ApiError(f"No edge address of {agent['hostname']} waits to be confirmed; the one in use: {in_use}.")
    return path, agent


def revoke(call: Call, *, given_id: str) -> None:
    """Make the credential of an Agent worthless; it is refused until it joins again with a token made for it."""
    path = address(call, NOUNS["agents"], given_id)
    call.client.delete(f"{path}/credential", {})
    call.output.done(f"The credential of {given_id} is revoked.", {"revoked": True})


def join_token(
    call: Call,
    *,
    zone: Zone,
    role: Role = "agent",
    uses: Uses = 1,
    hours: Hours = 1,
    agent: Again = None,
    enable: Enable = False,
) -> None:
    """Make a token with which new hosts join a zone, and show the command for it, this one time.

    What became of tokens: join-tokens list; join-tokens delete revokes one.
    """
    zone_id = find_id(call.client, NOUNS["zones"], zone)
    body: dict[str, object] = {"zone_id": zone_id, "role": role, "uses": uses, "hours": hours}
    if agent is not None:
        body["agent_id"] = find_id(call.client, NOUNS["agents"], agent)
    if enable:
        body["enable_agent"] = True
    made = call.client.post("/join-tokens", body)
    if call.output.as_json:
        call.output.json(made)
        return
    times = "once" if uses == 1 else f"{uses} times"
    call.output.err.print(f"To be run as root on the new host, {times}, within {hours} h:")
    call.output.out.file.write(made["join_command"] + "\n")


_OPTIONS: Final = options_of(RequestFilter, with_null=False)


COLUMNS: Final = (
    Column("Time", lambda request: absolute(datetime.fromisoformat(request["time"]))),
    Column("Agent", "agent_id"),
    Column("Manager", "manager_instance_id"),
    Column("Request", lambda request: f"{request['method']} {request['path']}"),
    Column("Status", "status"),
    Column("Count", "count"),
    Column("Duration", "duration_ms"),
)

Limit = Annotated[int, typer.Option(min=1, help="Rows at most, the newest.")]


def register_managers(app: typer.Typer) -> None:
    """Add the verbs."""
    add_change(app, "enable", "managers", {"enabled": True}, "Let a Manager take part in its zone again.")
    add_change(
        app,
        "disable",
        "managers",
        {"enabled": False},
        "Take a Manager out of service without stopping it; refused for the last enabled one of a zone.",
    )
    app.command("requests")(command(requests, [option.parameter for option in _OPTIONS]))


def requests(call: Call, *, limit: Limit = 100, **given: Any) -> None:
    """List how Managers answered Agents, newest first: each answer that was not 2xx, the others counted per minute."""
    rows = call.client.rows("/diagnostics/manager-requests", body_of(_OPTIONS, given, call.client), limit)
    call.output.rows(rows, COLUMNS, "There are no such requests.")
