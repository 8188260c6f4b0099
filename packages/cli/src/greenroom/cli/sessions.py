"""`sessions launch|stop|pause|resume|go|destroy|placement`, and `sessions exec|screenshot` inside a running session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from greenroom.cli.client import ApiError, Client
from greenroom.cli.nouns import NOUNS, STEP_COLUMNS
from greenroom.cli.output import Printer, Row, printable, styled
from greenroom.cli.verbs import Call, Within, field_options, verb
from greenroom.client.requests import TIMEOUT_S
from greenroom.core.access.accounts import ADMIN
from greenroom.core.errors import SetupError
from greenroom.core.session.states import COMMAND_EFFECTS, LifecycleCommand

if TYPE_CHECKING:
    from rich.text import Text

_DEFAULT_DEADLINE_S: Final = 60.0
POLL_S: Final = 0.25
FINAL_STATUSES: Final = frozenset({"failed", "deleting", "deleted", "stopping", "stopped"})
"""Statuses from which a starting session can no longer become running."""

Argv = Annotated[
    list[str], typer.Argument(metavar="-- COMMAND…", help="The program and its arguments; no shell is used.")
]
File = Annotated[Path, typer.Option("--output", "-o", help="File for the JPEG.", dir_okay=False)]


Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The workspace, by friendly name or id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show the steps; return when the session is running.")]
SetAside = Annotated[
    bool, typer.Option("--set-aside", help="Destroy the session in quarantine itself, not its replacement.")
]
Address = Annotated[str, typer.Argument(metavar="URL", help="The address, http:// or https://.")]


@verb("sessions", options=field_options("POST /sessions", "image_id"), takes_object=False)
def launch(call: Call, *, image: Image, wait: Wait = False, within: Within = 300) -> None:
    """Launch a workspace. On a local instance without --user, the session belongs to the first administrator."""
    body: Row = {"image_id": NOUNS["images"].find_id(call.client, image)}
    body |= call.body()
    if "user_id" not in body and call.client.server.is_local:
        body["user_id"] = NOUNS["users"].find_id(call.client, ADMIN)
    launched = call.client.post("/sessions", body)
    call.output.print_warning(_zone_warning(launched, body.get("zone_id")))
    launched["connect_url"] = call.client.server.url + launched["connect_url"]
    result = launched
    if wait:
        result = launched | wait_until_running(call.client, call.output, launched["session_id"], within)
    call.print_object(result if call.output.as_json else {name: result[name] for name in launched})


def _zone_warning(launched: Row, requested_zone: str | None) -> str | None:
    """Return a warning if the session is not in the requested zone, else None."""
    if requested_zone is None or launched["zone_id"] == requested_zone:
        return None
    return (
        f"The session is in zone {launched['zone_name']}, not in the requested zone. --zone has an effect only for"
        " users with the group setting allow_zone_selection, and while that zone has capacity. Run greenroom sessions"
        f" placement {launched['session_id']} for the reason."
    )


_LIFECYCLE_HELP: Final[dict[LifecycleCommand, str]] = {
    "stop": "Stop a session: its programs end; its disk and its reservation remain.",
    "pause": "Pause a session: its programs are frozen in memory; its reservation remains.",
    "resume": "Resume a stopped or paused session at the same address.",
}


def _add_lifecycle_verb(command: LifecycleCommand) -> None:
    def run(call: Call) -> None:
        answer = call.client.post(f"{call.path}/lifecycle-commands", {"command": command})
        call.output.print_result(f"The session {call.target} is {answer.get('status', command)}.", answer)

    run.__doc__ = _LIFECYCLE_HELP[command]
    verb("sessions", command)(run)


for _command in COMMAND_EFFECTS:
    _add_lifecycle_verb(_command)


@verb("sessions")
def go(call: Call, *, kasm_url: Address) -> None:
    """Open an address in a running session, with the `go` command of its workspace."""
    answer = call.client.post(f"{call.path}/go", {"kasm_url": kasm_url})
    outcome = "it is still running" if answer["exit_code"] is None else f"exit code {answer['exit_code']}"
    call.output.print_result(f"`go` ran in session {call.target}: {outcome}.", answer)


@verb("sessions", options=field_options("DELETE /sessions/{session_id}", "follow"))
def destroy(call: Call, *, set_aside: SetAside = False) -> None:
    """Destroy a session and its container. The data in the container is lost."""
    query = call.body() | ({"follow": False} if set_aside else {})
    answer = call.client.delete(call.path, query) or {}
    call.output.print_result(f"The session {call.target} is {answer.get('status', 'deleting')}.", answer)


@verb("sessions")
def placement(call: Call) -> None:
    """Show the steps of the launch of a session, with the reason for each candidate that was not used."""
    response = call.client.get(f"{call.path}/placement")
    if call.output.print_if_json(response):
        return
    call.output.print_line(f"outcome: {response['outcome']}")
    call.output.print_list(response["steps"], STEP_COLUMNS, "No steps were recorded.", fold=True)


@verb("sessions", "exec", options=field_options("POST /sessions/{session_id}/commands", "command"))
def execute(call: Call, *, argv: Argv) -> None:
    """Run a command in a running session and print its output; exit code 1 if the command fails."""
    body: Row = {"command": argv, **call.body()}
    wait_s = TIMEOUT_S + float(body.get("deadline_s", _DEFAULT_DEADLINE_S))
    result = call.client.post(f"{call.path}/commands", body, timeout_s=wait_s)
    if call.output.print_if_json(result):
        return
    call.output.out.print(printable(result["output"]), end="", soft_wrap=True, highlight=False, markup=False)
    if result["exit_code"] is None:
        raise ApiError("The command is still running." if result["state"] == "done" else "The command was interrupted.")
    if result["exit_code"] != 0:
        raise ApiError(f"The command ended with exit code {result['exit_code']}.")


@verb("sessions", options=field_options("GET /sessions/{session_id}/screenshot"))
def screenshot(call: Call, *, output: File = Path("screenshot.jpg")) -> None:
    """Save the screen of a running session as a JPEG, by default of at most 1280 x 800 pixels."""
    picture = call.client.download(f"{call.path}/screenshot", {"width": 1280, "height": 800} | call.body())
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise SetupError(f"The file {output} cannot be written: {error.strerror}.") from error
    call.output.print_result(f"The screenshot was written to {output}.", {"file": str(output)})


def wait_until_running(client: Client, output: Printer, session_id: str, within_s: float) -> Row:
    """Display each step as soon as the server has recorded it. Return the session when it is running. Raises ApiError:
    the session failed, ended, or is not running after `within_s`; the message contains the reason."""
    end_s = time.monotonic() + within_s
    printed = 0
    with output.err.status("Launching …") as status:
        while True:
            connection = client.get(f"/sessions/{session_id}/connection")
            for line in list(_step_lines(connection["steps"]))[printed:]:
                output.err.print(line)
                printed += 1
            message = connection["operational_message"]
            if connection["status"] == "running":
                return client.get(f"/sessions/{session_id}")
            if connection["status"] in FINAL_STATUSES:
                raise ApiError(message)
            if time.monotonic() > end_s:
                raise ApiError(f"The session {session_id} is not running after {within_s:g} s: {message}.")
            status.update(f"{connection['operational_progress']} % {message} …")
            time.sleep(POLL_S)


def _step_lines(steps: list[Row]) -> Iterator[Text]:
    """Yield a line for each step that happened, with the time since the previous step."""
    previous_time: datetime | None = None
    for step in steps:
        if step["at"] is None:
            continue
        step_time = datetime.fromisoformat(step["at"])
        line = styled("✓ ", "green").append(step["title"], style="default")
        if previous_time is not None:
            duration_s = max(0.0, (step_time - previous_time).total_seconds())  # the clocks of hosts can differ
            line.append(f"  {duration_s:.1f} s", style="dim")
        previous_time = step_time
        yield line
