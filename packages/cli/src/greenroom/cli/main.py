"""The command `greenroom`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import typer

from greenroom.cli.lazy import LazyCommand, LazyGroup, build_command, import_object, new_application
from greenroom.core.errors import GreenroomError
from greenroom.kit import program
from greenroom.up import log


@dataclass(frozen=True, slots=True)
class Entry:
    """A command or group in the help of the program, with its help text. `load` imports the command; its argument is
    the name of the command."""

    text: str
    load: Callable[[str], Any]


def _command(text: str, module: str) -> Entry:
    """Return the entry of a command or typer application: the object in `greenroom.cli.<module>` that has the name of
    the command."""
    return Entry(
        text, lambda name: build_command(name, import_object(f"greenroom.cli.{module}:{name.replace('-', '_')}"))
    )


def _noun(text: str, *modules: str) -> Entry:
    """Return the entry of a noun. Its verbs are those in `greenroom.cli.nouns.NOUNS`, and those in `modules` of
    `greenroom.cli`."""
    return Entry(text, lambda name: import_object("greenroom.cli.verbs:noun_group")(name, text, *modules))


def _role(text: str) -> Entry:
    """Return the entry of a role of a deployment."""

    def load(name: str) -> Any:
        def run() -> None:
            program.run_role(name)

        run.__doc__ = text
        return build_command(name, run)

    return Entry(text, load)


PANELS: Final[dict[str, dict[str, Entry]]] = {
    "This machine": {
        "up": _command("Run a complete deployment on this machine.", "instance"),
        "down": _command("Stop the instance, and remove its sessions, processes, containers and networks.", "instance"),
        "status": _command("Show the parts of the instance and their state.", "instance"),
        "demo": _command(
            "Run a demo with invented data on simulated hosts, next to any installation; --end removes it.", "demo"
        ),
        "doctor": _command(
            "Check the invariants of the instance; exit code 1 if one is broken or a leftover remains.", "instance"
        ),
        "backup": _command(
            "Write an encrypted backup of the installation into a folder, and verify it. The installation may run.",
            "backup",
        ),
        "restore": _command(
            "Restore a backup into a new installation, or with --replace into an existing one.", "backup"
        ),
        "upgrade": _command(
            "Upgrade the running installation to the version of this program, role by role.", "upgrade"
        ),
        "migrate": _command("Migrate the database to this version of Greenroom.", "instance"),
        "support-bundle": _command(
            "Create an archive for support, with all secrets masked; nothing is sent.", "support"
        ),
        "host": _command("Prepare this machine for Greenroom.", "host"),
        "uninstall": _command(
            "Remove the instance from this machine: containers, networks, images, firewall rules and data.", "uninstall"
        ),
        "setup": _command("Set up a deployment in containers or on several machines.", "setup"),
        "join": _command("Join this host to a deployment with a join token.", "join"),
    },
    "Sessions": {
        "sessions": _noun("Sessions of users, and staged sessions.", "sessions"),
        "staging": _noun("Staging configs: pools of sessions that run before any user asks for them.", "staging"),
        "launches": _noun("Launches: the steps and the outcome of each launch."),
        "recording": _command("Show the recording of a lease; --export writes it with its pictures to a file.", "logs"),
        "session-videos": _noun("Videos of recorded sessions: list them, and verify that they are unchanged.", "logs"),
        "homes": _noun("Home folders of users, with their size and last use.", "homes"),
        "rehearse": _command(
            "Simulate a busy start of work: launch a session for each of many users and report shortages.", "rehearse"
        ),
    },
    "Workspaces": {
        "images": _noun("Workspaces: the images that users can launch."),
        "catalogue": _noun("The catalogue: workspaces that can be added with one command.", "catalogue"),
        "catalogues": _noun("Third-party catalogues, in addition to the catalogue of Greenroom."),
        "filter-policies": _noun("Web filter policies: the sites that sessions may open.", "access"),
        "secrets": _noun("Secrets that web filters add to requests of leased sessions; sessions cannot read them."),
    },
    "Infrastructure": {
        "zones": _noun("Zones: parts of the deployment with separate Managers and Agents."),
        "managers": _noun(
            "Managers: the processes that coordinate Agents; the Primary of each zone also fills its pools.", "fleet"
        ),
        "agents": _noun("Agents: the hosts on which sessions run.", "fleet"),
        "gateways": _noun("Web gateways on separate hosts that joined with a token."),
        "machine-pools": _noun("Machine pools: machines that are ordered and released automatically.", "fleet"),
        "machine-orders": _noun("Machine orders: the machines that pools ordered, with the reasons."),
        "join-tokens": _noun("Join tokens for new hosts; deleting a token revokes it."),
    },
    "Access and settings": {
        "users": _noun("Users and their log-ins.", "access", "instance", "configuration.users"),
        "groups": _noun("Groups: members, permissions and the settings of their sessions.", "access"),
        "roles": _noun("Roles: sets of permissions that groups can have, also in a few zones only.", "access"),
        "service-accounts": _noun("Service accounts: users of programs, which own API keys and leases."),
        "keys": _noun("API keys for programs."),
        "settings": _noun("Settings of the installation.", "access"),
        "config": _noun("The configuration as a document: export it, compare it, apply it.", "configuration.commands"),
    },
    "Diagnostics and programs": {
        "logs": _noun("Log rows of the api, the Managers, the Agents and `greenroom up`.", "logs"),
        "audit": _noun("The audit: list, export and verify the events of changes and accesses.", "audit"),
        "events": _command(
            "Show the latest events; --follow adds new ones; --json prints one object per line.", "logs"
        ),
        "sign-on-providers": _noun("Identity providers at which users log in.", "access"),
        "directories": _noun("LDAP directories: users log in with their password there.", "access"),
        "scim-clients": _noun("SCIM clients: identity providers that create and disable users."),
        "webhooks": _noun("Webhooks: addresses that receive events of sessions, pools, launches and leases.", "access"),
        "mcp": _command("Run a server for the Model Context Protocol (MCP) on standard input and output.", "mcp"),
    },
    "Roles of a deployment": {
        "api": _role("Run the api of a deployment (settings: GREENROOM_*)."),
        "manager": _role("Run one Manager of a zone (settings: GREENROOM_*)."),
        "agent": _role("Run the Agent of this host (settings: GREENROOM_*)."),
        "gateway": _role("Run the gateway of this host: nginx with generated configuration (settings: GREENROOM_*)."),
    },
}
"""Title of a panel of the help → its commands, in their order."""


class _RootGroup(LazyGroup):
    """The program, with the commands of all panels."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for panel, commands in PANELS.items():
            for name, entry in commands.items():
                self.add_command(LazyCommand(name, entry.text, partial(entry.load, name), panel))


app = new_application(group=_RootGroup)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"greenroom {program.version()}")
        raise typer.Exit


@app.callback()
def root_options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Greenroom: desktops, browsers and applications in containers, streamed to people's browsers."""


_COMMAND_VARIABLES: Final = frozenset({"GREENROOM_URL", "GREENROOM_KEY", "GREENROOM_SECRET", "GREENROOM_DATA"})
"""Variables of the command line. If an environment has no other variables, the settings of roles are not checked,
because their import takes time."""


def _check_environment(environment: Mapping[str, str]) -> None:
    """Warn about `GREENROOM_*` variables that no program reads. Raises SetupError: a variable has an invalid value."""
    if not any(name.startswith("GREENROOM_") and name not in _COMMAND_VARIABLES for name in environment):
        return
    from greenroom.cli.output import printable  # noqa: PLC0415 -- see `_COMMAND_VARIABLES`
    from greenroom.kit.environment import require_valid_settings, unknown_variables  # noqa: PLC0415 -- the same

    for sentence in unknown_variables(environment):
        print(f"greenroom: {printable(sentence)}", file=sys.stderr)  # noqa: T201 -- the output of the command line
    require_valid_settings()


def main() -> None:
    """Run the program. After an error, it prints one sentence to stderr and exits with code 1. Raises
    KeyboardInterrupt: the user pressed Ctrl-C, for which typer exits with `program.EXIT_INTERRUPTED`."""
    log.configure_for_command("greenroom")
    try:
        _check_environment(os.environ)
        app()
    except (GreenroomError, OSError) as error:
        program.exit_with_error(error)
    except SystemExit as exit_request:
        if exit_request.code == program.EXIT_INTERRUPTED:
            raise KeyboardInterrupt from exit_request
        raise
