"""Commands that are imported when they are used, and the format of `--help`: plain text that never truncates a name.

A group has placeholders for its commands (`LazyCommand`), with the name and the help text that the group displays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from greenroom.core.text import suggest_name
from greenroom.up import log


class _TitledHelp:
    """The `--help` of a command or group that lists the arguments, options and commands below the titles of their
    panels."""

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
        for name, inner in getattr(self, "commands", {}).items():
            title = getattr(inner, "rich_help_panel", None) or "Commands"
            panels.setdefault(title, []).append((name, (inner.help or "").partition("\n\n")[0]))
        for title, rows in panels.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name, " ".join(text.split())) for name, text in rows])


class TitledCommand(_TitledHelp, TyperCommand):
    """A command whose `--help` has titled panels."""


class TitledGroup(_TitledHelp, TyperGroup):
    """A group whose `--help` has titled panels."""


MAX_SUGGESTIONS: Final = 3
HELP_WIDTH: Final = 100
"""The maximum number of characters in a line of a help text."""


def import_object(path: str) -> Any:
    """Return the object with the path `MODULE:NAME`."""
    module, _, name = path.partition(":")
    imported = getattr(import_module(module), name)
    log.configure_for_command("greenroom")  # configure structlog, which the module may have imported for the first time
    return imported


class LazyCommand(TitledCommand):
    """The placeholder of a command in its group, with the name and help text. `load` imports and returns the
    command."""

    def __init__(self, name: str, text: str, load: Callable[[], Any], panel: str | None = None) -> None:
        super().__init__(name, help=text, rich_help_panel=panel)
        self.load = load


class LazyGroup(TitledGroup):
    """A group that imports a command when the command is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and the remaining arguments."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; {self._suggest_command(ctx, args[0])}")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest

    def _suggest_command(self, ctx: Any, word: str) -> str:
        """Return the end of a sentence about an unknown command: the commands of groups in this group with the same
        verb, if they are few; else the similar commands, or all commands of a noun."""
        same_verb = [name for name, _ in walk_commands(self) if name.rpartition(" ")[2] == word]
        if 0 < len(same_verb) <= MAX_SUGGESTIONS:
            return f"did you mean {' or '.join(same_verb)}?"
        commands = f"the commands are {', '.join(self.commands)}." if ctx.parent else "see greenroom --help."
        return suggest_name(word, self.commands, commands)


def new_application(text: str | None = None, group: type[TitledGroup] = TitledGroup) -> typer.Typer:
    """Return a typer application that prints its help if no command is named."""
    return typer.Typer(
        cls=group,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": HELP_WIDTH},
    )


def build_command(name: str, source: typer.Typer | Callable[..., None]) -> Any:
    """Return the command `name` for a function with typer parameters, or the group `name` for a typer application."""
    app = source if isinstance(source, typer.Typer) else new_application()
    if app is not source:
        app.command(name, cls=TitledCommand)(source)
    command = typer.main.get_command(app)
    command.name = name
    return command


def walk_commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the full name and the command of every command and group below `group`. `LazyCommand`s are replaced by
    their commands. A group comes before its commands."""
    for name, placeholder in group.commands.items():
        command = placeholder.load() if isinstance(placeholder, LazyCommand) else placeholder
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from walk_commands(command, f"{prefix}{name} ")
