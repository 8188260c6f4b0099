"""Archives of Docker images, as `docker save` writes them, and the check before one is loaded.

An archive from another host is checked before the daemon gets it. It must contain no image names, and the digest of its
configuration or manifest must be the id of the requested image. The daemon itself checks the digests of the layers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiodocker
import msgspec

from greenroom.runtimes.contract import Image, ImageMissing, PullError
from greenroom.runtimes.docker.daemon import TAR, post
from greenroom.runtimes.docker.errors import error_text, translated

CHUNK_BYTES: Final = 1 << 18
MAX_MANIFEST_BYTES: Final = 4 << 20
NAME_ANNOTATIONS: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations with the name of an image, in the archives of newer daemons."""


class _Manifest(msgspec.Struct, frozen=True):
    config: str = msgspec.field(name="Config")
    names: list[str] | None = msgspec.field(name="RepoTags", default=None)


class _Entry(msgspec.Struct, frozen=True):
    digest: str
    annotations: dict[str, str] = {}


class _Index(msgspec.Struct, frozen=True):
    """The content of `index.json`, which only newer daemons write."""

    manifests: list[_Entry] = []


def archive_problem(archive: Path, digest: str) -> str:
    """Return the reason why this archive must not be loaded as the image with the id `digest`, as part of a sentence;
    empty = it may be loaded.
    """
    try:
        with tarfile.open(archive) as tar:
            if "repositories" in tar.getnames():
                return "it contains image names"
            manifests = msgspec.json.decode(_read(tar, "manifest.json"), type=list[_Manifest])
            index = _Index()
            if "index.json" in tar.getnames():
                index = msgspec.json.decode(_read(tar, "index.json"), type=_Index)
            if len(manifests) != 1 or manifests[0].names:
                return "it contains several images, or image names"
            if any(annotation in entry.annotations for entry in index.manifests for annotation in NAME_ANNOTATIONS):
                return "it contains image names"
            # The id is the digest of the configuration, or of the manifest if containerd stores the images.
            part_names = [
                manifests[0].config,
                *(f"blobs/{entry.digest.replace(':', '/')}" for entry in index.manifests),
            ]
            digests = [f"sha256:{hashlib.sha256(_read(tar, name)).hexdigest()}" for name in part_names]
    except (tarfile.TarError, msgspec.MsgspecError, KeyError, ValueError, EOFError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"
    return "" if digest in digests else "it is not the requested image"


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    content = file.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise ValueError(f"{name} is too large")
    return content


class DockerArchives:
    """Implements `contract.ImageArchives` with the daemon of the connection `docker`."""

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker: Any = docker

    async def save(self, digest: str) -> AsyncIterator[bytes]:
        """Yield the archive of the image with this id. An archive that is requested by id contains no image names.

        Raises:
            ImageMissing: the image is not on this host.
            PullError: the image cannot be read.
        """
        async with translated(image=digest):
            try:
                async with self._docker.images.export_image(digest, timeout=None) as content:
                    async for chunk in content.iter_chunked(CHUNK_BYTES):
                        yield chunk
            except aiodocker.DockerError as error:
                if error.status == 404:
                    raise ImageMissing(f"The image {digest} is not on this host.") from error
                raise PullError(f"The image {digest} cannot be read: {error_text(error)}.") from error

    async def load(self, archive: Path, image: Image) -> None:
        """Load an image from an archive of `save`, and set its name.

        Raises:
            PullError: the archive contains another image, or the daemon cannot load it.
        """
        if reason := await asyncio.to_thread(archive_problem, archive, image.digest):
            raise PullError(f"The copy of the image {image.name} was rejected: {reason}.")
        with archive.open("rb") as file:
            async with (
                translated(pulled_image=image.name),
                post(self._docker, "images/load", file, headers=TAR, params={"quiet": "1"}, timeout=None) as response,
            ):
                async for line in response.content:
                    answer = json.loads(line)
                    if "error" in answer:
                        raise PullError(f"The copy of the image {image.name} could not be loaded: {answer['error']}.")
        if not await self.name(image):
            raise PullError(
                f"The copy of the image {image.name} could not be loaded: Docker has no image with that id."
            )

    async def name(self, image: Image) -> bool:
        """Set the name of the image with this id. Return False if the daemon does not have the image."""
        async with translated(pulled_image=image.name):
            try:
                await self._docker.images.inspect(image.digest)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return False
                raise
            repository, _, tag = image.name.rpartition(":")
            if not repository or "/" in tag:
                repository, tag = image.name, "latest"
            await self._docker.images.tag(image.digest, repo=repository, tag=tag)
        return True
