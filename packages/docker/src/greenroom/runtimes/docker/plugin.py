"""The runtime `docker`: sessions are containers of this host's Docker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.kit.config import FromEnvironment
from greenroom.runtimes.contract import Builder, InstallationObjects, Runtime
from greenroom.runtimes.plugin import Context, InstanceFacts, RuntimePlugin

ANSWER_TIMEOUT_S: Final = 15.0


class DockerSettings(FromEnvironment):
    """The settings of the runtime `docker`."""

    docker_host: str | None = None
    """The address of the daemon, e.g. unix:///var/run/docker.sock; None = the address that the command `docker` uses.
    """


class DockerPlugin(RuntimePlugin[DockerSettings]):
    """Implements `RuntimePlugin`. Its methods import modules when they are called, because aiodocker loads slowly."""

    settings_type = DockerSettings
    title = "Docker"
    check_subject = "disk and the versions of Docker"
    preloaded_modules = ("greenroom.runtimes.docker.runtime",)

    def runtime(self, context: Context) -> Runtime:
        from greenroom.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415

        return DockerRuntime(
            context.installation_id,
            context.agent_id,
            docker_host=self.settings.docker_host,
            share=context.share,
            folders=context.folders,
            folder=context.folder,
            connections_max=context.connections_max,
            runtime_classes=context.runtime_classes,
        )

    def installation_objects(self, installation_id: str) -> AbstractAsyncContextManager[InstallationObjects]:
        from greenroom.runtimes.docker.installation_objects import docker_objects  # noqa: PLC0415

        return docker_objects(self.settings.docker_host, installation_id)

    @asynccontextmanager
    async def open_builder(self) -> AsyncGenerator[Builder]:
        from greenroom.runtimes.docker.builder import DockerBuilder, build_lock  # noqa: PLC0415
        from greenroom.runtimes.docker.inspection import open_client  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client, build_lock():
            yield DockerBuilder(client)

    async def check(self, first_image: str) -> None:
        from greenroom.runtimes.docker.inspection import has_image, open_client  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client:
            if first_image and not await has_image(client, first_image):
                raise SetupError(
                    f"Docker has no image {first_image}, which the workspace Desktop needs. Install the package"
                    " greenroom-desktop, which builds it, or set GREENROOM_DESKTOP_IMAGE to another image."
                )

    async def check_host(self) -> None:
        from greenroom.runtimes.docker.inspection import connection_problem  # noqa: PLC0415

        if reason := await connection_problem(self.settings.docker_host, ANSWER_TIMEOUT_S):
            address = self.settings.docker_host or "the default socket"
            raise SetupError(f"Docker does not answer at {address}: {reason}. Start Docker first; sessions run in it.")

    async def warnings(self, instance: InstanceFacts) -> list[str]:
        from greenroom.core.fleet.disk import warnings  # noqa: PLC0415
        from greenroom.runtimes.docker.inspection import read_host  # noqa: PLC0415

        return warnings(await read_host(self.settings.docker_host, instance.database_folder, instance.disk))

    async def session_ids(self, installation_id: str, folders: Sequence[Path]) -> list[str]:
        """List the ids of the sessions. No runtime is opened, because it would create the network of sessions."""
        from greenroom.runtimes.docker.inspection import open_client, session_containers  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client:
            return [c.get("greenroom.session", "") for c in await session_containers(client, installation_id)]

    async def other_installations(self, installation_id: str) -> list[str]:
        from greenroom.runtimes.docker.images import other_installations  # noqa: PLC0415
        from greenroom.runtimes.docker.inspection import open_client  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client:
            return await other_installations(client, installation_id)

    async def local_images(self, names: Collection[str]) -> list[str]:
        from greenroom.runtimes.docker.images import local_images  # noqa: PLC0415
        from greenroom.runtimes.docker.inspection import open_client  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client:
            return await local_images(client, names)

    async def remove_images(self, images: Sequence[str]) -> list[str]:
        from greenroom.runtimes.docker.images import remove_image  # noqa: PLC0415
        from greenroom.runtimes.docker.inspection import open_client  # noqa: PLC0415

        async with open_client(self.settings.docker_host) as client:
            return [problem for image in images if (problem := await remove_image(client, image))]
