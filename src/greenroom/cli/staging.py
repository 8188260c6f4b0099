"""`staging recycle`, `explain` and `history`; `images refresh`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.text import Text

from greenroom.cli.client import Row
from greenroom.cli.output import Column, columns
from greenroom.cli.verbs import Call, verb

_REASONS: Final = columns("code setting group reason")
_SPANS: Final = {1: "last hour", 24: "last 24 h", 168: "last 7 d"}


def _span(window: Row) -> str:
    return _SPANS.get(window["hours"], f"last {window['hours']} h")


def _rate(window: Row) -> str | None:
    return None if window["hit_rate"] is None else f"{window['hit_rate']:.0%}"


def _why(miss: Row) -> str:
    return " ".join(reason["reason"] for reason in miss["reasons"])


_WINDOWS: Final = columns(Column("Launches of the", _span), "hits misses served_elsewhere", Column("Hit rate", _rate))
_CAUSES: Final = columns("code setting launches last reason")
_MISSES: Final = columns("time username outcome launch_id", Column("Reason", _why))


@verb("staging")
def recycle(call: Call) -> None:
    """Replace all staged sessions of a config, and try again at once after failed starts."""
    call.one(call.client.post(f"{call.path}/recycle"))


@verb("images")
def refresh(call: Call) -> None:
    """Let all Agents ask the registry for the image again; staged sessions of an older image are replaced."""
    call.one(call.client.post(f"{call.path}/refresh"))


@verb("staging")
def explain(
    call: Call,
    *,
    user: Annotated[str, typer.Option(metavar="USER", help="The user, by name or id.")],
    zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", help="Where the launch begins, by name or id; else the config's zone.", show_default=False
        ),
    ] = None,
) -> None:
    """Would this user get a session of this config now, and if not, why? Nothing is launched."""
    query = {"user": user} | ({"zone": zone} if zone else {})
    found = call.client.get(f"{call.path}/explain", query)
    if call.output.as_json:
        call.output.json(found)
        return
    verdict = "would get" if found["would_get"] else "would not get"
    whence = f" when the launch begins in zone {found['zone_name']}" if zone else ""
    call.output.out.print(Text(f"{found['username']} {verdict} a session of this config now{whence}."))
    if found["reasons"]:
        call.output.rows(found["reasons"], _REASONS, "", whole=True)
    for note in found["notes"]:
        call.output.warn(note)


@verb("staging")
def history(
    call: Call,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many of the newest misses.")] = 20,
) -> None:
    """How many launches a config served and missed, why it missed them, and whose they were."""
    found = call.client.get(f"{call.path}/history", {"limit": limit})
    if call.output.as_json:
        call.output.json(found)
        return
    call.output.rows(found["windows"], _WINDOWS, "")
    if found["reasons"]:
        call.output.out.print()
        call.output.rows(found["reasons"], _CAUSES, "", whole=True)
        call.output.out.print()
        call.output.rows(found["recent_misses"], _MISSES, "", whole=True)
