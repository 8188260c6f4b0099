"""The viewers of a session: their permissions, notifications to them, and the region of their browsers.

    GET events    server-sent events: `clipboard`, `printed` and `control` (control has changed). A viewer who may only
                  watch receives only `control`
    PUT region    {"timezone": "Europe/Berlin", "language": "de_DE"}; each may be omitted. The answer `changed` is true if
                  programs of the desktop were restarted; it follows when they are shown again

The time zone applies to all programs immediately, because /etc/localtime is a link to FOLDER/localtime. The language
applies to programs that start later; programs of the desktop that start other programs are restarted. English is the
language of the image. Only the first browser sets the region, because a later browser may belong to another person.
Nothing is changed if the launch has set TZ or LC_ALL, in a leased session, and by viewers who may only watch.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from protocol import COMMON_HEADERS, BadRequestError, Request, body, reply

HEARTBEAT_S = 20
"""The interval of empty events: a lost connection is detected only by a write."""

VIEW_ONLY_EVENTS = ("control",)
FOLDER = Path("/tmp/.greenroom")
ZONES = Path("/usr/share/zoneinfo")
LANGUAGES = Path("/usr/share/i18n/locales")
COMPILE_PROGRAM = "/opt/greenroom/language"
"""The program that compiles the locale of a language."""
RESTART_PROGRAM = "/opt/greenroom/restart"
"""The program that restarts programs of the desktop, and waits until they are shown."""
DEFAULT_ZONE = "Etc/UTC"
"""The zone of a session that no browser has opened."""
MAX_BODY_BYTES = 1024
ZONE_PATTERN = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
LANGUAGE_PATTERN = re.compile(r"[a-z]{2,3}_[A-Z]{2}")
PROGRAM_STARTERS = ("xfsettingsd", "xfdesktop", "xfce4-panel")
"""Programs of the desktop that start other programs. After they are killed, /opt/greenroom/desktop starts them
again."""
CLOCK_PROGRAMS = ("xfce4-panel",)
"""Programs that display the time in the zone in which they were started."""

_region_lock = asyncio.Lock()
_queues: dict[asyncio.Queue[bytes], bool] = {}
"""Queue of a viewer → True if the viewer may only watch."""


def allowed(variable: str) -> bool:
    """True unless the environment variable disables a service of the session (0 or false)."""
    return os.environ.get(variable, "1").lower() not in ("0", "false")


def is_view_only(request: Request) -> bool:
    """True if the viewer may only watch; the gateway sets the header."""
    return request.headers.get("x-greenroom-view-only") == "1"


def event(name: str, fields: Mapping[str, object]) -> bytes:
    """Return the bytes of a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(fields)}\n\n".encode()


def publish(name: str, /, **fields: object) -> None:
    """Send an event to all viewers, or only to those with input permission if it is not in VIEW_ONLY_EVENTS."""
    for queue, may_only_watch in _queues.items():
        if name in VIEW_ONLY_EVENTS or not may_only_watch:
            queue.put_nowait(event(name, fields))


async def follow(request: Request, writer: asyncio.StreamWriter, first: bytes = b"") -> None:
    """Send `first` and all further events to a viewer, until it disconnects."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *COMMON_HEADERS, "", ": ready\n\n"]
    writer.write("\r\n".join(head).encode() + first)
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    _queues[queue] = is_view_only(request)
    try:
        while not writer.is_closing():
            await writer.drain()
            try:
                writer.write(await asyncio.wait_for(queue.get(), HEARTBEAT_S))
            except TimeoutError:
                writer.write(b":\n\n")
    finally:
        del _queues[queue]


async def set_region(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_change: bool
) -> None:
    """Answer a request for `region`. With `may_change` False, the region is not changed."""
    if request.method != "PUT":
        return reply(writer, "405 Method Not Allowed", b"{}", "application/json", "Allow: PUT")
    try:
        region = json.loads(await body(request, reader, MAX_BODY_BYTES))
        zone, language = str(region.get("timezone") or ""), str(region.get("language") or "")
    except (ValueError, AttributeError) as error:
        raise BadRequestError("the region of a browser must be a JSON object") from error
    programs: list[str] = []
    if may_change:
        async with _region_lock:
            programs = [*set_zone(zone), *await set_language(language)]
            if programs:
                await run(RESTART_PROGRAM, *dict.fromkeys(programs))
    return reply(writer, "200 OK", json.dumps({"changed": bool(programs)}).encode())


def set_zone(name: str) -> tuple[str, ...]:
    """Set the time zone of the session if no browser has set one. Return the programs to restart."""
    link, zone = FOLDER / "localtime", ZONES / name
    if os.environ.get("TZ") or link.readlink() != ZONES / DEFAULT_ZONE or not ZONE_PATTERN.fullmatch(name) or not zone.is_file():
        return ()
    new_link = FOLDER / "localtime.new"
    new_link.symlink_to(zone)
    new_link.replace(link)
    return CLOCK_PROGRAMS if name != DEFAULT_ZONE else ()


async def set_language(name: str) -> tuple[str, ...]:
    """Set the language of the session if no browser has set one. Return the programs to restart."""
    language_file = FOLDER / "language"
    if os.environ.get("LC_ALL") or language_file.exists() or name.startswith("en_"):
        return ()
    if not LANGUAGE_PATTERN.fullmatch(name) or not (LANGUAGES / name).is_file() or await run(COMPILE_PROGRAM, f"{name}.UTF-8"):
        return ()
    language_file.write_text(f"{name}.UTF-8\n")
    return PROGRAM_STARTERS


async def run(*command: str) -> int:
    """Run a program and return its exit code."""
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    return await process.wait()
