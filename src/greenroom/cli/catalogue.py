"""`catalogue list|add|update`: what one click adds in the console."""

from __future__ import annotations

import time
from typing import Annotated, Final
from urllib.parse import quote

import typer
from rich.text import Text

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column, Output, columns, milliseconds, printable
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, verb
from greenroom.core.text import size

POLL_S: Final = 1.0


def _size(entry: Row) -> str | None:
    return None if entry["size_bytes"] is None else size(entry["size_bytes"])


def _first_frame(entry: Row) -> str | None:
    return None if entry["first_frame_ms"] is None else milliseconds(entry["first_frame_ms"])


def _state(entry: Row) -> str | None:
    if entry["update_available"]:
        return "update available"
    return "added" if entry["installed"] else None


_COLUMNS: Final = columns(
    "name",
    Column("Workspace", "friendly_name"),
    "categories",
    Column("Size", _size),
    Column("First frame", _first_frame),
    Column("State", _state),
    "description",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the entry, as in the list.", show_default=False)]
Groups = Annotated[
    list[str],
    typer.Option(
        "--group", metavar="GROUP", help="Whose members may use it, by name or id; without, All Users. Repeatable."
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Show how the image comes to each Agent, and return when the first one has it.")
]
Within = Annotated[
    float, typer.Option("--within", parser=duration("s"), metavar="DURATION", help="How long to wait at most, seconds.")
]


@verb("catalogue", "list", of_one=False)
def catalogue_list(call: Call) -> None:
    """List what can be added, with what was."""
    call.output.rows(call.client.rows("/catalogue"), _COLUMNS, "The catalogue is empty.")


@verb("catalogue", of_one=False)
def add(call: Call, *, name: Name, group: Groups = [], wait: Wait = False, within: Within = 3600) -> None:  # noqa: B006 -- typer copies it
    """Add a workspace from the catalogue; Agents then get its image by themselves."""
    groups = [find_id(call.client, NOUNS["groups"], one) for one in group]
    _done(call, call.client.post(_path(name), {"groups": groups} if groups else {}), wait, within)


@verb("catalogue", of_one=False)
def update(call: Call, *, name: Name, wait: Wait = False, within: Within = 3600) -> None:
    """Give the workspace that was added the entry's present image; running sessions stay, staged ones are replaced."""
    _done(call, call.client.post(_path(name), {"update": True}), wait, within)


def _path(name: str) -> str:
    return f"/catalogue/{quote(name)}"


def _done(call: Call, image: Row, wait: bool, within_s: float) -> None:
    if wait:
        image = wait_until_there(call.client, call.output, image["image_id"], within_s)
    call.one(image)


def wait_until_there(client: Client, output: Output, image_id: str, within_s: float) -> Row:
    """Show how far each Agent is with the image of a workspace; returns the workspace once an Agent has it.

    Raises:
        ApiError: no Agent could get it, or none has it in time; the sentence says why.
    """
    end_s = time.monotonic() + within_s
    said: dict[str, str] = {}
    with output.err.status("Waiting for an Agent …") as status:
        while True:
            image = client.get(f"/images/{image_id}")
            agents: list[Row] = image["agents"]
            for agent in agents:
                line = _line(agent)
                if said.get(agent["agent_id"]) != line:
                    said[agent["agent_id"]] = line
                    output.err.print(Text(printable(line)))
            if image["available"]:
                return image
            if agents and all(agent["state"] == "failed" for agent in agents):
                raise ApiError(" ".join(dict.fromkeys(agent["error"] for agent in agents)))
            if time.monotonic() > end_s:
                raise ApiError(f"No Agent has the image {image['name']} after {within_s:g} s.")
            status.update(_progress(agents))
            time.sleep(POLL_S)


def _line(agent: Row) -> str:
    how = agent["how"] or agent["state"] if agent["state"] == "pulling" else agent["state"]
    why = agent["error"] or agent["reason"]
    return f"{agent['hostname']}: {how}" + (f": {why}" if why else "")


def _amount(agent: Row) -> str:
    of = f" of {agent['size_bytes'] / 1e6:.0f} MB" if agent["size_bytes"] else ""
    return f"{agent['progress']} %{of}"


def _progress(agents: list[Row]) -> str:
    coming = [f"{agent['hostname']} {_amount(agent)}" for agent in agents if agent["state"] == "pulling"]
    return ", ".join(coming) or "Waiting for an Agent …"
