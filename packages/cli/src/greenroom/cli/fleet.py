"""Commands for Agents, Managers and machine pools: edge addresses, credentials, join tokens, requests of Agents."""

from __future__ import annotations

from typing import Final

from greenroom.cli.client import ApiError
from greenroom.cli.output import TIME, Column, columns
from greenroom.cli.verbs import Call, Limit, field_options, verb


@verb("agents")
def confirm_edge(call: Call) -> None:
    """Accept the new edge gateway address that an Agent reports."""
    _set_edge(call, "edge_url_requested")


@verb("agents")
def decline_edge(call: Call) -> None:
    """Reject the new edge gateway address that an Agent reports; keep the current address."""
    _set_edge(call, "edge_url")


def _set_edge(call: Call, field: str) -> None:
    """Set the edge address of an Agent to the value of `field`. Raises ApiError: the Agent reports no new address."""
    path = call.path
    agent = call.client.get(path)
    if agent["edge_url_requested"] is None:
        in_use = agent["edge_url"] or "none"
        raise ApiError(f"Agent {agent['hostname']} has no edge address to confirm. Its current address is {in_use}.")
    call.print_object(call.client.patch(path, {"edge_url": agent[field]}))


@verb("agents")
def revoke(call: Call) -> None:
    """Revoke the credential of an Agent. The Agent must join again with a token for this Agent."""
    call.client.delete(f"{call.path}/credential")
    call.output.print_result(f"The credential of {call.target} is revoked.", {"revoked": True})


@verb("agents", options=field_options("POST /join-tokens"), takes_object=False)
def join_token(call: Call) -> None:
    """Create a join token for new hosts of a zone, and print the join command. The token is shown only once.

    `join-tokens list` shows the use of tokens; `join-tokens delete` revokes a token.
    """
    body = call.body()
    token = call.client.post("/join-tokens", body)
    if call.output.print_if_json(token):
        return
    times = "once" if token["uses"] == 1 else f"{token['uses']} times"
    call.output.err.print(f"Run this command as root on the new host, {times}, within {body.get('hours', 1)} h:")
    call.output.out.file.write(token["join_command"] + "\n")


_ACTION_COLUMNS: Final = columns("action machine reason")


@verb("machine-pools")
def preview(call: Call) -> None:
    """Show the machines that the pool would order, drain and release if it were enabled; nothing is changed."""
    response = call.client.get(f"{call.path}/preview")
    if call.output.print_if_json(response):
        return
    call.output.print_line(response["sentence"])
    call.output.print_list(response["actions"], _ACTION_COLUMNS, "The pool needs no action.", fold=True)


REQUEST_COLUMNS: Final = columns(
    TIME,
    Column("Agent", "agent_id"),
    "manager_instance_id",
    Column("Request", lambda request: f"{request['method']} {request['path']}"),
    "status count",
    Column("Duration", "duration_ms"),
)


@verb("managers", options=field_options("GET /diagnostics/manager-requests"), takes_object=False)
def requests(call: Call, *, limit: Limit = 100) -> None:
    """List the requests of Agents, newest first. Requests answered with 2xx are counted per minute."""
    call.print_list("/diagnostics/manager-requests", REQUEST_COLUMNS, "No requests match.", limit)
