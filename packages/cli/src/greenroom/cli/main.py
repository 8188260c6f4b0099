"""The command `greenroom`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import typer

from greenroom.cli.lazy import LazyCommand, LazyGroup, application, build_command, import_object
from greenroom.core.errors import GreenroomError
from greenroom.kit import log, program


@dataclass(frozen=True, slots=True)
class Program:
    """A command, or a typer application of several, with its place `MODULE:NAME` in `greenroom.cli` and its text."""

    path: str
    text: str

    def make(self, name: str) -> Any:
        """Return the command, which is imported now."""
        return build_command(name, import_object(f"greenroom.cli.{self.path}"))


@dataclass(frozen=True, slots=True)
class RoleProgram:
    """A role of a deployment, a process."""

    text: str

    def make(self, name: str) -> Any:
        """Return the command that runs it."""

        def run() -> None:
            program.run(name)

        run.__doc__ = self.text
        return build_command(name, run)


@dataclass(frozen=True, slots=True)
class Nouns:
    """A noun with its text. `modules` of `greenroom.cli` add verbs to those of its entry in the table of nouns."""

    text: str
    modules: tuple[str, ...] = ()

    def make(self, name: str) -> Any:
        """Return the group of its verbs, which is imported now."""
        return import_object("greenroom.cli.verbs:group")(
            name, self.text, *(f"greenroom.cli.{module}" for module in self.modules)
        )


PANELS: Final[dict[str, dict[str, Program | Nouns | RoleProgram]]] = {
    "This machine": {
        "up": Program("instance:up", "Run a complete deployment on this machine."),
        "down": Program(
            "instance:down", "Stop the instance, and remove its sessions, processes, containers and networks."
        ),
        "status": Program("instance:status", "Show the parts of the instance and their state."),
        "doctor": Program(
            "instance:doctor",
            "Check the invariants of the instance; exit code 1 if one is broken or a leftover remains.",
        ),
        "migrate": Program("instance:migrate", "Migrate the database to this version of Greenroom."),
        "setup": Program("setup:setup", "Set up a deployment in containers or on several machines."),
        "join": Program("join:join", "Join this host to a deployment with a join token."),
    },
    "Sessions": {
        "sessions": Nouns("Sessions of users, and staged sessions.", ("sessions",)),
        "staging": Nouns("Staging configs: pools of sessions that run before any user asks for them.", ("workspaces",)),
        "launches": Nouns("The ledger of launches: the steps and the outcome of each launch."),
        "recording": Program(
            "logs:recording",
            "Show the recording of a lease; --export writes it with its pictures to a file.",
        ),
        "homes": Nouns("Home folders of users, with their size and last use.", ("workspaces",)),
        "rehearse": Program(
            "rehearse:rehearse",
            "Simulate a busy start of work: launch a session for each of many users and report shortages.",
        ),
    },
    "Workspaces": {
        "images": Nouns("Workspaces: the images that users can launch.", ("workspaces",)),
        "catalogue": Nouns("The catalogue: workspaces that can be added with one command.", ("workspaces",)),
        "catalogues": Nouns("Third-party catalogues, in addition to the catalogue of Greenroom."),
        "filter-policies": Nouns("Web filter policies: the sites that sessions may open.", ("access",)),
        "secrets": Nouns("Secrets that web filters add to requests of leased sessions; sessions cannot read them."),
    },
    "Fleet": {
        "zones": Nouns("Deployment zones."),
        "managers": Nouns(
            "Managers: the processes that Agents check in to; one of each zone is its Primary.", ("fleet",)
        ),
        "agents": Nouns("Agents: the hosts on which sessions run.", ("fleet",)),
        "gateways": Nouns("Web gateways on separate hosts that joined with a token."),
        "machine-pools": Nouns("Machine pools: machines that are ordered and released automatically.", ("fleet",)),
        "machine-orders": Nouns("The ledger of machine orders and their reasons."),
        "join-tokens": Nouns("Join tokens for new hosts; deleting a token revokes it."),
    },
    "Access and settings": {
        "users": Nouns("Users and their log-ins.", ("access", "instance")),
        "groups": Nouns("Groups: members, permissions and the settings of their sessions.", ("access",)),
        "keys": Nouns("API keys for programs."),
        "settings": Nouns("Settings of the installation.", ("access",)),
    },
    "Diagnostics and programs": {
        "logs": Nouns("Log rows of all roles of the deployment.", ("logs",)),
        "events": Program(
            "logs:events", "Show the latest events; --follow adds new ones; --json prints one object per line."
        ),
        "webhooks": Nouns(
            "Webhooks: addresses that receive events of sessions, pools, launches and leases.", ("access",)
        ),
        "mcp": Program(
            "mcp:mcp",
            "Run a server for the Model Context Protocol (MCP) on standard input and output.",
        ),
    },
    "Roles of a deployment": {
        "api": RoleProgram("Run the api of a deployment (settings: GREENROOM_*)."),
        "manager": RoleProgram("Run one Manager of a zone (settings: GREENROOM_*)."),
        "agent": RoleProgram("Run the Agent of this host (settings: GREENROOM_*)."),
        "gateway": RoleProgram(
            "Run the gateway of this host: nginx with generated configuration (settings: GREENROOM_*)."
        ),
    },
}
"""Title of a panel of the help → its commands, in their order."""


class _RootGroup(LazyGroup):
    """The program, with the commands of all panels."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for panel, commands in PANELS.items():
            for name, entry in commands.items():
                self.add_command(LazyCommand(name, entry.text, partial(entry.make, name), panel))


app = application(group=_RootGroup)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"greenroom {program.version()}")
        raise typer.Exit


@app.callback()
def everywhere(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Greenroom: desktops, browsers and applications in containers, streamed to people's browsers."""


_COMMAND_VARIABLES: Final = frozenset({"GREENROOM_URL", "GREENROOM_KEY", "GREENROOM_SECRET", "GREENROOM_DATA"})
"""Variables that need no check of the settings of the roles, which take time to load."""


def _check_environment(environment: Mapping[str, str]) -> None:
    """Warn about `GREENROOM_*` variables that no program reads.

    Raises:
        SetupError: a variable has a value that cannot be used.
    """
    if not any(name.startswith("GREENROOM_") and name not in _COMMAND_VARIABLES for name in environment):
        return
    from greenroom.cli.output import printable  # noqa: PLC0415 -- see above
    from greenroom.kit.environment import refuse_unusable, unknown_variables  # noqa: PLC0415 -- see above

    for sentence in unknown_variables(environment):
        print(f"greenroom: {printable(sentence)}", file=sys.stderr)  # noqa: T201 -- the output of the command line
    refuse_unusable()


def main() -> None:
    """Run the program; an error is one sentence on stderr and exit code 1.

    Raises:
        KeyboardInterrupt: Ctrl-C, of which typer only keeps the exit code.
    """
    log.for_commands("greenroom")
    try:
        _check_environment(os.environ)
        app()
    except (GreenroomError, OSError) as error:
        program.failed(error)
    except SystemExit as ended:
        if ended.code == program.INTERRUPTED:
            raise KeyboardInterrupt from ended
        raise
