"""The `exec_config` of workspaces: commands that run inside the container of a session, and their users.

`first_launch` runs once, before the session is usable; `go` runs when a running session gets another address; `assign`
runs when a staged session is assigned to a user. Greenroom passes no command through a shell, and no command is
privileged.

If a folder is mounted writable, the container and every command in it run as a user other than root. There is no user
namespace, so root in the container has the rights of the host's root in a mounted folder, even without capabilities: it
can read files that only root may read, and create a program whose set-user-id bit gives the rights of root to every
user who runs the program.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.workspace.run_config import environment_problem
from greenroom.core.workspace.session_spec import Exec

ExecConfig = dict[str, Any]
"""JSON from an administrator: commands that `validated` allows, or a part of a command."""

COMMANDS: Final = ("first_launch", "go", "assign")
KEYS: Final = ("cmd", "environment", "user", "workdir")
ASSIGN_ONLY_KEY: Final = "only_with_address"
"""A key of `assign` only: if true, the command does not run for a launch without an address."""


def validated(config: ExecConfig) -> ExecConfig:
    """Return the config if every command can run: `{"go": {"cmd", "user"?, "environment"?, "workdir"?}}`. Raises
    Invalid: a command is unknown or cannot be used; the message has its name and the reason.
    """
    for name in config:
        if name not in COMMANDS:
            raise Invalid(f"There is no command {name}; the commands are {', '.join(COMMANDS)}.")
        entry = _object(config[name], f"The command {name}")
        for key, value in entry.items():
            if key == "privileged" and not value:
                continue
            if key == ASSIGN_ONLY_KEY and name == "assign" and isinstance(value, bool):
                continue
            if key not in KEYS:
                explanation = ", because a command has the rights of its session" if key == "privileged" else ""
                raise Invalid(f"The command {name} may not have `{key}`{explanation}; it may have {', '.join(KEYS)}.")
        if command_of(config, name) is None:
            raise Invalid(f"The command {name} is empty.")
    return dict(config)


def command_of(config: ExecConfig, name: str) -> Exec | None:
    """Return the command `first_launch`, `go` or `assign`, or None. Raises Invalid: it cannot be run."""
    if not config.get(name):
        return None
    entry = _object(config[name], f"The command {name}")
    environment = _object(entry.get("environment") or {}, f"The environment of command {name}")
    if problem := environment_problem(environment):
        raise Invalid(f"The environment of command {name}: {problem}")
    workdir = _command_text(entry, "workdir", name)
    if workdir is not None and not workdir.startswith("/"):
        raise Invalid(f"The workdir of command {name} must be an absolute path.")
    return Exec(
        argv=_words(entry.get("cmd"), name),
        user=_command_text(entry, "user", name),
        environment={key: str(value) for key, value in environment.items()},
        workdir=workdir,
    )


def assign_of(config: ExecConfig, kasm_url: str | None) -> Exec | None:
    """Return the command `assign` for a launch with this address, or None. Raises Invalid: as for `command_of`."""
    command = command_of(config, "assign")
    return command if kasm_url or not (command and config["assign"].get(ASSIGN_ONLY_KEY)) else None


def _words(cmd: object, name: str) -> tuple[str, ...]:
    if isinstance(cmd, str):
        try:
            arguments: list[object] = [*shlex.split(cmd)]
        except ValueError as error:
            raise Invalid(f"The command {name} cannot be split into words: {error}.") from error
    elif isinstance(cmd, list):
        arguments = cast("list[object]", cmd)
    else:
        raise Invalid(f"The command {name} needs `cmd`, a text or a list of texts.")
    if not arguments:
        raise Invalid(f"The command {name} is empty.")
    if not all(isinstance(argument, str) and "\0" not in argument for argument in arguments):
        raise Invalid(f"The command {name} must be a text or a list of texts.")
    return tuple(cast("list[str]", arguments))


def _command_text(entry: ExecConfig, key: str, name: str) -> str | None:
    value = entry.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\0" in value:
        raise Invalid(f"The {key} of command {name} must be a text.")
    return value


def _object(value: object, title: str) -> ExecConfig:
    if not isinstance(value, dict):
        raise Invalid(f"{title} must be an object.")
    return cast("ExecConfig", value)


def is_root_by_name(user: str) -> bool:
    """True if `user`, with or without `:group`, is the name root or the number 0. An empty text means the user of the
    image, which is not checked here.
    """
    name = user.partition(":")[0].strip()
    return name == "root" or re.fullmatch("[+-]?0+", name) is not None


def is_root(user: str, passwd: str) -> bool:
    """True if `user` is root in a container with this /etc/passwd. An empty user is the default of Docker, root.

    The rules are those of Docker, or stricter: a line with the name `user` applies even if the name is a number, and a
    line with a missing or invalid user number means root.
    """
    name = user.partition(":")[0].strip()
    if not name or is_root_by_name(user):
        return True
    entries = [line.strip().split(":") for line in passwd.splitlines()]
    numbers = ["".join(entry[2:3]) for entry in entries if entry[0] == name]
    return not all(re.fullmatch("0*[1-9][0-9]*", number) for number in numbers)


def root_problem(user: str, subject: str) -> str:
    """Return the sentence that refuses root. `subject` is the refused command, such as "The command go"."""
    user_text = f"root ({user})" if user and user != "root" else "root"
    return (
        f"{subject} would run as {user_text} with write access to a mounted folder of the host, where it would be "
        "root of the host. Set another user, or mount the folder with the mode ro."
    )


def commands_problem(exec_config: ExecConfig) -> str | None:
    """Return the reason why these commands are not allowed with a writable folder, as a sentence; None if they are
    allowed.
    """
    for name in COMMANDS:
        try:
            command = command_of(exec_config, name)
        except Invalid:
            continue  # `validated` reports the invalid command
        if command is not None and command.user is not None and is_root_by_name(command.user):
            return root_problem(command.user, f"The command {name}")
    return None
