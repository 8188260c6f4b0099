"""The audit: `audit list`, `audit export`, and `audit verify` on a host with the key of the installation."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from greenroom.cli.instance import Data, Json, external_database
from greenroom.cli.output import TIME, columns, print_local_result
from greenroom.cli.verbs import Call, Limit, field_options, local_verb, verb
from greenroom.client.events import connection_lost_error
from greenroom.client.requests import PREFIX, ApiRequest, replace_atomically
from greenroom.core.audit import Link
from greenroom.core.errors import SetupError

_OPTIONS: Final = field_options("GET /audit")


@verb("audit", "list", options=_OPTIONS, takes_object=False)
def audit_list(call: Call, *, limit: Limit = 100) -> None:
    """List events of the audit, newest first."""
    call.print_list("/audit", columns("event_id", TIME, "result code message"), "No events match.", limit, fold=True)


@verb("audit", "export", options=_OPTIONS, takes_object=False)
def audit_export(
    call: Call,
    *,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="File in place of stdout.")] = None,
) -> None:
    """Write the events as JSON lines, oldest first. The last line has the head, for `audit verify --expect`."""
    request = ApiRequest("GET", f"{PREFIX}/audit/export", query=call.body(), is_streamed=True)
    with (
        call.client.stream(request, connection_lost_error) as answer,
        nullcontext(sys.stdout.buffer) if to is None else replace_atomically(to) as target,
    ):
        for piece in answer.iter_bytes():
            target.write(piece)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day; use the form 2026-11-28.") from error


def verify(
    *,
    data: Data,
    database_url: Annotated[
        str | None, typer.Option(help="Database in place of that of the instance; also GREENROOM_DATABASE_URL.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(envvar="GREENROOM_SECRET_KEY_FILE", help="With --database-url: the key of the installation."),
    ] = None,
    first_day: Annotated[
        date | None, typer.Option("--from", parser=_day, metavar="DAY", help="First day (UTC), YYYY-MM-DD.")
    ] = None,
    last_day: Annotated[
        date | None, typer.Option("--to", parser=_day, metavar="DAY", help="Last day (UTC), YYYY-MM-DD.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="HEAD", help="A head that was recorded before, which the chain must contain.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the audit; exit code 1 if an event was changed, added or removed outside of Greenroom, and 3 if the chain
    is intact but empty or too short.

    The command reads the database and the key of the installation directly. Run it on a host that has both.
    """
    from greenroom.up.audit import verify_audit  # noqa: PLC0415

    url = external_database(database_url)
    if url is not None and key_file is None:
        raise SetupError("The database is external; specify the key of the installation with --key-file.")
    try:
        expected = None if expect is None else Link.parse(expect)
    except ValueError as error:
        raise typer.BadParameter("A head has the form NUMBER:HEXADECIMAL, as `audit verify` prints it.") from error
    result = asyncio.run(verify_audit(data, url, key_file, first_day=first_day, last_day=last_day, expected=expected))
    summary = result.problem or " ".join(filter(None, (f"{result.checked} events are intact.", result.doubt)))
    if result.later:
        summary += f" Of the {result.later} events after it, {result.later_intact} are intact."
    print_local_result(
        {
            "checked": result.checked,
            "head": str(result.last),
            "problem": result.problem,
            "later": result.later,
            "later_intact": result.later_intact,
            "doubt": result.doubt,
        },
        summary,
        f"Head: {result.last}",
        as_json=as_json,
    )
    if result.problem is not None:
        raise typer.Exit(1)
    if result.doubt is not None:
        raise typer.Exit(3)


local_verb("audit", "verify", verify)
