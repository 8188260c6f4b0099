"""Checks before a viewer is admitted: the Upstream Auth Address, and the ability of the page to prevent viewers from
typing.

The page of Greenroom's images returns the header of the request to confirm this. Without it the page counts as unable.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx
import msgspec

from greenroom.core.errors import SetupError, Unavailable
from greenroom.wire.messages import Message, Stream, StreamVerdict
from greenroom.wire.viewers import Watched

TIMEOUT_S: Final = 5.0
"""Enough for an api that stalls for some seconds: otherwise the viewer would have to retry."""
PATH: Final = "/api/internal/stream"
VIEWERS_PATH: Final = "/api/internal/viewers"


class UpstreamAuth:
    """Sends requests to the api, whose certificate is verified against `ca_file`; None = the authorities of this
    machine.

    `gateway` is the `host[:port]` that is used in place of each session's address; empty = that address. Raises
    SetupError: the file cannot be used.
    """

    def __init__(self, ca_file: Path | None, gateway: str = "") -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SetupError(f"The file {ca_file} of the certificate authority cannot be used: {error}.") from error
        self._gateway = gateway
        self._client = httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, address: str, bearer: str, question: Stream) -> StreamVerdict:
        """The verdict of the api at `address` (host[:port], 443 by default). Raises Unavailable: the request failed, or
        its answer is not valid; the sentence names the address."""
        address = self._gateway or address
        reply = await self._post(address, PATH, bearer, question)
        try:
            return msgspec.json.decode(reply.content, type=StreamVerdict)
        except msgspec.DecodeError as error:
            raise Unavailable(f"The answer of the Upstream Auth Address {address} cannot be read: {error}") from error

    async def report(self, address: str, bearer: str, watched: Watched) -> None:
        """Report to the api the viewers in a session besides its user. Raises Unavailable: as for `ask`."""
        await self._post(self._gateway or address, VIEWERS_PATH, bearer, watched)

    async def _post(self, address: str, path: str, bearer: str, message: Message) -> httpx.Response:
        try:
            reply = await self._client.post(
                f"https://{address}{path}",
                content=msgspec.json.encode(message),
                headers={"Authorization": bearer, "Content-Type": "application/json"},
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = str(error) or type(error).__name__
            raise Unavailable(f"The request to the Upstream Auth Address {address} failed: {words}") from error
        if not reply.is_success:
            raise Unavailable(f"The Upstream Auth Address {address} returned {reply.status_code}: {_words(reply)}")
        return reply


def _words(reply: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(reply.content, type=dict[str, object]).get("detail", reply.reason_phrase))
    except msgspec.DecodeError:
        return reply.reason_phrase


HEADER: Final = "X-Greenroom-View-Only"


class ViewOnlyPages:
    """Checks pages, and remembers those that drop the input of watchers."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # each container created its certificate itself, on this host's loopback
        context.verify_mode = ssl.CERT_NONE
        self._http = httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False)
        self._known: set[tuple[str, str]] = set()

    async def close(self) -> None:
        await self._http.aclose()

    async def keeps(self, url: str, authorization: str) -> bool:
        """Return True if the page at `url` drops the input of watchers. Raises Unavailable: it does not answer."""
        if (url, authorization) in self._known:
            return True
        try:
            answer = await self._http.head(f"{url}/", headers={"Authorization": authorization, HEADER: "1"})
        except httpx.HTTPError as error:
            raise Unavailable(f"The desktop does not answer: {str(error) or type(error).__name__}") from error
        if answer.status_code != 200 or answer.headers.get(HEADER) != "1":
            return False
        self._known.add((url, authorization))
        return True
