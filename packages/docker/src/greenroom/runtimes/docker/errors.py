"""Translation of Docker's errors to the errors of the runtime contract."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiodocker
import aiohttp

from greenroom.runtimes.contract import ContainerMissing, ImageMissing, PullError, RuntimeUnavailable, StartError

NO_ANSWER = 900
"""The status of aiodocker's error if it has no connection to the daemon."""
NO_ADDRESSES_TEXT = "IPv4 address pool"
NETWORKS_FULL = (
    "Docker has no free address range for another network. Remove unused networks, or add ranges with"
    " default-address-pools in its daemon.json"
)


@asynccontextmanager
async def translated(image: str = "", pulled_image: str = "", *, read_only: bool = False) -> AsyncGenerator[None]:
    """Translate Docker's errors to errors of the contract.

    `image`: status 404 means that this image is missing. `pulled_image`: the call pulls this image. `read_only`: the
    call changes no session; then an internal error of the daemon is raised as `RuntimeUnavailable`.
    """
    try:
        yield
    except aiodocker.DockerError as error:
        raise _contract_error(error, image, pulled_image, read_only=read_only) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise RuntimeUnavailable(f"The Docker daemon does not answer ({error_text(error)}).") from error


def error_text(error: Exception, default: str = "timeout") -> str:
    """Return the text of an error for use inside a sentence, or `default` if it has none. A connection error is reduced
    to its innermost reason.
    """
    text = error.message if isinstance(error, aiodocker.DockerError) else str(error)
    if isinstance(error, aiodocker.DockerError) and error.status == NO_ANSWER:
        reason = text.rpartition("[")[2].rstrip("] ").lower()
        return "connection refused" if reason.startswith("connect call failed") else reason
    return re.sub(r"^Error response from daemon: ", "", text).strip().rstrip(".") or default


def _contract_error(error: aiodocker.DockerError, image: str, pulled_image: str, *, read_only: bool) -> Exception:
    text = error_text(error)
    if error.status == NO_ANSWER or (read_only and error.status >= 500):
        problem = "does not answer" if error.status == NO_ANSWER else "answers with an error"
        return RuntimeUnavailable(f"The Docker daemon {problem}: {text}.")
    if NO_ADDRESSES_TEXT in text:
        return RuntimeUnavailable(f"{NETWORKS_FULL} ({text}).")
    if pulled_image:
        return PullError(f"The image {pulled_image} could not be fetched: {text}.")
    if error.status == 404 and image:
        return ImageMissing(f"The image {image} is not on this host: {text}.")
    if error.status == 404:
        return ContainerMissing()
    return StartError(f"Docker refused: {text}.")
