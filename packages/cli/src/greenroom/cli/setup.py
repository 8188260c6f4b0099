"""`greenroom setup`: the setup of a deployment in containers or on several machines.

The compose file also runs these commands at each update.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.cli.lazy import TitledCommand, new_application
from greenroom.kit import host_limits, log
from greenroom.kit.config import AgentConfig, comma_parts
from greenroom.kit.environment import load_settings
from greenroom.runtimes.registry import find_runtime
from greenroom.up import deployment
from greenroom.up.checks import desktop_image
from greenroom.up.deployment import FOLDER, Deployment, FirstHost, caller_deployment, kubernetes_secrets
from greenroom.up.host_limits import limits_to_raise, raise_limits, session_capacity
from greenroom.up.options import KEYS_FOLDER

Folder = Annotated[Path, typer.Option(help="Folder of the deployment.")]
Hosts = Annotated[
    str, typer.Option(help="Names and addresses of this host, separated by commas; other hosts use the first.")
]
DatabaseUrl = Annotated[str, typer.Option(envvar="GREENROOM_DATABASE_URL", help="URL of the database.")]
Zone = Annotated[str, typer.Option(help="Name of the zone.")]
Port = Annotated[int, typer.Option(help="Port of the console.")]
StreamPort = Annotated[int, typer.Option(help="Port of the streams.")]

setup = new_application("Set up a deployment in containers or on several machines.")


@setup.callback()
def _log() -> None:  # pyright: ignore[reportUnusedFunction] -- typer calls it before each command
    log.configure("WARNING", "setup")


@setup.command(cls=TitledCommand)
def files(folder: Folder = FOLDER, hosts: Hosts = "") -> None:
    """Create the missing keys, certificates and folders of this host for its roles."""
    host_files = Deployment(folder)
    host_files.create_files(comma_parts(hosts), datetime.now(UTC))
    typer.echo(f"Files of this host are in {folder}; back up {host_files.installation}.")


@setup.command(cls=TitledCommand)
def database(
    *,
    database_url: DatabaseUrl,
    folder: Folder = FOLDER,
    hosts: Hosts = "",
    zone: Zone = "default",
    port: Port = 8443,
    stream_port: StreamPort = 8445,
) -> None:
    """Migrate the database. In a new one, create the first data, the zone and a token for the Agent of this host."""
    host_files = Deployment(folder)
    first_host = _first_host(zone, hosts, port, stream_port)
    applied = asyncio.run(deployment.initialize_database(host_files, database_url, first_host))
    typer.echo("\n".join(applied) or "The database is up to date.")
    if host_files.credentials.exists():
        typer.echo(f"The first password of the administrator is in {host_files.credentials}; only root can read it.")


def _first_host(zone: str, hosts: str, port: int, stream_port: int) -> FirstHost:
    image = desktop_image()
    return FirstHost(zone=zone, hosts=comma_parts(hosts), port=port, stream_port=stream_port, desktop_image=image)


@setup.command(cls=TitledCommand)
def installation(
    *,
    database_url: DatabaseUrl,
    folder: Annotated[Path, typer.Option(help="Folder for keys and first credentials.")] = KEYS_FOLDER,
    hosts: Annotated[
        str, typer.Option(help="Names of the console, separated by commas; Agents use the first name.")
    ] = "",
    zone: Zone = "default",
    port: Port = 443,
    stream_port: StreamPort = 8445,
) -> None:
    """Create what several machines share: the key, the gateways' credential, the tables and the first data."""
    asyncio.run(deployment.begin_installation(folder, database_url, _first_host(zone, hosts, port, stream_port)))
    typer.echo(
        f"Copy installation.key and gateway.credential from {folder} to the web hosts, readable only by the account"
        f" greenroom. The first password of the administrator is in {folder / 'credentials.json'}. Back up the key."
    )


@setup.command(cls=TitledCommand)
def host(
    name: Annotated[str, typer.Argument(help="Name or address at which other hosts reach it.")],
    *,
    database_url: DatabaseUrl,
    folder: Folder = FOLDER,
    zone: Zone = "default",
) -> None:
    """Create the folder `installation` for another host, whose roles use the database of this host."""
    folder_of_host = asyncio.run(deployment.add_host(Deployment(folder), database_url, name, zone, datetime.now(UTC)))
    typer.echo(
        f"Copy {folder_of_host} to {name} as {FOLDER}/installation; within one hour if the host must run an Agent."
    )


@setup.command(cls=TitledCommand)
def kubernetes(
    *,
    folder: Annotated[Path, typer.Option(help="Folder for keys and certificates; keep it and back it up.")],
    hosts: Annotated[str, typer.Option(help="Names and addresses of the console, separated by commas.")],
    namespace: Annotated[str, typer.Option(help="Namespace of the roles.")] = "greenroom",
) -> None:
    """Print the Secrets of a deployment on Kubernetes, for `kubectl apply -f -`; create missing files in the folder."""
    secrets = kubernetes_secrets(caller_deployment(folder), namespace, comma_parts(hosts), datetime.now(UTC))
    typer.echo(json.dumps(secrets))


@setup.command(cls=TitledCommand)
def limits(
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 if a limit is too low.")] = False,
) -> None:
    """Raise the kernel limits of this host for a thousand sessions, now and at every start of the host."""
    too_low = limits_to_raise(host_limits.read_limits())
    if check:
        for name, required in too_low.items():
            typer.echo(f"{name} should be {required}.")
    else:
        try:
            for change in raise_limits():
                typer.echo(change.sentence)
        except OSError as error:
            reason = f"{error.filename} cannot be written ({error.strerror or error})"
            typer.echo(f"The limits were raised only until this host restarts: {reason}.")
    typer.echo(session_capacity(host_limits.read_limits()).sentence)
    if check and too_low:
        raise typer.Exit(1)


@setup.command(cls=TitledCommand)
def remove() -> None:
    """End the sessions of this host, and remove the containers, networks and firewall rules of its Agent.

    Pass the settings of the Agent. The Agent must be stopped.
    """
    settings = load_settings(AgentConfig)
    installation_id = AgentIdentity.load(settings.agent_dir).installation_id
    runtime = find_runtime(settings.runtime)
    count = asyncio.run(runtime.remove_all(installation_id, settings.agent_dir)) if installation_id else 0
    sessions = "1 session" if count == 1 else f"{count} sessions"
    typer.echo(f"Removed {sessions} of this host, their network and its firewall rules. All data remains.")
