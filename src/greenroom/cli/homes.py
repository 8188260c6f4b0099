"""`homes delete`: it says what is lost, and can wait until it is."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.values import duration
from greenroom.cli.verbs import Call, verb

POLL_S: Final = 1.0

Wait = Annotated[bool, typer.Option("--wait", help="Return when the files are gone.")]
Within = Annotated[
    float, typer.Option("--within", parser=duration("s"), metavar="DURATION", help="How long to wait at most, seconds.")
]


@verb("homes")
def delete(call: Call, *, wait: Wait = False, within: Within = 600.0) -> None:
    """Delete a home folder with all its files; refused while a session has it."""
    home = call.client.get(call.path)
    call.client.delete(call.path, {})
    end_s = time.monotonic() + within
    while wait and (remark := _remark(call, home)) is not None:
        if time.monotonic() > end_s:
            raise ApiError(f"It is not deleted after {within:g} s; it will be. {remark}")
        time.sleep(POLL_S)
    call.output.done(home["loss"], {"home_id": home["home_id"], "deleted": wait, "loss": home["loss"]})


def _remark(call: Call, home: Row) -> str | None:
    """What is said of it while it is there; None = it is gone."""
    there = call.client.rows("/homes", {"user_id": home["user_id"], "image_id": home["image_id"]}, None)
    return next((one["remark"] for one in there if one["home_id"] == home["home_id"]), None)
