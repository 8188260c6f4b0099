"""The time zone and language of a viewer's browser, for a session whose user and groups have chosen none.

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
from pathlib import Path

from answers import BadRequestError, Request, body, reply

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


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool) -> None:
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
