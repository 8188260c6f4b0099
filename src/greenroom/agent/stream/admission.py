"""Checks before a viewer is admitted, and the end of the websockets of a session.

The api, at the Upstream Auth Address of the session, decides if the viewer has access. For viewers who may only watch,
the page of the session must support view-only access: it ignores their input.

Such a page answers a request that has the header `VIEW_ONLY_HEADER` with the same header.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from greenroom.core.errors import Invalid, SetupError, Unavailable
from greenroom.wire.messages import Message
from greenroom.wire.viewers import SESSION_VIDEO_PATH, StreamRequest, StreamVerdict, VideoSegment, ViewerReport

TIMEOUT_S: Final = 5.0
"""The time limit of a request. An api that is slow for some seconds can still answer."""
MAX_SENT_SEGMENTS: Final = 8
"""The maximum number of segments that are sent at the same time. Viewers have separate connections, so that they do not
wait after an interruption of the api, when the segments of all sessions are sent."""
STORE_TIMEOUT_S: Final = 30.0
"""The time limit of a request with a segment, which may have several megabytes."""
TEMPORARY_REFUSALS: Final = frozenset({401, 403, 404, 407, 408, 421, 425, 429})
"""Refusals of a segment that end with a change of credentials, of an address or of the load, and not of the segment.
After all other refusals with 4xx, the same request would be refused again."""
PATH: Final = "/api/internal/stream"
VIEWERS_PATH: Final = "/api/internal/viewers"


class UpstreamAuth:
    """Sends requests to the api, and verifies its certificate against `ca_file`; None = the authorities of this
    machine.

    `gateway` is the `host[:port]` that replaces the address of each session; empty = the address is used. Raises
    SetupError: the file cannot be used.
    """

    def __init__(self, ca_file: Path | None, gateway: str = "") -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SetupError(f"The file {ca_file} of the certificate authority cannot be used: {error}.") from error
        self._gateway = gateway
        self._client = httpx2.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False)
        self._segments_client = httpx2.AsyncClient(
            verify=context,
            timeout=httpx2.Timeout(STORE_TIMEOUT_S, connect=TIMEOUT_S, pool=None),
            limits=httpx2.Limits(max_connections=MAX_SENT_SEGMENTS),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()
        await self._segments_client.aclose()

    async def ask(self, address: str, bearer: str, question: StreamRequest) -> StreamVerdict:
        """Return the verdict of the api at `address` (host[:port], 443 by default). Raises Unavailable: the request
        failed, or its answer is not valid; the message names the address."""
        address = self._gateway or address
        reply = await self._post(address, PATH, bearer, question)
        try:
            return msgspec.json.decode(reply.content, type=StreamVerdict)
        except msgspec.DecodeError as error:
            raise Unavailable(f"The answer of the Upstream Auth Address {address} cannot be read: {error}") from error

    async def report(self, address: str, bearer: str, report: ViewerReport) -> None:
        """Report the guests in a session to the api. Raises Unavailable: as for `ask`."""
        await self._post(self._gateway or address, VIEWERS_PATH, bearer, report)

    async def store(self, address: str, bearer: str, segment: VideoSegment) -> None:
        """Store a segment of the video of a session at the api.

        Raises:
            Unavailable: it is not stored; a later request may store it.
            Invalid: it is not stored, and the api would refuse it again.
        """
        address = self._gateway or address
        reply = await self._send(address, SESSION_VIDEO_PATH, bearer, segment, self._segments_client)
        if reply.is_client_error and reply.status_code not in TEMPORARY_REFUSALS:
            raise Invalid(_refusal(address, reply))
        if not reply.is_success:
            raise Unavailable(_refusal(address, reply))

    async def _post(self, address: str, path: str, bearer: str, message: Message) -> httpx2.Response:
        reply = await self._send(address, path, bearer, message, self._client)
        if not reply.is_success:
            raise Unavailable(_refusal(address, reply))
        return reply

    async def _send(
        self, address: str, path: str, bearer: str, message: Message, client: httpx2.AsyncClient
    ) -> httpx2.Response:
        try:
            return await client.post(
                f"https://{address}{path}",
                content=msgspec.json.encode(message),
                headers={"Authorization": bearer, "Content-Type": "application/json"},
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"The request to the Upstream Auth Address {address} failed: {reason}") from error


def _refusal(address: str, reply: httpx2.Response) -> str:
    try:
        answer = msgspec.json.decode(reply.content, type=dict[str, object])
        reason = str(answer.get("detail", reply.reason_phrase))
    except msgspec.DecodeError:
        reason = reply.reason_phrase
    return f"The Upstream Auth Address {address} returned {reply.status_code}: {reason}"


VIEW_ONLY_HEADER: Final = "X-Greenroom-View-Only"
CLOSE_PATH: Final = "/close"
CLOSE_TIMEOUT_S: Final = 0.5
"""The time for which a page may close its websockets. Afterward, the connections are cut."""


class Pages:
    """Sends requests to the pages of sessions. It checks if pages ignore the input of viewers who may only watch, and
    remembers the pages that do."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # each container creates its certificate itself, and is on the loopback address
        context.verify_mode = ssl.CERT_NONE
        self._http = httpx2.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False)
        self._confirmed: set[tuple[str, str]] = set()

    async def close(self) -> None:
        await self._http.aclose()

    async def ignores_view_only_input(self, url: str, authorization: str) -> bool:
        """Return True if the page at `url` ignores the input of viewers who may only watch. Raises Unavailable: the
        page does not answer.
        """
        if (url, authorization) in self._confirmed:
            return True
        try:
            answer = await self._http.head(f"{url}/", headers={"Authorization": authorization, VIEW_ONLY_HEADER: "1"})
        except httpx2.HTTPError as error:
            raise Unavailable(f"The desktop does not answer: {str(error) or type(error).__name__}") from error
        if answer.status_code != 200 or answer.headers.get(VIEW_ONLY_HEADER) != "1":
            return False
        self._confirmed.add((url, authorization))
        return True

    async def close_websockets(self, url: str, authorization: str, code: int, reason: str) -> None:
        """Let the page at `url` close its websockets with a code and a reason. Raises Unavailable: the page did not
        close them in time, or cannot close them."""
        body = msgspec.json.encode({"code": code, "reason": reason})
        try:
            answer = await self._http.post(
                f"{url}{CLOSE_PATH}", content=body, headers={"Authorization": authorization}, timeout=CLOSE_TIMEOUT_S
            )
        except httpx2.HTTPError as error:
            problem = str(error) or type(error).__name__
            raise Unavailable(f"The page does not close its websockets: {problem}") from error
        if not answer.is_success:
            raise Unavailable(f"The page does not close its websockets: it answers {answer.status_code}.")
