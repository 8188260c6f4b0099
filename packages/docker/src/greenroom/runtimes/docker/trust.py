"""The certificate authorities that the image of a container trusts."""

from __future__ import annotations

import tarfile
from typing import Final

import aiodocker
from aiodocker.containers import DockerContainer

from greenroom.core.named_secrets import IMAGE_BUNDLES
from greenroom.runtimes.contract import StartError

MAX_BYTES: Final = 4 << 20


async def certificate_bundles(container: DockerContainer) -> dict[str, str]:
    """Return the files of the container with certificates of authorities: path → content. Links are omitted, because
    they lead to another file of the result.

    Raises:
        StartError: a file cannot be read.
    """
    contents = dict[str, str]()
    for path in IMAGE_BUNDLES:
        try:
            with await container.get_archive(path) as archive:
                entry = archive.next()
                content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
                if entry is not None and content is not None and entry.size <= MAX_BYTES:
                    contents[path] = content.read().decode(errors="replace")
        except aiodocker.DockerError as error:
            if error.status != 404:
                raise
        except tarfile.TarError as error:
            raise StartError(f"{path} of the container cannot be read: {error}.") from error
    return contents
