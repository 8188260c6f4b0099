"""`greenroom recording`: what a program did with a lease."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from greenroom.cli.client import Row
from greenroom.cli.output import Column, columns, milliseconds
from greenroom.cli.verbs import Call, command

Lease = Annotated[str, typer.Argument(metavar="LEASE", help="The id of the lease.", show_default=False)]
Export = Annotated[
    Path | None, typer.Option(help="Write all of it with its pictures to this file, a ZIP.", show_default=False)
]


def _outcome(row: Row) -> str:
    return row["error"] or ("done" if row["code"] is None else row["code"])


def _picture(row: Row) -> str | None:
    if row["picture"] is not None:
        return f"{row['picture']['width']} x {row['picture']['height']}"
    return row["picture_left_out"] and "left out"


_COLUMNS: Final = columns(
    Column("Number", lambda row: str(row["number"])),
    "began",
    Column("Took", lambda row: milliseconds(row["duration_ms"])),
    Column("What", lambda row: row["said"]),
    Column("Outcome", _outcome),
    Column("Picture", _picture),
)


@command
def recording(call: Call, *, lease: Lease, export: Export = None) -> None:
    """Show what was done with a lease, also when it is over; with --export take it away with its pictures."""
    path = f"/leases/{lease}/recording"
    if export is not None:
        call.client.export_recording(lease, export)
        call.output.err.print(f"The recording is in {export}.")
        return
    rows = call.client.rows(f"{path}/rows")
    call.output.rows(rows, _COLUMNS, "Nothing was done with this lease yet.", whole=True)
