"""Requests to hosts that administrators or publishers of workspace lists choose. The size of a response is limited. The
name of a host is resolved once, and the request goes to the checked address, even if the name gets another address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence

import httpx2

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.outgoing import is_trusted, webhook_address_problem, webhook_url_problem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TooLongError(Exception):
    """A response has more bytes than the limit."""


async def resolve_checked_address(url: httpx2.URL, problem: Callable[[Address], str | None]) -> Address:
    """Return an address of the URL's host. `problem` returns the reason why an address must not be used, as the end of
    a sentence, or None. Raises Invalid: the host has no address, or one of its addresses must not be used."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        entries = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Invalid(f"The host {url.host} cannot be found.") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
    for address in addresses:
        if reason := problem(address):
            raise Invalid(f"A request to {url.host} is not allowed: {reason}.")
    return addresses[0]


async def webhook_address(url: str, trusted: Sequence[AllowedHost]) -> Address:
    """Return the address to connect to for a request to `url`; `trusted` are the hosts of the setting `webhook_hosts`.
    Raises Invalid: the request is not allowed."""
    if problem := webhook_url_problem(url, trusted):
        raise Invalid(problem)
    return await resolve_checked_address(
        httpx2.URL(url), _any_address if is_trusted(url, trusted) else webhook_address_problem
    )


def _any_address(_: Address) -> None:
    """Allow any address: the setting `webhook_hosts` contains the host."""


def pinned_request(
    client: httpx2.AsyncClient,
    method: str,
    url: httpx2.URL,
    address: Address,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx2.Request:
    """Return a request that connects to `address`. Its Host header and the expected certificate name are those of the
    URL.
    """
    return client.build_request(
        method,
        url.copy_with(host=str(address)),
        headers={"Host": url.netloc.decode(), "Accept-Encoding": "identity", **headers},
        content=content,
        extensions={"sni_hostname": url.host},
    )


async def read_beginning(response: httpx2.Response, max_bytes: int) -> bytes:
    """Return the first `max_bytes` of the body of a response; the rest is not read."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


async def read_content(response: httpx2.Response, max_bytes: int) -> bytes:
    """Return the body of a response. Raises TooLongError: the body has more than `max_bytes`."""
    body = await read_beginning(response, max_bytes + 1)
    if len(body) > max_bytes:
        raise TooLongError
    return body
