"""Print the reference of all commands and options as Markdown: `.venv/bin/python script/command_line.py`.

docs/reference/command-line.md introduces it. The reference is not in git, because it is generated from the program.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import typer

from greenroom.cli import verbs
from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import app

COMMON: Final = {
    name: parameter.annotation.__metadata__[0].help
    for name, parameter in inspect.signature(verbs.common_options, eval_str=True).parameters.items()
}
"""Option that every verb has → its help text."""
VALUES: Final = {
    "str": "TEXT",
    "int": "INTEGER",
    "int range": "INTEGER",
    "float": "NUMBER",
    "float range": "NUMBER",
    "path": "PATH",
}
INTRODUCTION: Final = """# Commands

Each command is listed without `--json`, `--wide` and the options that choose a deployment, which all verbs have."""


def document() -> str:
    """The complete reference."""
    parts = [INTRODUCTION]
    for name, command in walk_commands(_root()):
        if hasattr(command, "commands"):
            parts.append(f"## greenroom {name}\n\n{command.help}")
        else:
            parts.append(_section(f"greenroom {name}", "###" if " " in name else "##", command))
    return "\n\n".join(parts) + "\n"


@cache
def _root() -> Any:
    """The root command of the program."""
    return typer.main.get_command(app)


def _section(name: str, heading: str, command: Any) -> str:
    parameters = [parameter for parameter in command.params if not _is_common(parameter, command)]
    parameters.sort(key=lambda parameter: str(parameter.param_type_name))
    arguments = "".join(f" {_value(parameter)}" for parameter in parameters if parameter.param_type_name == "argument")
    required = "".join(f" {option}" for option in _required(parameters))
    lines = [f"{heading} `{name}{arguments}{required}`", "", command.help]
    parameter_lines = [_line(parameter) for parameter in parameters]
    return "\n".join([*lines, "", *parameter_lines] if parameter_lines else lines)


def _is_common(parameter: Any, command: Any) -> bool:
    """True if the option is described once for all verbs; `greenroom up --data` differs from `zones list --data`."""
    is_of_all = COMMON.get(parameter.name) == getattr(parameter, "help", None)
    return is_of_all and any(other.name == "secret" for other in command.params)


def _required(parameters: list[Any]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.required and parameter.param_type_name == "option":
            yield f"{parameter.opts[0]} {_value(parameter)}"


def _line(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"- `{_value(parameter)}`" + (f" — {parameter.help}" if parameter.help else "")
    names = "`, `".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else f" `{_value(parameter)}`"
    help_text = f" — {parameter.help}" if parameter.help else ""
    default = f" (default: {_default(parameter)})" if _default(parameter) and not parameter.is_flag else ""
    repeated = " May be repeated." if parameter.multiple and "repeated" not in help_text else ""
    return f"- `{names}`{value}{help_text}{default}{repeated}"


def _default(parameter: Any) -> Any:
    return parameter.show_default if isinstance(parameter.show_default, str) else parameter.default


def _value(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    command = _root()
    kind = str(parameter.display_type(command.context_class(command)))
    kind = kind.strip("<>").removeprefix("list[").removesuffix("]")
    return VALUES.get(kind, kind)


if __name__ == "__main__":
    sys.stdout.write(document())
