"""`greenroom up`, `down`, `status`, `migrate`, `doctor`: an instance on this machine.

Each command imports its implementation when it runs: the import takes most of a second, which `--help` does not need.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.server import find_server
from greenroom.cli.values import begin_again_without
from greenroom.cli.verbs import CaFile, Key, KeySecret, Url, connect, plain_verb
from greenroom.core.access.accounts import ADMIN
from greenroom.core.errors import SetupError
from greenroom.up.layout import running_layout
from greenroom.up.options import Options, default_data

URL_VARIABLE = "GREENROOM_DATABASE_URL"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of all its state.",
        readable=False,  # others may be able to traverse it; its content shows which account owns it
        show_default="$GREENROOM_DATA, else /var/lib/greenroom as root, else ~/.local/share/greenroom",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]


def up(
    *,
    data: Data = None,
    port: Annotated[int | None, typer.Option(help="Port of console and api.", show_default="8443")] = None,
    managers: Annotated[int | None, typer.Option(help="Managers per zone.", show_default="1")] = None,
    zones: Annotated[str | None, typer.Option(help="Names with commas.", show_default="default")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="PostgreSQL of your own instead of the embedded; also in GREENROOM_DATABASE_URL.")
    ] = None,
    hostname: Annotated[str | None, typer.Option(help="Listen on all addresses, under this name.")] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Address of the console behind a reverse proxy, https://NAME[:PORT].")
    ] = None,
    served_hosts: Annotated[
        str | None, typer.Option(help="Further host names that are served, with commas; '' for none.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate for the host name, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it serves; it goes on running.")] = False,
    as_json: Json = False,
) -> None:
    """Run everything on this machine."""
    from greenroom.db.database import has_password  # noqa: PLC0415
    from greenroom.up import commands  # noqa: PLC0415

    if database_url is not None and has_password(database_url):
        begin_again_without("--database-url", URL_VARIABLE, database_url)
    options = Options(
        port=port,
        managers=managers,
        zones=tuple(name.strip() for name in zones.split(",")) if zones is not None else None,
        database_url=database_url or os.environ.get(URL_VARIABLE) or None,
        hostname=hostname,
        public_url=public_url,
        served_hosts=_names(served_hosts),
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    commands.up(_folder(data), options, detach=detach, as_json=as_json)


def down(data: Data = None, as_json: Json = False) -> None:
    """Stop it, end its sessions, and leave no process, container or network behind."""
    from greenroom.up import commands  # noqa: PLC0415

    commands.down(_folder(data), as_json=as_json)


def status(data: Data = None, as_json: Json = False) -> None:
    """Show what runs and whether it works."""
    layout = running_layout(_folder(data))
    from greenroom.up import commands  # noqa: PLC0415

    commands.status(layout, as_json=as_json)


def doctor(
    *,
    data: Data = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="List what is left over and belongs to nothing; without --yes it stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: remove it.")] = False,
    url: Url = None,
    key: Key = None,
    secret: KeySecret = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Check what must always hold; exit code 1 when something is broken, or left over and not removed.

    With --repair and --url it looks for what a deployment elsewhere made: in Docker here, or with
    GREENROOM_RUNTIME=kubernetes in the namespace GREENROOM_KUBE_NAMESPACE.
    """
    from greenroom.cli.repair import repair_elsewhere  # noqa: PLC0415
    from greenroom.up import commands  # noqa: PLC0415
    from greenroom.up.doctor import show_repair  # noqa: PLC0415

    if repair and url is not None:
        with connect(find_server(url=url, key=key, secret=secret, ca_file=ca_file, data=data)) as client:
            repair_elsewhere(client, removes=yes, as_json=as_json)
    elif repair:
        show_repair(_folder(data), removes=yes, as_json=as_json)
    elif yes:
        raise SetupError("--yes belongs to --repair; without that, greenroom doctor changes nothing.")
    else:
        commands.doctor(_folder(data), as_json=as_json)


def migrate(
    data: Data = None,
    database_url: Annotated[str | None, typer.Option(help="Instead of the instance's database.")] = None,
    *,
    pre: Annotated[bool, typer.Option("--pre", help="Only as far as the previous version goes on with it.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database up to this version of Greenroom."""
    from greenroom.up import commands  # noqa: PLC0415

    url = database_url or os.environ.get(URL_VARIABLE)
    applied, left = commands.migrate(_folder(data), url, only_pre=pre)
    if as_json:
        typer.echo(json.dumps({"applied": applied, "left": left}))
        return
    typer.echo("\n".join(applied) or f"The database is up to date{' for now' if left else ''}.")
    if left:
        typer.echo("Left until every process runs this version, then run greenroom migrate: " + ", ".join(left))


def reset_password(
    username: Annotated[str, typer.Argument()] = ADMIN, data: Data = None, as_json: Json = False
) -> None:
    """Give a user a new random password and print it; needs no server, only the instance's folder."""
    from greenroom.up import commands  # noqa: PLC0415

    password = commands.reset_password(_folder(data), username)
    typer.echo(json.dumps({"username": username, "password": password}) if as_json else password)


plain_verb("users", "reset-password", reset_password)


def _names(given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(name.strip() for name in given.split(",") if name.strip())


def _folder(data: Path | None) -> Path:
    return (data or default_data()).resolve()
