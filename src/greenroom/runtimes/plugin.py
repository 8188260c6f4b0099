"""The interface of an installed runtime, for Agents and for the checks of `up`, `doctor` and `join`.

A distribution names its subclass of `RuntimePlugin` as an entry point of the group `greenroom.runtimes`. The page
docs/howto/write-a-runtime.md explains it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from greenroom.core.errors import SetupError
from greenroom.core.fleet.disk import FreeDisk
from greenroom.kit.config import FromEnvironment
from greenroom.kit.plugins import Plugin
from greenroom.runtimes.contract import Builder, InstallationObjects, ReplicaStore, Runtime
from greenroom.runtimes.host_folders import HostFolders

S = TypeVar("S", bound=FromEnvironment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The arguments with which a runtime is created, in addition to its own settings."""

    installation_id: str
    """Containers of other installations are never changed."""
    agent_id: str
    """The id of this Agent. The runtime stores it with the objects that it creates."""
    folder: Path
    """The Agent's folder, in which the simulated runtime stores its state."""
    share: float = 1.0
    """The fraction of the host's cores and memory that this Agent offers, above 0 and at most 1."""
    folders: HostFolders | None = None
    """The folders of the host that may be mounted; None = only those in `core.workspace.volumes.VOLUMES_FOLDER`."""
    connections_max: int = 0
    """The limit of open connections per session; 0 = unlimited."""
    runtime_classes: tuple[str, ...] = ()
    """Container runtimes that sessions may use in addition to the default: those of Docker, or RuntimeClasses of
    Kubernetes."""
    fence: Callable[[], None] = lambda: None
    """Raises RuntimeUnavailable while another replica of this Agent acts, so that this process changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """The facts of `greenroom doctor` about an instance and its host. `database_folder` is the folder of the database
    that the instance runs; None = the instance runs no database."""

    disk: FreeDisk
    database_folder: Path | None
    runtime_classes: tuple[str, ...]


class RuntimePlugin(Plugin[S], ABC):
    """A runtime with its settings. The methods import modules only when they are called, so that other commands start
    fast.
    """

    title: str
    """The name of the program that runs sessions, for sentences: `When Docker answers again, …`."""
    check_subject: str
    """The subject of the checks in `warnings`, for sentences: `The cluster could not be checked`."""
    remote_sessions_text: str = ""
    """The kind of sessions that use no resources of this host, for sentences: `Sessions are Pods of a cluster …`. Empty
    = sessions use the cores and memory of this host."""
    preloaded_modules: tuple[str, ...] = ()
    """The modules that `up` imports once for all its Agents."""

    @abstractmethod
    def runtime(self, context: Context) -> Runtime:
        """Create a runtime. The caller must call its `open()` first. Raises SetupError: the settings cannot be used."""

    def replica_store(self, group: str, folder: Path) -> ReplicaStore:
        """Return the store that the replicas of the Agent `group` share. The caller must call its `open()` first.
        Raises SetupError: this runtime does not support replicas, or the group's name cannot be used.
        """
        del group, folder
        raise SetupError(f"With the runtime {self.name} an Agent is one process; remove GREENROOM_AGENT_GROUP.")

    def installation_objects(self, installation_id: str) -> AbstractAsyncContextManager[InstallationObjects]:
        """Open the objects of an installation in the runtime. Raises SetupError: this runtime has no such objects, or
        its settings cannot be used.
        """
        del installation_id
        raise SetupError(f"The runtime {self.name} has nothing to repair: only its Agent has its sessions.")

    def open_builder(self) -> AbstractAsyncContextManager[Builder]:
        """Open the builder of images on this host, which one process at a time can use. Raises SetupError: this runtime
        builds no images.
        """
        raise SetupError(f"The runtime {self.name} builds no images.")

    async def check(self, first_image: str) -> None:
        """Check the runtime before `up` starts. `first_image` is the image of the first workspace; empty = the
        workspace already exists. Raises SetupError: no session could be created."""

    async def check_host(self) -> None:
        """Check the host before it joins with an Agent. Raises SetupError: sessions cannot run on this host."""

    async def warnings(self, instance: InstanceFacts) -> list[str]:
        """Return a sentence for each feature that some sessions cannot use. Raises GreenroomError: the check failed,
        with the reason."""
        del instance
        return []

    async def session_ids(self, installation_id: str, folders: Sequence[Path]) -> list[str]:
        """Return the session ids of the containers of the installation. `folders` are the folders of its Agents.

        Raises:
            SetupError, RuntimeUnavailable: the runtime does not answer.
        """
        session_ids: list[str] = []
        for folder in folders:
            runtime = self.runtime(Context(installation_id=installation_id, agent_id="", folder=folder))
            await runtime.open()
            try:
                session_ids += [container.session_id for container in await runtime.list()]
            finally:
                await runtime.close()
        return session_ids

    async def other_installations(self, installation_id: str) -> list[str]:
        """Return the ids of other installations that run or have sessions in this runtime. Raises GreenroomError: the
        runtime does not answer."""
        del installation_id
        return []

    async def local_images(self, names: Collection[str]) -> list[str]:
        """Return the images on this host that Greenroom built, and those in `names`. Raises GreenroomError: the runtime
        does not answer."""
        del names
        return []

    async def remove_images(self, images: Sequence[str]) -> list[str]:
        """Remove images from this host. Return a sentence with the reason for each image that remains. Raises
        GreenroomError: the runtime does not answer."""
        del images
        return []

    async def remove_all(self, installation_id: str, folder: Path) -> int:
        """Remove all containers of the installation and their shared resources. Return the number of containers.
        `folder` is the folder of the Agent. Raises GreenroomError: the runtime does not answer or refuses."""
        runtime = self.runtime(Context(installation_id=installation_id, agent_id="", folder=folder))
        await runtime.open()
        try:
            return await runtime.remove_all()
        finally:
            await runtime.close()
