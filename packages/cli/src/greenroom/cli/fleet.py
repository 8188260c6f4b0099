"""Verbs of Agents, Managers and machine pools: edge addresses, credentials, join tokens, requests of Agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.output import Column, absolute, columns
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, Limit, fields_of, verb

Zone = Annotated[str, typer.Option(metavar="ZONE", help="The zone of the new hosts, by name or id.")]
Uses = Annotated[int, typer.Option(min=1, help="Number of hosts that may join with the token.")]
Role = Annotated[Literal["agent", "gateway"], typer.Option(help="Role of the new hosts.")]
Hours = Annotated[
    int,
    typer.Option(
        parser=duration("h", whole=True), metavar="DURATION", help="Validity of the token, in hours; at most 24."
    ),
]
Again = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="An existing Agent; only this Agent may join again.")
]
Enable = Annotated[
    bool, typer.Option("--enable", help="Enable new Agents immediately; otherwise an administrator must enable them.")
]


@verb("agents")
def confirm_edge(call: Call) -> None:
    """Accept the new edge gateway address that an Agent reports."""
    _set_edge(call, "edge_url_requested")


@verb("agents")
def decline_edge(call: Call) -> None:
    """Reject the new edge gateway address that an Agent reports; keep the current address."""
    _set_edge(call, "edge_url")


def _set_edge(call: Call, field: str) -> None:
    """Use the address in this field of an Agent that reports a new one."""
    path = call.path
    agent = call.client.get(path)
    if agent["edge_url_requested"] is None:
        in_use = agent["edge_url"] or "none"
        raise ApiError(f"Agent {agent['hostname']} has no edge address to confirm. Its current address is {in_use}.")
    call.one(call.client.patch(path, {"edge_url": agent[field]}))


@verb("agents")
def revoke(call: Call) -> None:
    """Revoke the credential of an Agent. The Agent must join again with a token for this Agent."""
    call.client.delete(f"{call.path}/credential")
    call.output.done(f"The credential of {call.target} is revoked.", {"revoked": True})


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
    """Create a join token for new hosts of a zone, and print the join command. The token is shown only once.

    `join-tokens list` shows the use of tokens; `join-tokens delete` revokes a token.
    """
    body: Row = {"zone_id": call.id_of("zones", zone), "role": role, "uses": uses, "hours": hours}
    if agent is not None:
        body["agent_id"] = call.id_of("agents", agent)
    if enable:
        body["enable_agent"] = True
    token = call.client.post("/join-tokens", body)
    if call.output.print_if_json(token):
        return
    times = "once" if uses == 1 else f"{uses} times"
    call.output.err.print(f"Run this command as root on the new host, {times}, within {hours} h:")
    call.output.out.file.write(token["join_command"] + "\n")


@verb("machine-pools")
def preview(call: Call) -> None:
    """Show the machines that the pool would order, drain and release if it were enabled; nothing is changed."""
    response = call.client.get(f"{call.path}/preview")
    if call.output.print_if_json(response):
        return
    call.output.line(response["sentence"])
    call.output.rows(response["actions"], columns("action machine reason"), "The pool needs no action.", whole=True)


COLUMNS: Final = columns(
    Column("Time", lambda request: absolute(datetime.fromisoformat(request["time"]))),
    Column("Agent", "agent_id"),
    "manager_instance_id",
    Column("Request", lambda request: f"{request['method']} {request['path']}"),
    "status count",
    Column("Duration", "duration_ms"),
)


@verb("managers", options=fields_of("GET /diagnostics/manager-requests"), of_one=False)
def requests(call: Call, *, limit: Limit = 100) -> None:
    """List the requests of Agents, newest first. Requests answered with 2xx are counted per minute."""
    call.show_list("/diagnostics/manager-requests", COLUMNS, "No requests match.", limit)
