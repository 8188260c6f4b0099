"""The viewers of a session: who may only watch, what they learn without asking, and the region of their browsers.

    GET events    server-sent events: something was copied in the session, or printed, or control changed hands, which is
                  all that those learn who may only watch
    PUT region    {"timezone": "Europe/Berlin", "language": "de_DE"}; either may be left out

All programs have the zone at once: /etc/localtime leads to FOLDER/localtime. A language counts for programs that start
later; of the desktop, those that start others are started again. English needs none. The first browser decides, because a
later one may be that of a helper. Nothing changes where the launch has set TZ or LC_ALL, in a leased session, and for
viewers who may only watch.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from protocol import SECURITY, BadRequestError, Request, body, reply

HEARTBEAT_S = 20
"""Between two signs of life; a connection that is gone is noticed by writing to it."""

FOR_WATCHERS = ("control",)
FOLDER = Path("/tmp/.greenroom")
ZONES = Path("/usr/share/zoneinfo")
LANGUAGES = Path("/usr/share/i18n/locales")
COMPILE = "/opt/greenroom/language"
NO_ZONE = "Etc/UTC"
"""Of a session that no browser has opened."""
MAX_BODY_BYTES = 1024
IS_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
IS_LANGUAGE = re.compile(r"[a-z]{2,3}_[A-Z]{2}")
STARTERS = ("xfsettingsd", "xfdesktop", "xfce4-panel")
"""Programs of the desktop that start others; /opt/greenroom/desktop starts them again."""
CLOCK = ("xfce4-panel",)

_turn = asyncio.Lock()
_queues: dict[asyncio.Queue[bytes], bool] = {}
"""Queue of a viewer → whether they may only watch."""


def allowed(variable: str) -> bool:
    """Whether a service of the session is on."""
    return os.environ.get(variable, "1").lower() not in ("0", "false")


def only_watches(request: Request) -> bool:
    """Whether the viewer has no part in the session but to see it; the gateway sets this."""
    return request.headers.get("x-greenroom-view-only") == "1"


def event(name: str, fields: Mapping[str, object]) -> bytes:
    """An event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(fields)}\n\n".encode()


def publish(name: str, /, **fields: object) -> None:
    """Send an event to all viewers."""
    for queue, watches in _queues.items():
        if name in FOR_WATCHERS or not watches:
            queue.put_nowait(event(name, fields))


async def follow(request: Request, writer: asyncio.StreamWriter, first: bytes = b"") -> None:
    """Send a viewer `first`, and each event from now on, until they leave."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *SECURITY, "", ": ready\n\n"]
    writer.write("\r\n".join(head).encode() + first)
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    _queues[queue] = only_watches(request)
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
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
) -> None:
    """Answer a request for region; `counts` is false for viewers whose browser sets nothing."""
    if request.method != "PUT":
        return reply(writer, "405 Method Not Allowed", b"{}", "application/json", "Allow: PUT")
    try:
        said = json.loads(await body(request, reader, MAX_BODY_BYTES))
        zone, language = str(said.get("timezone") or ""), str(said.get("language") or "")
    except (ValueError, AttributeError) as error:
        raise BadRequestError("the region of a browser is a JSON object") from error
    if counts:
        async with _turn:
            again = [*set_zone(zone), *await set_language(language)]
            if again:
                await run("pkill", "-x", "|".join(dict.fromkeys(again)))
    return reply(writer, "200 OK", b"{}")


def set_zone(name: str) -> tuple[str, ...]:
    """Let this be the zone of the session, if it has none yet; returns the programs to start again."""
    link, zone = FOLDER / "localtime", ZONES / name
    if os.environ.get("TZ") or link.readlink() != ZONES / NO_ZONE or not IS_ZONE.fullmatch(name) or not zone.is_file():
        return ()
    made = FOLDER / "localtime.new"
    made.symlink_to(zone)
    made.replace(link)
    return CLOCK if name != NO_ZONE else ()


async def set_language(name: str) -> tuple[str, ...]:
    """Let this be the language of the session, if it has none yet; returns the programs to start again."""
    chosen = FOLDER / "language"
    if os.environ.get("LC_ALL") or chosen.exists() or name.startswith("en_"):
        return ()
    if not IS_LANGUAGE.fullmatch(name) or not (LANGUAGES / name).is_file() or await run(COMPILE, f"{name}.UTF-8"):
        return ()
    chosen.write_text(f"{name}.UTF-8\n")
    return STARTERS


async def run(*command: str) -> int:
    """Run a program; its exit code."""
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    return await process.wait()
