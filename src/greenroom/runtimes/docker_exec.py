"""Run a command inside a container through the Docker API, with a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiodocker.containers import DockerContainer

from greenroom.core.container_users import spells_root
from greenroom.core.sessions import Exec
from greenroom.runtimes.base import ExecResult, StartError
from greenroom.runtimes.docker_output import attend
from greenroom.runtimes.docker_spec import CHOSEN
from greenroom.runtimes.docker_users import refuse_root


async def run_exec(docker: Any, found: Mapping[str, Any], command: Exec) -> ExecResult:
    """See `base.Runtime.exec`. A command has ended when its process has, even if a child of it keeps the output open.

    Args:
        docker: the client.
        found: what Docker says of the container.
        command: what runs in it.

    `VNC_PW` is emptied: Docker gives a command the environment of the container, and with it the page's password.

    Raises:
        StartError: it is not running, or the command would be root's beside a folder of the host.
    """
    if (status := found["State"]["Status"]) != "running":
        raise StartError(f"The command was not run: the session is {status}.")
    container: DockerContainer = docker.containers.container(found["Id"])
    await refuse_root(container, found, command.user, "The command")
    image: dict[str, Any] = await docker.images.inspect(found["Image"]) if chosen(found) else {}
    variables: dict[str, str | None] = {**withheld(command, found, image), **command.environment, "VNC_PW": ""}
    # a name alone takes the variable away
    environment = [name if value is None else f"{name}={value}" for name, value in variables.items()]
    execution: Any = await container.exec(
        list(command.argv), user=command.user or "", environment=environment, workdir=command.workdir
    )
    return await attend(execution, command)


def withheld(command: Exec, found: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, str | None]:
    """The variables that the session's user chose, for a command of somebody else: as in the image, or not at all.

    Args:
        command: what would run.
        found: what Docker says of the container.
        image: what it says of its image.

    They would make the command run that user's code (BASH_ENV, LD_PRELOAD, …), in most cases as root.
    """
    own = str(found["Config"].get("User") or "")
    if command.user in {None, "", own} and own and not spells_root(own):
        return {}
    of_image = dict(entry.partition("=")[::2] for entry in image.get("Config", {}).get("Env") or ())
    return {name: of_image.get(name) for name in chosen(found)}


def chosen(found: Mapping[str, Any]) -> list[str]:
    """Names of the variables that the session's user chose."""
    return [name for name in found["Config"]["Labels"].get(CHOSEN, "").split(",") if name]
