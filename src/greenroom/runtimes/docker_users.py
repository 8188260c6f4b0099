"""Whose processes run in a container that writes to a folder of the host; see `core.container_users`."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from typing import Any, Final

import aiodocker
from aiodocker.containers import DockerContainer

from greenroom.core.container_users import is_root, root_problem
from greenroom.runtimes.base import StartError
from greenroom.runtimes.docker_mounts import binds

USERS_FILE: Final = "/etc/passwd"
USERS_MAX_BYTES: Final = 1 << 20


async def refuse_root(container: DockerContainer, found: Mapping[str, Any], user: str | None, who: str) -> None:
    """Refuse what would run as root in a container that writes to a folder of the host.

    Args:
        container: to be asked for its users.
        found: what Docker says of it.
        user: whose it would be; None = the container's own.
        who: what would run, like "The session".

    Raises:
        StartError: it would be root's.
    """
    if all(bind.get("ReadOnly") for bind in binds(found)):
        return
    named = user or found["Config"].get("User") or ""
    if is_root(named, await _users(container)):
        raise StartError(root_problem(named, who))


async def _users(container: DockerContainer) -> str:
    """The container's users; empty if it has no such file.

    Raises:
        StartError: it has one that cannot be read as Docker would.
    """
    try:
        with await container.get_archive(USERS_FILE) as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            if entry is None or content is None or entry.size > USERS_MAX_BYTES:
                raise StartError(
                    f"{USERS_FILE} of the container is a link, or larger than any, so nobody can say who is root in"
                    " it: make it a plain file in the image, or mount the folder with the mode ro."
                )
            return content.read().decode(errors="replace")
    except aiodocker.DockerError as error:
        if error.status == 404:
            return ""
        raise
    except tarfile.TarError as error:
        raise StartError(f"{USERS_FILE} of the container cannot be read: {error}.") from error
