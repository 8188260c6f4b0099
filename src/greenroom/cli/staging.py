"""`staging pause`, `resume`, `recycle`, `explain` and `history`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from greenroom.cli.client import Row
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column
from greenroom.cli.verbs import Call, add_change, address, command, identity

_NOUN: Final = NOUNS["staging"]
_REASONS: Final = (
    Column("Code", "code"),
    Column("Setting", "setting"),
    Column("Group", "group"),
    Column("Reason", "reason"),
)
_SPANS: Final = {1: "last hour", 24: "last 24 h", 168: "last 7 d"}


def _span(window: Row) -> str:
    return _SPANS.get(window["hours"], f"last {window['hours']} h")


def _rate(window: Row) -> str | None:
    return None if window["hit_rate"] is None else f"{window['hit_rate']:.0%}"


def _why(miss: Row) -> str:
    return " ".join(reason["reason"] for reason in miss["reasons"])


_WINDOWS: Final = (
    Column("Launches of the", _span),
    Column("Hits", "hits"),
    Column("Misses", "misses"),
    Column("Served elsewhere", "served_elsewhere"),
    Column("Hit rate", _rate),
)
_CAUSES: Final = (
    Column("Code", "code"),
    Column("Setting", "setting"),
    Column("Launches", "launches"),
    Column("Last", "last"),
    Column("Reason", "reason"),
)
_MISSES: Final = (
    Column("Time", "time"),
    Column("User", "username"),
    Column("Outcome", "outcome"),
    Column("Launch ID", "launch_id"),
    Column("Reason", _why),
)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_change(app, "pause", "staging", {"paused": True}, "Assign no session of a config, and stage no more of them.")
    add_change(app, "resume", "staging", {"paused": False}, "Fill the pool of a config again.")
    app.command("recycle")(command(recycle, [identity(_NOUN)]))
    app.command("explain")(command(explain, [identity(_NOUN)]))
    app.command("history")(command(history, [identity(_NOUN)]))


def recycle(call: Call, **given: Any) -> None:
    """Replace all staged sessions of a config, and try again at once after failed starts."""
    call.one(call.client.post(f"{address(call, _NOUN, given['given_id'])}/recycle"))


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
    **given: Any,
) -> None:
    """Would this user get a session of this config now, and if not, why? Nothing is launched."""
    query = {"user": user} | ({"zone": zone} if zone else {})
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/explain", query)
    if call.output.as_json:
        call.output.json(found)
        return
    verdict = "would get" if found["would_get"] else "would not get"
    whence = f" when the launch begins in zone {found['zone_name']}" if zone else ""
    call.output.out.print(Text(f"{found['username']} {verdict} a session of this config now{whence}."))
    if found["reasons"]:
        call.output.rows(found["reasons"], _REASONS, "")
    for note in found["notes"]:
        call.output.warn(note)


def history(
    call: Call,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many of the newest misses.")] = 20,
    **given: Any,
) -> None:
    """How many launches a config served and missed, why it missed them, and whose they were."""
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/history", {"limit": limit})
    if call.output.as_json:
        call.output.json(found)
        return
    call.output.rows(found["windows"], _WINDOWS, "")
    if found["reasons"]:
        call.output.out.print()
        call.output.rows(found["reasons"], _CAUSES, "")
        call.output.out.print()
        call.output.rows(found["recent_misses"], _MISSES, "")
