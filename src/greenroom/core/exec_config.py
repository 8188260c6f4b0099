"""The `exec_config` of workspaces: commands that run inside a session's container.

`first_launch` runs once, when the session's page is there and before the session counts as usable; `go` when a running
session is given a new address; `assign` when a staged session is handed to a user. A command is split into words here,
once, by shell rules; no shell of ours ever runs it. It runs with what the container has: it may be another user's (also
root's, who has no capabilities there either), never privileged.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.run_config import environment_problem
from greenroom.core.sessions import Exec

COMMANDS: Final = ("first_launch", "go", "assign")
KEYS: Final = ("cmd", "environment", "user", "workdir")


def validated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same config, of which every command can be run: `{"go": {"cmd", "user"?, "environment"?, "workdir"?}}`.

    Raises:
        Invalid: a command is unknown or cannot be used; the sentence names it and why.
    """
    for name in config:
        if name not in COMMANDS:
            raise Invalid(f"There is no command {name}; there are {', '.join(COMMANDS)}.")
        entry = _object(config[name], f"The command {name}")
        for key, value in entry.items():
            if key == "privileged" and not value:
                continue
            if key not in KEYS:
                why = ": no command has more rights than its session" if key == "privileged" else ""
                raise Invalid(f"The command {name} may not have `{key}`{why}; it may have {', '.join(KEYS)}.")
        if command_of(config, name) is None:
            raise Invalid(f"The command {name} is empty.")
    return dict(config)


def command_of(config: Mapping[str, Any], name: str) -> Exec | None:
    """The command `first_launch`, `go` or `assign` of a workspace, or None if it has none.

    Raises:
        Invalid: it has one that cannot be run.
    """
    if not config.get(name):
        return None
    entry = _object(config[name], f"The command {name}")
    environment = _object(entry.get("environment") or {}, f"The environment of command {name}")
    if problem := environment_problem(environment):
        raise Invalid(f"The environment of command {name}: {problem}")
    workdir = _text(entry, "workdir", name)
    if workdir is not None and not workdir.startswith("/"):
        raise Invalid(f"The workdir of command {name} must be an absolute path.")
    return Exec(
        argv=_words(entry.get("cmd"), name),
        user=_text(entry, "user", name),
        environment={key: str(value) for key, value in environment.items()},
        workdir=workdir,
    )


def _words(cmd: object, name: str) -> tuple[str, ...]:
    if isinstance(cmd, str):
        try:
            words: list[object] = [*shlex.split(cmd)]
        except ValueError as error:
            raise Invalid(f"The command {name} cannot be split into words: {error}.") from error
    elif isinstance(cmd, list):
        words = cast("list[object]", cmd)
    else:
        raise Invalid(f"The command {name} needs `cmd`, a text or a list of texts.")
    if not words:
        raise Invalid(f"The command {name} is empty.")
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise Invalid(f"The command {name} must be a text or a list of texts.")
    return tuple(cast("list[str]", words))


def _text(entry: Mapping[str, Any], key: str, name: str) -> str | None:
    value = entry.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\0" in value:
        raise Invalid(f"The {key} of command {name} must be a text.")
    return value


def _object(value: object, title: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{title} must be an object.")
    return cast("dict[str, Any]", value)
