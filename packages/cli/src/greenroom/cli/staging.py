"""`staging explain|history`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from greenroom.cli.output import Column, columns
from greenroom.cli.verbs import Call, field_options, verb

_REASON_COLUMNS: Final = columns("code setting group reason")
_WINDOW_TITLES: Final = {1: "last hour", 24: "last 24 h", 168: "last 7 d"}
_WINDOW_COLUMNS: Final = columns(
    Column("Launches of the", lambda window: _WINDOW_TITLES.get(window["hours"], f"last {window['hours']} h")),
    "hits misses served_elsewhere",
    Column("Hit rate", lambda window: None if window["hit_rate"] is None else f"{window['hit_rate']:.0%}"),
)
_CAUSE_COLUMNS: Final = columns("code setting launches last reason")
_MISS_COLUMNS: Final = columns(
    "time username outcome launch_id",
    Column("Reason", lambda miss: " ".join(reason["reason"] for reason in miss["reasons"])),
)


@verb("staging", options=field_options("GET /staging-configs/{staging_config_id}/explain"))
def explain(call: Call) -> None:
    """Show whether a user would get a session of a config now, and the reasons if not. Nothing is launched."""
    query = call.body()
    response = call.client.get(f"{call.path}/explain", query)
    if call.output.print_if_json(response):
        return
    verdict = "would get" if response["would_get"] else "would not get"
    condition = f" when the launch begins in zone {response['zone_name']}" if "zone" in query else ""
    call.output.print_line(f"{response['username']} {verdict} a session of this config now{condition}.")
    if response["reasons"]:
        call.output.print_list(response["reasons"], _REASON_COLUMNS, "", fold=True)
    for note in response["notes"]:
        call.output.print_warning(note)


@verb("staging")
def history(
    call: Call,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of misses, newest first.")] = 20,
) -> None:
    """Show the hits and misses of a config, with the reason and the user of each miss."""
    response = call.client.get(f"{call.path}/history", {"limit": limit})
    if call.output.print_if_json(response):
        return
    call.output.print_list(response["windows"], _WINDOW_COLUMNS, "")
    if response["reasons"]:
        call.output.print_line()
        call.output.print_list(response["reasons"], _CAUSE_COLUMNS, "", fold=True)
        call.output.print_line()
        call.output.print_list(response["recent_misses"], _MISS_COLUMNS, "", fold=True)
