"""`greenroom rehearse`: a morning against a live system, before the users come; says what would be short."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Printer, columns, printable
from greenroom.cli.rehearsal.run import rehearse as run
from greenroom.cli.rehearsal.verdict import Morning, Result
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, command
from greenroom.db.access.users import ALL_USERS

_REASONS: Final = columns("launches code sentence")

Users = Annotated[int, typer.Option(min=1, max=100_000, help="How many come, each for one session.")]
Within = Annotated[
    float,
    typer.Option(parser=duration("s"), metavar="DURATION", help="Within which they come, most in the middle; seconds."),
]
UsableWithin = Annotated[
    float,
    typer.Option(parser=duration("s"), metavar="DURATION", help="How long a user waits for a usable session, seconds."),
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGE",
        help="The workspace, by friendly name or id; else the default one of All Users, else the first enabled one.",
        show_default=False,
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Where the launches begin; else where the address leads.", show_default=False),
]
Seed = Annotated[int, typer.Option(help="The same one gives the same arrivals.")]
Real = Annotated[bool, typer.Option("--real-containers", help="Also where Agents have real containers.")]


@command
def rehearse(
    call: Call,
    *,
    users: Users,
    within: Within,
    usable_within: UsableWithin = 30,
    image: Image = None,
    zone: Zone = None,
    seed: Seed = 0,
    real_containers: Real = False,
) -> None:
    """Launch a session for each of many users, as on a morning, and say what would be short; 1 where one got none.

    The users and a group for them are made for the rehearsal, and deleted with their sessions at the end.
    """
    workspace = _workspace(call.client, image)
    morning = Morning(
        users=users,
        within_s=within,
        usable_within_s=usable_within,
        seed=seed,
        image_id=workspace["image_id"],
        workspace=workspace["friendly_name"],
        zone_id=find_id(call.client, NOUNS["zones"], zone) if zone is not None else None,
    )
    with call.output.err.status("") as status:
        result = run(
            call.client,
            morning,
            real_containers=real_containers,
            say=lambda sentence: status.update(printable(sentence)),
            warn=call.output.warn,
        )
    _show(call.output, result)
    if not result.passed:
        raise typer.Exit(1)


def _workspace(client: Client, named: str | None) -> Row:
    if named is None:
        named = client.get(f"/groups/{ALL_USERS}")["settings"].get("default_image")
    if named:
        return client.get(f"/images/{find_id(client, NOUNS['images'], named)}")
    enabled = [image for image in client.rows("/images") if image["enabled"]]
    if not enabled:
        raise ApiError("No workspace is enabled, so there is nothing to launch; see greenroom images list.")
    return enabled[0]


def _show(output: Printer, result: Result) -> None:
    if output.printed(asdict(result)):
        return
    row = asdict(result)
    refusals, not_staged, short = row.pop("refusals"), row.pop("not_staged"), row.pop("short")
    shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
    output.one(shown)
    for reasons in (refusals, not_staged):
        if reasons:
            output.line()
            output.rows(reasons, _REASONS, "", whole=True)
    output.line()
    for sentence in short or ["Nothing would be short."]:
        output.line(sentence)
