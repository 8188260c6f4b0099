"""`catalogue list|add|update`, `staging explain|history` and `homes delete`: commands that are more than a request."""

from __future__ import annotations

import time
from typing import Annotated, Final
from urllib.parse import quote

import typer

from greenroom.cli.client import ApiError, Client
from greenroom.cli.output import Column, Printer, Row, columns, printable
from greenroom.cli.verbs import Call, Within, field_options, verb
from greenroom.core.text import size

POLL_S: Final = 1.0


def _state_text(entry: Row) -> str | None:
    if entry["update_available"]:
        return "update available"
    return "added" if entry["installed"] else None


_CATALOGUE_COLUMNS: Final = columns(
    "name friendly_name categories",
    Column("Size", lambda entry: None if entry["size_bytes"] is None else size(entry["size_bytes"])),
    Column("First frame", "first_frame_ms"),
    Column("State", _state_text),
    "description",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the catalogue entry.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Show the progress on each Agent; return when the first Agent has the image.")
]


@verb("catalogue", "list", takes_object=False)
def catalogue_list(call: Call) -> None:
    """List the entries of the catalogue."""
    call.print_list("/catalogue", _CATALOGUE_COLUMNS, "The catalogue is empty.")


@verb("catalogue", options=field_options("POST /catalogue/{name}", "update"), takes_object=False)
def add(call: Call, *, name: Name, wait: Wait = False, within: Within = 3600) -> None:
    """Add a workspace from the catalogue. Agents then build, copy or pull its image automatically."""
    _post_entry(call, name, call.body(), wait, within)


@verb("catalogue", takes_object=False)
def update(call: Call, *, name: Name, wait: Wait = False, within: Within = 3600) -> None:
    """Update a workspace to the current image of its entry. Staged sessions are replaced; running sessions continue."""
    _post_entry(call, name, {"update": True}, wait, within)


def _post_entry(call: Call, name: str, body: Row, wait: bool, within_s: float) -> None:
    image = call.client.post(f"/catalogue/{quote(name)}", body)
    if wait:
        image = wait_for_image(call.client, call.output, image["image_id"], within_s)
    call.print_object(image)


def wait_for_image(client: Client, output: Printer, image_id: str, within_s: float) -> Row:
    """Display the progress of each Agent with the image of a workspace. Return the workspace as soon as an Agent has
    the image. Raises ApiError: all Agents failed to get it, or none has it after `within_s`."""
    end_s = time.monotonic() + within_s
    printed_lines: dict[str, str] = {}
    with output.err.status("Waiting for an Agent …") as status:
        while True:
            image = client.get(f"/images/{image_id}")
            agents: list[Row] = image["agents"]
            for agent in agents:
                line = _agent_line(agent)
                if printed_lines.get(agent["agent_id"]) != line:
                    printed_lines[agent["agent_id"]] = line
                    output.err.print(printable(line), markup=False)
            if image["available"]:
                return image
            if agents and all(agent["state"] == "failed" for agent in agents):
                raise ApiError(" ".join(dict.fromkeys(agent["error"] for agent in agents)))
            if time.monotonic() > end_s:
                raise ApiError(f"No Agent has the image {image['name']} after {within_s:g} s.")
            status.update(_progress_text(agents))
            time.sleep(POLL_S)


def _agent_line(agent: Row) -> str:
    fetch_method = agent["how"] if agent["state"] == "pulling" else ""
    state = fetch_method or agent["state"]
    reason = agent["error"] or agent["reason"]
    return f"{agent['hostname']}: {state}" + (f": {reason}" if reason else "")


def _progress_text(agents: list[Row]) -> str:
    pulls = [
        f"{agent['hostname']} {agent['progress']} %"
        + (f" of {agent['size_bytes'] / 1e6:.0f} MB" if agent["size_bytes"] else "")
        for agent in agents
        if agent["state"] == "pulling"
    ]
    return ", ".join(pulls) or "Waiting for an Agent …"


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


WaitForFiles = Annotated[bool, typer.Option("--wait", help="Return when the files are deleted.")]


@verb("homes")
def delete(call: Call, *, wait: WaitForFiles = False, within: Within = 600) -> None:
    """Delete a home folder with all its files; refused while a session uses the folder."""
    home = call.client.get(call.path)
    call.client.delete(call.path)
    end_s = time.monotonic() + within
    while wait and (remark := _remark_if_exists(call, home)) is not None:
        if time.monotonic() > end_s:
            raise ApiError(f"The home folder is not deleted yet after {within:g} s; the deletion continues. {remark}")
        time.sleep(POLL_S)
    lost_data = home["loss"]
    call.output.print_result(lost_data, {"home_id": home["home_id"], "deleted": wait, "loss": lost_data})


def _remark_if_exists(call: Call, home: Row) -> str | None:
    """Return the remark about a home; None = the home does not exist any more."""
    homes = call.client.rows("/homes", {"user_id": home["user_id"], "image_id": home["image_id"]}, None)
    return next((row["remark"] for row in homes if row["home_id"] == home["home_id"]), None)
