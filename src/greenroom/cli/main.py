"""The command `greenroom`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import typer

from greenroom.cli.lazy import Later, LazyGroup, application, imported, made
from greenroom.core.errors import GreenroomError
from greenroom.kit import log, program


@dataclass(frozen=True, slots=True)
class Program:
    """A command, or a typer application of several, with its place `MODULE:NAME` in `greenroom.cli` and its text."""

    where: str
    text: str

    def make(self, name: str) -> Any:
        """Return the command, which is imported now."""
        return made(name, imported(f"greenroom.cli.{self.where}"))


@dataclass(frozen=True, slots=True)
class RoleProgram:
    """A role of a deployment, a process."""

    text: str

    def make(self, name: str) -> Any:
        """Return the command that runs it."""

        def run() -> None:
            program.run(name)

        run.__doc__ = self.text
        return made(name, run)


@dataclass(frozen=True, slots=True)
class Nouns:
    """A noun with its text. `modules` of `greenroom.cli` add verbs to those of its entry in the table of nouns."""

    text: str
    modules: tuple[str, ...] = ()

    def make(self, name: str) -> Any:
        """Return the group of its verbs, which is imported now."""
        return imported("greenroom.cli.verbs:group")(
            name, self.text, *(f"greenroom.cli.{module}" for module in self.modules)
        )


PANELS: Final[dict[str, dict[str, Program | Nouns | RoleProgram]]] = {
    "This machine": {
        "up": Program("instance:up", "Run everything on this machine."),
        "down": Program(
            "instance:down", "Stop it, end its sessions, and leave no process, container or network behind."
        ),
        "status": Program("instance:status", "Show what runs and whether it works."),
        "doctor": Program(
            "instance:doctor",
            "Check what must always hold; exit code 1 when something is broken, or left over and not removed.",
        ),
        "migrate": Program("instance:migrate", "Bring the database up to this version of Greenroom."),
        "setup": Program("setup:setup", "Begin a deployment in containers, or on several machines."),
        "join": Program("join:join", "Join a deployment with a token that one of its administrators made."),
    },
    "Sessions": {
        "sessions": Nouns("Sessions of users, and staged ones that wait for a user.", ("sessions",)),
        "staging": Nouns("Staging configs: pools of sessions that run before any user asks for them.", ("workspaces",)),
        "launches": Nouns("The ledger of launches: how each came about, and why some gave nothing."),
        "recording": Program(
            "logs:recording",
            "Show what was done with a lease, also when it is over; with --export take it away with its pictures.",
        ),
        "homes": Nouns("Home folders that are kept for users, with size and last use.", ("workspaces",)),
        "rehearse": Program(
            "rehearse:rehearse",
            "Launch a session for each of many users, as on a morning, and say what would be short; 1 where one got"
            " none.",
        ),
    },
    "Workspaces": {
        "images": Nouns("Workspaces: the images people can launch.", ("workspaces",)),
        "catalogue": Nouns("The catalogue: workspaces that one command adds.", ("workspaces",)),
        "catalogues": Nouns("Catalogues of other registries, whose entries stand beside Greenroom's own."),
        "filter-policies": Nouns("Web filter policies: which sites sessions may open.", ("access",)),
        "secrets": Nouns("Secrets that web filters add to requests of leased sessions, which never have them."),
    },
    "Fleet": {
        "zones": Nouns("Deployment zones."),
        "managers": Nouns("Managers: one of a zone is its Primary and coordinates it.", ("fleet",)),
        "agents": Nouns("Agents: the machines on which sessions run.", ("fleet",)),
        "gateways": Nouns("Web gateways on hosts of their own, which joined with a token."),
        "machine-pools": Nouns("Machine pools: machines that are ordered and given back by themselves.", ("fleet",)),
        "machine-orders": Nouns("The ledger of ordered machines, each with its reasons."),
        "join-tokens": Nouns("Join tokens: with which new hosts join; deleting one revokes it."),
    },
    "Access and settings": {
        "users": Nouns("People who log in.", ("access", "instance")),
        "groups": Nouns("Groups: members, permissions and the settings of their sessions.", ("access",)),
        "keys": Nouns("API keys for programs."),
        "settings": Nouns("Settings of the installation.", ("settings",)),
    },
    "Diagnostics and programs": {
        "logs": Nouns("Log rows of all parts of the deployment.", ("logs",)),
        "events": Program(
            "logs:events", "Show what changed last, and with --follow what changes; with --json one object per line."
        ),
        "webhooks": Nouns(
            "Webhooks: addresses to which messages of sessions, pools, launches and leases are sent.", ("settings",)
        ),
        "mcp": Program(
            "mcp:mcp",
            "Follow the Model Context Protocol on standard input and output, for a program that starts this command.",
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


class _Everything(LazyGroup):
    """The program, with the commands of all panels."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for panel, commands in PANELS.items():
            for name, entry in commands.items():
                self.add_command(Later(name, entry.text, partial(entry.make, name), panel))


app = application(group=_Everything)


def _show_version(asked: bool) -> None:
    if asked:
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


_OF_COMMANDS: Final = frozenset({"GREENROOM_URL", "GREENROOM_KEY", "GREENROOM_SECRET", "GREENROOM_DATA"})
"""Variables that need no check of the settings of the roles, which take time to load."""


def _judge(environment: Mapping[str, str]) -> None:
    """Warn about `GREENROOM_*` variables that no program reads.

    Raises:
        SetupError: a variable has a value that cannot be used.
    """
    if not any(name.startswith("GREENROOM_") and name not in _OF_COMMANDS for name in environment):
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
        _judge(os.environ)
        app()
    except (GreenroomError, OSError) as error:
        program.failed(error)
    except SystemExit as ended:
        if ended.code == program.INTERRUPTED:
            raise KeyboardInterrupt from ended
        raise
