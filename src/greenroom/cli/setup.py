"""`greenroom setup`: the one-time setup of a deployment; in containers, its compose file also runs it at each
update.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.cli.lazy import TitledCommand, application
from greenroom.core.fleet.host_limits import good_for, to_raise
from greenroom.kit import host_limits, log
from greenroom.kit.config import AgentConfig
from greenroom.kit.environment import load
from greenroom.runtimes.registry import find_runtime
from greenroom.up import deployment
from greenroom.up.checks import desktop_image
from greenroom.up.deployment import Deployment, FirstHost, deployment_in, secrets_of

Folder = Annotated[Path, typer.Option(help="Folder of the deployment.")]
Hosts = Annotated[str, typer.Option(help="Names and addresses of this host, with commas; others use the first.")]
DatabaseUrl = Annotated[str, typer.Option(envvar="GREENROOM_DATABASE_URL", help="Of the database.")]
Zone = Annotated[str, typer.Option(help="Name of the zone.")]

FOLDER = Path("/opt/kasm/current")

setup = application("Set up a deployment in containers or on several machines.")


@setup.command(cls=TitledCommand)
def files(folder: Folder = FOLDER, hosts: Hosts = "") -> None:
    """Make keys, certificates and folders that are missing, and give each role what it needs."""
    log.configure("WARNING", "setup")
    found = Deployment(folder)
    found.lay_out(_listed(hosts), datetime.now(UTC))
    typer.echo(f"Files of this host are in {folder}; back up {found.installation}.")


@setup.command(cls=TitledCommand)
def database(
    *,
    database_url: DatabaseUrl,
    folder: Folder = FOLDER,
    hosts: Hosts = "",
    zone: Zone = "default",
    port: Annotated[int, typer.Option(help="Of the console.")] = 8443,
    stream_port: Annotated[int, typer.Option(help="Of the streams.")] = 8445,
) -> None:
    """Migrate the database; give a new one its first data, its zone and a token for this host's Agent."""
    log.configure("WARNING", "setup")
    found = Deployment(folder)
    first = FirstHost(
        zone=zone, hosts=_listed(hosts), port=port, stream_port=stream_port, desktop_image=desktop_image()
    )
    applied = asyncio.run(deployment.fill(found, database_url, first))
    typer.echo("\n".join(applied) or "The database is up to date.")
    if found.credentials.exists():
        typer.echo(f"The first password of the administrator is in {found.credentials}, for root alone.")


@setup.command(cls=TitledCommand)
def installation(
    *,
    database_url: DatabaseUrl,
    folder: Annotated[Path, typer.Option(help="Folder for keys and first credentials.")] = Path("/etc/greenroom"),
    hosts: Annotated[str, typer.Option(help="Names people use, with commas; Agents' hosts use the first.")] = "",
    zone: Zone = "default",
    port: Annotated[int, typer.Option(help="Of the console.")] = 443,
    stream_port: Annotated[int, typer.Option(help="Of the streams.")] = 8445,
) -> None:
    """Begin an installation on several machines: its key, the gateways' credential, tables and first data."""
    log.configure("WARNING", "setup")
    first = FirstHost(
        zone=zone, hosts=_listed(hosts), port=port, stream_port=stream_port, desktop_image=desktop_image()
    )
    asyncio.run(deployment.begin(folder, database_url, first))
    typer.echo(
        f"Web machines need installation.key and gateway.credential of {folder}, for the account greenroom alone; the"
        f" first password of the administrator is in {folder / 'credentials.json'}. Back the key up."
    )


@setup.command(cls=TitledCommand)
def host(
    name: Annotated[str, typer.Argument(help="Name or address of the further host, as other hosts reach it.")],
    *,
    database_url: DatabaseUrl,
    folder: Folder = FOLDER,
    zone: Zone = "default",
) -> None:
    """Make what a further host needs to join this installation's database; copy it there as its installation folder."""
    log.configure("WARNING", "setup")
    made = asyncio.run(deployment.add_host(Deployment(folder), database_url, name, zone, datetime.now(UTC)))
    typer.echo(f"Copy {made} to {name} as {FOLDER}/installation, within the hour if it is to run an Agent.")


@setup.command(cls=TitledCommand)
def kubernetes(
    *,
    folder: Annotated[Path, typer.Option(help="Folder for keys and certificates, to be kept and backed up.")],
    hosts: Annotated[str, typer.Option(help="Names and addresses under which people reach it, with commas.")],
    namespace: Annotated[str, typer.Option(help="Namespace of the roles.")] = "greenroom",
) -> None:
    """Print the Secrets of a deployment on Kubernetes, for `kubectl apply -f -`; make in the folder what is missing."""
    log.configure("WARNING", "setup")
    made = secrets_of(deployment_in(folder), namespace, _listed(hosts), datetime.now(UTC))
    typer.echo(json.dumps(made))


@setup.command(cls=TitledCommand)
def limits(
    *, check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 if one is too low.")] = False
) -> None:
    """Raise the limits of this host's kernel to what a thousand sessions take, now and at every start of the host."""
    too_low = to_raise(host_limits.read())
    if check:
        for name, wanted in too_low.items():
            typer.echo(f"{name} should be {wanted}.")
    else:
        _raise_limits()
    typer.echo(good_for(host_limits.read()).sentence)
    if check and too_low:
        raise typer.Exit(1)


def _raise_limits() -> None:
    try:
        for raised in host_limits.raise_limits():
            typer.echo(raised.sentence)
    except OSError as error:
        reason = error.strerror or str(error)
        typer.echo(
            f"The limits were raised until this host starts anew: {error.filename} cannot be written ({reason})."
        )


@setup.command(cls=TitledCommand)
def remove() -> None:
    """End the sessions of this host and remove what its Agent made here: containers, networks, firewall rules.

    With the settings of the Agent, which must not run any more.
    """
    log.configure("WARNING", "setup")
    settings = load(AgentConfig)
    installation_id = AgentIdentity.load(settings.agent_dir).installation_id
    runtime = find_runtime(settings.runtime)
    ended = asyncio.run(runtime.remove_all(installation_id, settings.agent_dir)) if installation_id else 0
    sessions = "1 session" if ended == 1 else f"{ended} sessions"
    typer.echo(f"Removed {sessions} of this host, their network and its firewall rules; all data stay.")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
