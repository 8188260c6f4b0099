"""Verbs that switch something of Managers and Agents, and join tokens for new Agents."""

from __future__ import annotations

from typing import Annotated

import typer

from greenroom.cli.calls import Call, command
from greenroom.cli.lookup import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.verbs import add_change

Zone = Annotated[str, typer.Option(metavar="ZONE", help="The zone they join, by name or id.")]
Uses = Annotated[int, typer.Option(min=1, help="Agents that may join with it.")]
Hours = Annotated[int, typer.Option(min=1, help="How long it is valid.")]


def register_managers(app: typer.Typer) -> None:
    """`managers enable|disable`."""
    add_change(app, "enable", "managers", {"enabled": True}, "Let a Manager take part in its zone again.")
    add_change(
        app,
        "disable",
        "managers",
        {"enabled": False},
        "Take a Manager out of service without stopping it; refused for the last enabled one of a zone.",
    )


def register_agents(app: typer.Typer) -> None:
    """`agents enable|disable|drain|join-token`."""
    add_change(
        app, "enable", "agents", {"enabled": True, "draining": False}, "Let an Agent take new sessions; ends draining."
    )
    add_change(app, "disable", "agents", {"enabled": False}, "Give an Agent no new sessions.")
    add_change(
        app,
        "drain",
        "agents",
        {"draining": True},
        "Give an Agent no new sessions; those people use go on, staged ones move to other Agents.",
    )
    app.command("join-token")(command(join_token))


def join_token(call: Call, *, zone: Zone, uses: Uses = 1, hours: Hours = 24) -> None:
    """Make a token with which new Agents join a zone; it is shown this one time."""
    zone_id = find_id(call.client, NOUNS["zones"], zone)
    call.output.one(call.client.post("/join-tokens", {"zone_id": zone_id, "uses": uses, "hours": hours}))
