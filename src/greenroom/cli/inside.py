"""`sessions exec|screenshot`: what is done inside a running session without its stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.api.schemas.sessions import CommandCreate
from greenroom.cli.calls import Call, command
from greenroom.cli.client import TIMEOUT_S, ApiError, Row
from greenroom.cli.fields import body_of, options_of
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import printable
from greenroom.cli.verbs import address, identity
from greenroom.core.errors import SetupError

_NOUN: Final = NOUNS["sessions"]
_OPTIONS: Final = options_of(CommandCreate, {"command"}, with_null=False)
_DEADLINE_S: Final = 60.0

Argv = Annotated[
    list[str],
    typer.Argument(metavar="-- COMMAND…", help="The program and its arguments, for no shell.", show_default=False),
]
File = Annotated[Path, typer.Option("--output", "-o", help="Where the JPEG goes.", dir_okay=False)]
Across = Annotated[int, typer.Option(min=16, max=1920, help="Pixels; the picture keeps the shape of the screen.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("exec")(command(execute, [identity(_NOUN), *(option.parameter for option in _OPTIONS)]))
    app.command("screenshot")(command(screenshot, [identity(_NOUN)]))


def execute(call: Call, *, argv: Argv, given_id: str, **given: Any) -> None:
    """Run a command in a running session and print what it said; 1 where it did not end well."""
    body: Row = {"command": argv, **body_of(_OPTIONS, given, call.client)}
    wait_s = TIMEOUT_S + float(body.get("deadline_s", _DEADLINE_S))
    done = call.client.post(f"{address(call, _NOUN, given_id)}/commands", body, timeout_s=wait_s)
    if call.output.as_json:
        call.output.json(done)
        return
    call.output.out.print(printable(done["output"]), end="", soft_wrap=True, highlight=False, markup=False)
    if done["exit_code"] is None:
        raise ApiError("The command has not ended; it is left alone." if done["state"] == "done" else "It was cut off.")
    if done["exit_code"] != 0:
        raise ApiError(f"The command ended with exit code {done['exit_code']}.")


def screenshot(
    call: Call, *, output: File = Path("screenshot.jpg"), width: Across = 1280, height: Across = 800, **given: Any
) -> None:
    """Save the screen of a running session as a JPEG."""
    path = f"{address(call, _NOUN, given['given_id'])}/screenshot"
    picture = call.client.download(path, {"width": width, "height": height})
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise SetupError(f"The file {output} cannot be written: {error.strerror}.") from error
    call.output.done(f"The screen is in {output}.", {"file": str(output)})
