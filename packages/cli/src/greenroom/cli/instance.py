"""`greenroom up`, `down`, `status`, `migrate`, `doctor`: an instance on this machine.

Each command imports its implementation when it runs: the import takes most of a second, and `--help` does not need it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.client import Client
from greenroom.cli.output import print_local_result
from greenroom.cli.server import find_server
from greenroom.cli.values import move_option_to_environment
from greenroom.cli.verbs import CaFile, Key, KeySecret, Url, local_verb
from greenroom.core.access.accounts import ADMIN
from greenroom.core.errors import SetupError
from greenroom.up.layout import running_layout
from greenroom.up.options import Options, default_data

URL_VARIABLE = "GREENROOM_DATABASE_URL"

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        default_factory=default_data,
        resolve_path=True,
        help="Data folder of the instance.",
        readable=False,  # the commands open only files with known names, so they need no permission to list
        show_default="$GREENROOM_DATA, else /var/lib/greenroom as root, else ~/.local/share/greenroom",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]


def external_database(url: str | None) -> str | None:
    """Return the address of the external database: `url`, the value of --database-url, else GREENROOM_DATABASE_URL;
    None = the embedded PostgreSQL. If `url` has a password, the program starts again without it on the command line.
    """
    from greenroom.db.database import has_password  # noqa: PLC0415

    if url is not None and has_password(url):
        move_option_to_environment("--database-url", URL_VARIABLE, url)
    return url or os.environ.get(URL_VARIABLE) or None


def up(
    *,
    data: Data,
    port: Annotated[int | None, typer.Option(help="Port of the console and the api.", show_default="8443")] = None,
    managers: Annotated[int | None, typer.Option(help="Managers per zone.", show_default="1")] = None,
    zones: Annotated[str | None, typer.Option(help="Zone names, separated by commas.", show_default="default")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="External PostgreSQL instead of the embedded one; also GREENROOM_DATABASE_URL.")
    ] = None,
    hostname: Annotated[str | None, typer.Option(help="Listen on all addresses, with this host name.")] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Address of the console behind a reverse proxy, https://NAME[:PORT].")
    ] = None,
    served_hosts: Annotated[
        str | None, typer.Option(help="Additional host names to serve, separated by commas; '' for none.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate for the host name, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the certificate, PEM.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return when the instance is ready.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a complete deployment on this machine."""
    from greenroom.backup.before_migration import back_up_before_migration  # noqa: PLC0415
    from greenroom.kit.config import comma_parts  # noqa: PLC0415
    from greenroom.up import commands  # noqa: PLC0415
    from greenroom.up.layout import Layout  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    for line in back_up_before_migration(Layout(data), stderr_progress()):
        typer.echo(line, err=True)
    options = Options(
        port=port,
        managers=managers,
        zones=None if zones is None else tuple(name.strip() for name in zones.split(",")),
        database_url=external_database(database_url),
        hostname=hostname,
        public_url=public_url,
        served_hosts=None if served_hosts is None else tuple(comma_parts(served_hosts)),
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    commands.up(data, options, detach=detach, as_json=as_json)


def down(data: Data, as_json: Json = False) -> None:
    """Stop the instance, and remove its sessions, processes, containers and networks."""
    from greenroom.up import commands  # noqa: PLC0415

    commands.down(data, as_json=as_json)


def status(data: Data, as_json: Json = False) -> None:
    """Show the parts of the instance and their state."""
    layout = running_layout(data)
    from greenroom.up import commands  # noqa: PLC0415

    commands.status(layout, as_json=as_json)


def doctor(
    *,
    data: Data,
    repair: Annotated[
        bool, typer.Option("--repair", help="List leftovers of deleted sessions, Agents and users.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: remove the leftovers.")] = False,
    url: Url = None,
    key: Key = None,
    secret: KeySecret = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Check the invariants of the instance; exit code 1 if one is broken or a leftover remains.

    With --repair and --url, the command lists the leftovers of the deployment at this address. It searches Docker on
    this machine. With GREENROOM_RUNTIME=kubernetes, it searches the namespace GREENROOM_KUBE_NAMESPACE.
    """
    from greenroom.cli.repair import repair_remote  # noqa: PLC0415
    from greenroom.up import commands  # noqa: PLC0415
    from greenroom.up.doctor import repair_instance  # noqa: PLC0415

    if repair and url is not None:
        with Client(find_server(url=url, key=key, secret=secret, ca_file=ca_file, data=data)) as client:
            repair_remote(client, removes=yes, as_json=as_json)
    elif repair:
        repair_instance(data, removes=yes, as_json=as_json)
    elif yes:
        raise SetupError("--yes requires --repair. Without --repair, greenroom doctor changes nothing.")
    else:
        commands.doctor(data, as_json=as_json)


def migrate(
    data: Data,
    database_url: Annotated[
        str | None, typer.Option(help="Database to migrate instead of that of the instance.")
    ] = None,
    *,
    pre: Annotated[
        bool, typer.Option("--pre", help="Apply only the migrations that the previous version supports.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Migrate the database to this version of Greenroom."""
    from greenroom.up import commands  # noqa: PLC0415

    applied, pending = commands.migrate(data, external_database(database_url), only_pre=pre)
    lines = applied or [f"The database is up to date{' for now' if pending else ''}."]
    if pending:
        hint = "Run greenroom migrate again after every process runs this version."
        lines = [*lines, f"{hint} Pending migrations: {', '.join(pending)}"]
    print_local_result({"applied": applied, "left": pending}, *lines, as_json=as_json)


def reset_password(username: Annotated[str, typer.Argument()] = ADMIN, *, data: Data, as_json: Json = False) -> None:
    """Set a new random password for a user and print it. Needs the data folder, but no running server."""
    from greenroom.up import user_commands  # noqa: PLC0415

    password = user_commands.reset_password(data, username)
    print_local_result({"username": username, "password": password}, password, as_json=as_json)


def reset_factors(username: Annotated[str, typer.Argument()], *, data: Data, as_json: Json = False) -> None:
    """Remove the second factors of a user and end their log-ins. Needs the data folder, but no running server."""
    from greenroom.up import user_commands  # noqa: PLC0415

    number = user_commands.reset_factors(data, username)
    text = f"{username} has no second factor now; {number} were removed."
    print_local_result({"username": username, "removed": number}, text, as_json=as_json)


def break_glass(
    username: Annotated[str, typer.Argument()],
    *,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Mark the account, or remove the mark.")],
    data: Data,
    as_json: Json = False,
) -> None:
    """Mark an account that sign-on providers cannot change. Needs the data folder, but no running server."""
    from greenroom.up import user_commands  # noqa: PLC0415

    user_commands.set_break_glass(data, username, enabled=enabled)
    text = f"{username} is {'now' if enabled else 'no longer'} a break-glass account."
    print_local_result({"username": username, "break_glass": enabled}, text, as_json=as_json)


local_verb("users", "reset-password", reset_password)
local_verb("users", "reset-factors", reset_factors)
local_verb("users", "break-glass", break_glass)
