"""Conversion of Docker's errors to those of the contract."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiodocker
import aiohttp

from greenroom.runtimes.contract import ContainerMissing, ImageMissing, PullError, RuntimeUnavailable, StartError

NO_ANSWER = 900
"""Status of aiodocker's own error for a missing connection."""
NO_ADDRESSES = "IPv4 address pool"
NETWORKS_FULL = (
    "Docker has no free address range for another network. Remove unused networks, or add ranges with"
    " default-address-pools in its daemon.json"
)


@asynccontextmanager
async def translated(image: str = "", pull: str = "", *, read_only: bool = False) -> AsyncGenerator[None]:
    """Raise Docker's errors as those of the contract.

    `image`: a 404 is about this image. `pull`: this image is being pulled. `read_only`: the call changes no session, so
    an error inside the daemon means that it does not work at present.
    """
    try:
        yield
    except aiodocker.DockerError as error:
        raise _meaning(error, image, pull, read_only=read_only) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise RuntimeUnavailable(f"The Docker daemon does not answer ({plainly(error)}).") from error


def plainly(error: Exception, nothing: str = "timeout") -> str:
    """The text of an error for use inside a sentence; of a connection error only the innermost reason. `nothing` is
    used for an error without text."""
    text = error.message if isinstance(error, aiodocker.DockerError) else str(error)
    if isinstance(error, aiodocker.DockerError) and error.status == NO_ANSWER:
        reason = text.rpartition("[")[2].rstrip("] ").lower()
        return "connection refused" if reason.startswith("connect call failed") else reason
    return re.sub(r"^Error response from daemon: ", "", text).strip().rstrip(".") or nothing


def _meaning(error: aiodocker.DockerError, image: str, pull: str, *, read_only: bool) -> Exception:
    text = plainly(error)
    if error.status == NO_ANSWER or (read_only and error.status >= 500):
        how = "does not answer" if error.status == NO_ANSWER else "answers with an error"
        return RuntimeUnavailable(f"The Docker daemon {how}: {text}.")
    if NO_ADDRESSES in text:
        return RuntimeUnavailable(f"{NETWORKS_FULL} ({text}).")
    if pull:
        return PullError(f"The image {pull} could not be fetched: {text}.")
    if error.status == 404 and image:
        return ImageMissing(f"The image {image} is not on this host: {text}.")
    if error.status == 404:
        return ContainerMissing()
    return StartError(f"Docker refused: {text}.")
