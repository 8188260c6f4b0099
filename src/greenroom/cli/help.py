"""The `--help` of commands: plain text in which no name is cut, with options and commands in titled sections."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose options are listed in their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options and the options of each panel."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group whose commands are listed in their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options and the commands of each panel."""
        _write_parameters(self, ctx, formatter)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(title, []).append((name, (command.help or "").partition("\n\n")[0]))
        _write(panels, formatter)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        if (record := parameter.get_help_record(ctx)) is not None:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
    _write(panels, formatter)


def _write(panels: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    for title, rows in panels.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl([(name, " ".join(text.split())) for name, text in rows])
