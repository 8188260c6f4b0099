"""Who processes in a session's container are, and why none of them is root beside a folder they can write to.

There is no user namespace: root in the container is the host's root to a mounted folder, whatever capabilities it
lacks. It reads what only root may read there, and what it leaves with the set-user-id bit makes root of who runs it. So
where a folder is mounted writable the container and every command in it are some other user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from greenroom.core.errors import Invalid
from greenroom.core.exec_config import COMMANDS, command_of


def spells_root(user: str) -> bool:
    """Whether a user of a container, `name or number[:group]`, is root by its very spelling; empty = the image says."""
    name = user.partition(":")[0].strip()
    return name == "root" or re.fullmatch("[+-]?0+", name) is not None


def is_root(user: str, passwd: str) -> bool:
    """Whether a user is root in a container with this /etc/passwd; empty = the default, which is root.

    As Docker resolves it, or more strictly: a line counts whose name is the user's, also where that is a number, and
    one whose number is missing or cannot be read says root.
    """
    name = user.partition(":")[0].strip()
    if not name or spells_root(user):
        return True
    return any(entry[0] == name and not _is_positive(entry[2:3]) for entry in _entries(passwd))


def root_problem(user: str, who: str) -> str:
    """The sentence that refuses root; `who` is what would run as it, like "The command go"."""
    named = f"root ({user})" if user and user != "root" else "root"
    return (
        f"{who} would run as {named} beside a folder of the host that is mounted writable, where root is the host's"
        " own: name another user, or mount the folder with the mode ro."
    )


def commands_problem(exec_config: Mapping[str, Any]) -> str | None:
    """Why these commands cannot be had beside a writable folder, as a sentence; None = they can."""
    for name in COMMANDS:
        try:
            command = command_of(exec_config, name)
        except Invalid:
            continue  # said by who checks the command itself
        if command is not None and command.user is not None and spells_root(command.user):
            return root_problem(command.user, f"The command {name}")
    return None


def _entries(passwd: str) -> list[list[str]]:
    return [line.strip().split(":") for line in passwd.splitlines()]


def _is_positive(number: list[str]) -> bool:
    return any(re.fullmatch("0*[1-9][0-9]*", text) for text in number)
