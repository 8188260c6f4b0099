"""Downloads of imported lists, and of the pictures of their entries.

Size, time and redirects are limited. Addresses of this host are refused unless the settings of the installation allow
them.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

import httpx2

from greenroom.core.errors import Invalid
from greenroom.core.outgoing import INTERNET, AllowedNetworks, catalogue_address_problem
from greenroom.kit.outgoing import Address, TooLongError, pinned_request, read_content, resolve_checked_address

TIMEOUT_S: Final = 10.0
"""The limit for a whole download, including redirects."""
MAX_REDIRECTS: Final = 3


@dataclass(frozen=True, slots=True)
class DownloadedContent:
    """Downloaded content and its ETag. `content` is None if it has not changed since the `etag` of the request."""

    content: bytes | None
    etag: str


async def download(
    url: str, *, max_bytes: int, etag: str = "", networks: AllowedNetworks = INTERNET
) -> DownloadedContent:
    """Return the content at `url`; its address must be in `networks`. Raises Invalid: it cannot be downloaded. The
    message contains the reason, and nothing that the server sent."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _download(httpx2.URL(url), max_bytes, etag, networks=networks)
    except TimeoutError as error:
        raise Invalid(f"{url} did not answer within {TIMEOUT_S:.0f} s.") from error
    except httpx2.InvalidURL as error:
        raise Invalid(f"{url} is not an address: {error}.") from error
    except httpx2.HTTPError as error:
        raise Invalid(f"{url} cannot be read: {str(error) or type(error).__name__}.") from error


async def _download(url: httpx2.URL, max_bytes: int, etag: str, *, networks: AllowedNetworks) -> DownloadedContent:
    async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:
        for _ in range(MAX_REDIRECTS + 1):
            address = await _permitted_address(url, networks=networks)
            request = pinned_request(client, "GET", url, address, headers={"If-None-Match": etag} if etag else {})
            answer = await client.send(request, stream=True)
            try:
                if answer.has_redirect_location:
                    url = url.join(answer.headers["location"])
                    continue
                if answer.status_code == 304 and etag:
                    return DownloadedContent(None, etag)
                if not answer.is_success:
                    raise Invalid(f"{url} answered {answer.status_code}.")
                return DownloadedContent(await _read_body(answer, url, max_bytes), answer.headers.get("etag", "")[:200])
            finally:
                await answer.aclose()
    raise Invalid(f"{url} redirects more than {MAX_REDIRECTS} times.")


async def _read_body(answer: httpx2.Response, url: httpx2.URL, max_bytes: int) -> bytes:
    try:
        return await read_content(answer, max_bytes)
    except TooLongError as error:
        raise Invalid(f"{url} is larger than {max_bytes / (1 << 20):.3g} MiB.") from error


async def _permitted_address(url: httpx2.URL, *, networks: AllowedNetworks) -> Address:
    """Return the IP address for the connection. Raises Invalid: the URL or the address is not permitted."""
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise Invalid(
            f"{url} cannot be the address of a list or a picture: it must begin with https:// or http://, and must not "
            "have a user name."
        )
    return await resolve_checked_address(
        url,
        lambda address: catalogue_address_problem(address, networks, is_this_host=_is_address_of_this_host(address)),
    )


def _is_address_of_this_host(address: Address) -> bool:
    """Return True if an interface of this host has the address. A socket can only be bound to such addresses."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
