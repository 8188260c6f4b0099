"""The options of commands for one of several machines, whose roles are services of systemd."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greenroom.core.errors import SetupError

Services = Annotated[
    bool, typer.Option("--services", help="Use the services of systemd on this machine, one of several.")
]
ServicesFolder = Annotated[
    Path,
    typer.Option(
        "--folder", help="With --services: the folder with the keys and settings.", file_okay=False, resolve_path=True
    ),
]
OwnerUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="With --services: database URL of the owner of the tables; also GREENROOM_DATABASE_URL.",
        show_default="that of the api or of the Manager",
    ),
]


def services_database(url: str | None) -> str:
    """Return the URL of the database: `url`, the result of `external_database`, else that of the api or of the Manager
    of this machine.

    Raises:
        SetupError: there is none.
    """
    from greenroom.upgrade.services_facts import database_of  # noqa: PLC0415
    from greenroom.upgrade.units import read_services  # noqa: PLC0415

    if url:
        return url
    if found := database_of({service.role: service for service in read_services()}, None):
        return found
    raise SetupError("No api or Manager runs on this machine; specify --database-url.")
