"""The images of an installation in a host's Docker, and the other installations that use this Docker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import aiodocker

from greenroom.runtimes.contract import INSTALLATION
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated

REPOSITORY: Final = "greenroom/"
RECIPE: Final = "greenroom.recipe"
"""The label of images that recipes built."""


async def other_installations(client: aiodocker.Docker, installation_id: str) -> list[str]:
    """Return the ids of other installations that have a network or a container. The network of an installation exists
    while one of its Agents runs."""
    docker: Any = client  # aiodocker has only partial types
    async with translated(read_only=True):
        networks: list[DockerJson] = await docker.networks.list(filters={"label": [INSTALLATION]})
        containers = await docker.containers.list(all=True, filters={"label": [INSTALLATION]})
    installation_ids = {entry["Labels"][INSTALLATION] for entry in (*networks, *containers)}
    return sorted(installation_ids - {installation_id})


async def local_images(client: aiodocker.Docker, names: Collection[str]) -> list[str]:
    """Return the names of the images that Greenroom built and of those in `names`. An image without a name is
    returned by its id."""
    docker: Any = client
    async with translated(read_only=True):
        entries: list[DockerJson] = await docker.images.list()
    images = list[str]()
    for entry in entries:
        tags = [tag for tag in entry["RepoTags"] or () if not tag.startswith("<none>")]
        is_built = RECIPE in (entry["Labels"] or {})
        images += [tag for tag in tags if is_built or tag.startswith(REPOSITORY) or tag in names]
        if is_built and not tags:
            images.append(str(entry["Id"]))
    return sorted(images, key=lambda name: (name.startswith("greenroom/desktop-base"), name))  # the base is last


async def remove_image(client: aiodocker.Docker, image: str) -> str:
    """Remove an image. Return the reason why it remains, as a sentence; empty = the image does not exist any more."""
    docker: Any = client
    async with translated():
        try:
            await docker.images.delete(image)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return ""
            if error.status == 409:  # a container of another program uses it
                return f"The image {image} remains: {error.message}"
            raise
    return ""
