"""`catalogue list|add|update`."""

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
    """Display how each Agent gets the image of a workspace. Return the workspace as soon as an Agent has the image.
    Raises ApiError: all Agents failed to get the image, or no Agent has it after `within_s`."""
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
