"""`homes delete`."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError
from greenroom.cli.output import Row
from greenroom.cli.verbs import Call, Within, verb

POLL_S: Final = 1.0

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
