"""`greenroom demo`: an instance with invented data, on the simulated runtime."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.instance import Json
from greenroom.cli.output import print_local_result
from greenroom.up import log


class DemoLanguage(StrEnum):
    """A language of the demo data."""

    EN = "en"
    DE = "de"


def _default_folder() -> Path:
    from greenroom.demo.instance import default_folder  # noqa: PLC0415 -- the import takes time

    return default_folder()


DemoData = Annotated[
    Path,
    typer.Option(
        "--data",
        default_factory=_default_folder,
        resolve_path=True,
        help="Data folder of the demo.",
        show_default="that of greenroom up, with -demo at its end",
    ),
]


def demo(
    *,
    data: DemoData,
    port: Annotated[
        int | None, typer.Option(help="Port of the console and the api.", show_default="9443, or the next free port")
    ] = None,
    language: Annotated[
        DemoLanguage, typer.Option(help="Language of the demo data and of its users.")
    ] = DemoLanguage.EN,
    seed: Annotated[int, typer.Option(help="Seed of the random data; the same seed repeats them.")] = 1,
    incident: Annotated[
        bool, typer.Option("--incident/--healthy", help="With problems that need an administrator, or without.")
    ] = False,
    small: Annotated[bool, typer.Option("--small", help="Fewer people, hosts and sessions; starts faster.")] = False,
    end: Annotated[bool, typer.Option("--end", help="End the demo, and remove all its data.")] = False,
    as_json: Json = False,
) -> None:
    """Run a demo with invented data on simulated hosts, next to any installation; --end removes it.

    Sessions have no containers. The demo has its own data folder and ports, and listens on this machine only. Options
    of a demo that exists do not change.
    """
    from greenroom.demo import instance  # noqa: PLC0415 -- the import takes time
    from greenroom.up.progress import command_name  # noqa: PLC0415 -- the same

    log.configure_for_command("demo")
    if end:
        instance.remove(data)
        print_local_result({"data": str(data), "removed": True}, "The demo is removed.", as_json=as_json)
        return
    running = instance.start(data, port=port, language=language.value, seed=seed, small=small, incident=incident)
    lines = [
        f"The demo is ready at {running.url}",
        f"Log in as {running.usernames[0]} (administrator) with the password {running.stored.password}",
        f"Other users with this password: {', '.join(running.usernames[1:])}",
        f"Certificate authority: {running.ca_file}",
        f"Remove it with: {command_name()} demo --end --data {shlex.quote(running.data)}",
    ]
    print_local_result(instance.as_json(running), *lines, as_json=as_json)
