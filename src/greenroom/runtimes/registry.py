"""Which runtime a host uses, by name (GREENROOM_RUNTIME)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.runtimes.contract import Runtime, Shared, Things
from greenroom.runtimes.host_folders import HostFolders
from greenroom.runtimes.settings import KubernetesSettings

RUNTIMES: Final = ("docker", "kubernetes", "simulated")


def open_runtime(
    name: str,
    *,
    installation_id: str,
    agent_id: str,
    folder: Path,
    docker_host: str | None = None,
    share: float = 1.0,
    folders: HostFolders | None = None,
    connections_max: int = 0,
    runtime_classes: tuple[str, ...] = (),
    kubernetes: KubernetesSettings | None = None,
    fence: Callable[[], None] = lambda: None,
) -> Runtime:
    """The runtime `name`; call its `open()` before everything else.

    Args:
        name: `docker`, `kubernetes`, or `simulated` (containers that exist only in a file, for tests and load).
        installation_id: containers of other installations are left alone.
        agent_id: this Agent, written on what it makes.
        folder: the Agent's: where the simulated runtime keeps its state.
        docker_host: address of the daemon, e.g. `unix:///var/run/docker.sock`; default: as for `docker`.
        share: fraction of the host's cores and memory that this Agent offers (0 < share <= 1).
        folders: what of the host may be mounted; default: only what is in `core.workspace.volumes.OWN`.
        connections_max: limit of open connections per session; 0 = any number.
        runtime_classes: names of runtimes that sessions may use beside the default one: Docker's, or RuntimeClasses.
        kubernetes: which cluster and namespace.
        fence: raises RuntimeUnavailable when this process must change nothing: another one of this Agent
            acts (`kubernetes`).

    Raises:
        SetupError: there is no such runtime, or its settings cannot be used.
    """
    if name == "docker":
        from greenroom.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415 -- a simulated Agent does without it

        return DockerRuntime(
            installation_id,
            agent_id,
            docker_host=docker_host,
            share=share,
            folders=folders,
            folder=folder,
            connections_max=connections_max,
            runtime_classes=runtime_classes,
        )
    if name == "kubernetes":
        from greenroom.runtimes.kubernetes.runtime import KubernetesRuntime  # noqa: PLC0415

        return KubernetesRuntime(
            installation_id,
            agent_id,
            settings=kubernetes or KubernetesSettings(),
            share=share,
            folders=folders.allowed if folders else (),
            runtime_classes=runtime_classes,
            fence=fence,
        )
    if name == "simulated":
        from greenroom.runtimes.simulated import SimulatedRuntime  # noqa: PLC0415

        return SimulatedRuntime(installation_id, agent_id, folder=folder, share=share, runtime_classes=runtime_classes)
    raise SetupError(f"There is no runtime {name!r}; GREENROOM_RUNTIME is one of {', '.join(RUNTIMES)}.")


def open_shared(name: str, group: str, folder: Path, *, kubernetes: KubernetesSettings | None = None) -> Shared:
    """What the processes of the Agent `group` have in common; call its `open()` before everything else. The simulated
    ones share a folder beside their own.

    Raises:
        SetupError: this runtime offers nothing for several processes, or the group's name cannot be used.
    """
    if name == "kubernetes":
        from greenroom.runtimes.kubernetes.shared import NamespaceShared  # noqa: PLC0415

        return NamespaceShared(kubernetes or KubernetesSettings(), group)
    if name == "simulated":
        from greenroom.runtimes.shared_folder import SharedFolder  # noqa: PLC0415

        return SharedFolder(folder.parent / f"shared-{group}")
    raise SetupError(f"With the runtime {name} an Agent is one process; leave GREENROOM_AGENT_GROUP empty.")


def open_things(
    name: str, installation_id: str, *, docker_host: str | None = None, kubernetes: KubernetesSettings | None = None
) -> AbstractAsyncContextManager[Things]:
    """All that an installation has in the runtime `name`, for the duration of the block; arguments as `open_runtime`.

    Raises:
        SetupError: this runtime has nothing that could be left over, or its settings cannot be used.
    """
    if name == "docker":
        from greenroom.runtimes.docker.things import docker_things  # noqa: PLC0415

        return docker_things(docker_host, installation_id)
    if name == "kubernetes":
        from greenroom.runtimes.kubernetes.things import namespace_things  # noqa: PLC0415

        return namespace_things(kubernetes or KubernetesSettings(), installation_id)
    raise SetupError(f"With the runtime {name} there is nothing to repair: its sessions are its Agent's alone.")
