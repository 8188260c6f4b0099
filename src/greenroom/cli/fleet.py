"""Verbs of Agents and Managers: edge addresses, credentials, join tokens, requests of Agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.names import find_id
from greenroom.cli.noun import Field
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column, absolute, columns
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, query_options, verb

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


@verb("agents")
def confirm_edge(call: Call) -> None:
    """Use the address at which an Agent says that its edge gateway is now, e.g. after it was changed on its host."""
    path, agent = _with_waiting_edge(call)
    call.one(call.client.patch(path, {"edge_url": agent["edge_url_requested"]}))


@verb("agents")
def decline_edge(call: Call) -> None:
    """Go on with the address of an Agent's edge gateway that is in use; the reported one no longer waits."""
    path, agent = _with_waiting_edge(call)
    call.one(call.client.patch(path, {"edge_url": agent["edge_url"]}))


def _with_waiting_edge(call: Call) -> tuple[str, Row]:
    path = call.path
    agent = call.client.get(path)
    if agent["edge_url_requested"] is None:
        in_use = agent["edge_url"] or "none"
        raise ApiError(f"No edge address of {agent['hostname']} waits to be confirmed; the one in use: {in_use}.")
    return path, agent


@verb("agents")
def revoke(call: Call) -> None:
    """Make the credential of an Agent worthless; it is refused until it joins again with a token made for it."""
    call.client.delete(f"{call.path}/credential", {})
    call.output.done(f"The credential of {call.named} is revoked.", {"revoked": True})


@verb("agents", of_one=False)
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

    The use of tokens: join-tokens list; join-tokens delete revokes one.
    """
    zone_id = find_id(call.client, NOUNS["zones"], zone)
    body: dict[str, object] = {"zone_id": zone_id, "role": role, "uses": uses, "hours": hours}
    if agent is not None:
        body["agent_id"] = find_id(call.client, NOUNS["agents"], agent)
    if enable:
        body["enable_agent"] = True
    made = call.client.post("/join-tokens", body)
    if call.output.printed(made):
        return
    times = "once" if uses == 1 else f"{uses} times"
    call.output.err.print(f"To be run as root on the new host, {times}, within {hours} h:")
    call.output.out.file.write(made["join_command"] + "\n")


@verb("machine-pools")
def preview(call: Call) -> None:
    """Show what would be ordered, drained and released now if the pool were enabled, and why; nothing is done."""
    found = call.client.get(f"{call.path}/preview")
    if call.output.printed(found):
        return
    call.output.line(found["sentence"])
    call.output.rows(found["actions"], columns("action machine reason"), "Nothing would be done now.", whole=True)


REQUEST_FILTERS: Final = (
    Field("status", int, "answered with this status, e.g. 503"),
    Field("refused", bool, "not answered with 2xx; --no-refused: the others"),
    Field("agent_id", UUID),
    Field("manager_instance_id", str, "answered by this Manager, or by the gateway for it"),
    Field("since", datetime, "from this time on"),
    Field("until", datetime, "before this time"),
)
COLUMNS: Final = columns(
    Column("Time", lambda request: absolute(datetime.fromisoformat(request["time"]))),
    Column("Agent", "agent_id"),
    "manager_instance_id",
    Column("Request", lambda request: f"{request['method']} {request['path']}"),
    "status count",
    Column("Duration", "duration_ms"),
)

Limit = Annotated[int, typer.Option(min=1, help="Rows at most, the newest.")]


@verb("managers", options=query_options(*REQUEST_FILTERS), of_one=False)
def requests(call: Call, *, limit: Limit = 100) -> None:
    """List how Managers answered Agents, newest first: each answer that was not 2xx, the others counted per minute."""
    rows = call.client.rows("/diagnostics/manager-requests", call.body(), limit)
    call.output.rows(rows, COLUMNS, "There are no such requests.")
