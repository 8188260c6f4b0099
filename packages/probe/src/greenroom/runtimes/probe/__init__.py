"""Probes a session's page as a viewer: checks that the page is usable, and reads its screen.

The page of a session is its web server. A page with the `Server` header of Greenroom's images is usable if it accepts
the session's credential, and its websocket sends a painted screen. Other images have their own dialects of RFB; their
page is usable if it answers without an error, at the `ready_path` of the workspace.

After a page of Greenroom was usable, the next probe uses only its websocket, because the same server answers there with
the same credential. This halves the CPU time of a probe. The probe connects as an additional viewer, and has no effect
on other viewers. With a connection that the last probe left open, a probe consists of one message in each direction;
this also shortens the hand-over of a session to its user.

The session's user can replace the server of the page. No redirect is followed, because it could lead to an address that
only this host can reach. The only effect of a forged answer is that the page is not usable.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.pictures import screen_as_jpeg
from greenroom.runtimes.contract import PROBE_TIMEOUT_S, ProbeResult, ScreenshotError
from greenroom.runtimes.probe.screen import RfbError, Screen

PAGE_SERVER = "greenroom-desktop"
KEPT_CONNECTION_TIMEOUT_S = 0.3
"""The time limit for an answer on the connection of the last probe. After a timeout, a new connection is opened,
because the size of the screen may have changed."""
MAX_REASON_CHARACTERS = 300
"""The maximum length of the text of another program in a message."""


class Prober:
    """Probes pages of sessions. A process should have only one prober, because it is expensive to create.

    The certificate of a page is not checked, because the container creates it. The runtime publishes the address of the
    page only for this container.
    """

    def __init__(self) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        # Otherwise the cookies of one page would be sent to all other pages, because cookies ignore ports.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        # Only the time of a whole probe is limited.
        self._http = httpx2.AsyncClient(
            verify=self._tls, trust_env=False, timeout=httpx2.Timeout(None), cookies=no_cookies
        )
        self._usable_pages: dict[str, str] = {}
        """Address → credential, for pages of Greenroom's images that were usable at the last probe."""
        self._open_connections: dict[str, _OpenScreen] = {}
        """Address → the connection that the last probe left open."""
        self._close_tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for opened in self._open_connections.values():
            self._close_in_background(opened.connection)
        await asyncio.gather(*self._close_tasks, return_exceptions=True)
        await self._http.aclose()

    async def probe(
        self, address: str, spec: SessionSpec, timeout_s: float = PROBE_TIMEOUT_S, *, keep_connection: bool = False
    ) -> ProbeResult:
        """Probe the page at host:port `address`; never raises. `keep_connection` as in `contract.Containers.probe`."""
        was_usable = self._usable_pages.pop(address, None) == spec.credential
        try:
            async with asyncio.timeout(timeout_s):
                if await self._is_still_painted(address, spec, keep_connection=keep_connection):
                    return ProbeResult(usable=True, painted=True)
                probe = self._probe_screen if was_usable else self._probe_page
                return await probe(address, spec, keep_connection=keep_connection)
        except TimeoutError:
            sentence = f"The session's page did not answer within {timeout_s:g} s."
            return ProbeResult(usable=False, timed_out=True, error=sentence)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return ProbeResult(usable=False, error=_no_answer_reason(error, spec))
        except Exception as error:  # noqa: BLE001 -- forged data fails in any way, and must not end the Agent
            return ProbeResult(usable=False, painted=False, error=f"The screen cannot be read: {_reason(error)}.")

    async def screenshot(
        self, address: str, spec: SessionSpec, width: int, height: int, timeout_s: float = PROBE_TIMEOUT_S
    ) -> bytes:
        """Take a screenshot as described in `contract.Containers.screenshot`. `address` is host:port."""
        try:
            async with asyncio.timeout(timeout_s):
                if (problem := _page_problem(answer := await self._request_page(address, spec))) is not None:
                    raise ScreenshotError(problem)
                if answer.headers.get("server") != PAGE_SERVER:
                    raise ScreenshotError("The screen of this workspace's image cannot be read.")
                opened = await self._open(address, spec)
                try:
                    pixels = await opened.screen.picture()
                finally:
                    self._close_in_background(opened.connection)
            size = (opened.screen.width, opened.screen.height)
            return await asyncio.to_thread(screen_as_jpeg, pixels, size, (width, height))
        except ScreenshotError:
            raise
        except TimeoutError as error:
            raise ScreenshotError(f"The session's page sent no screen within {timeout_s:g} s.") from error
        except Exception as error:  # as in `probe`
            raise ScreenshotError(f"The screen cannot be read: {_reason(error)}.") from error

    async def _probe_page(self, address: str, spec: SessionSpec, *, keep_connection: bool) -> ProbeResult:
        answer = await self._request_page(address, spec)
        if (problem := _page_problem(answer)) is not None:
            return ProbeResult(usable=False, error=problem)
        if answer.headers.get("server") != PAGE_SERVER:
            return ProbeResult(usable=True)
        return await self._probe_screen(address, spec, keep_connection=keep_connection)

    async def _probe_screen(self, address: str, spec: SessionSpec, *, keep_connection: bool) -> ProbeResult:
        if await self._is_painted(address, await self._open(address, spec), keep_connection=keep_connection):
            return ProbeResult(usable=True, painted=True)
        return ProbeResult(usable=False, painted=False, error="Nothing has been painted on the screen yet.")

    async def _is_still_painted(self, address: str, spec: SessionSpec, *, keep_connection: bool) -> bool:
        """Return True if the connection of the last probe shows a painted screen. False also if the connection is
        closed, or does not answer within `KEPT_CONNECTION_TIMEOUT_S`."""
        opened = self._open_connections.pop(address, None)
        if opened is None:
            return False
        if opened.credential != spec.credential:
            self._close_in_background(opened.connection)
            return False
        try:
            async with asyncio.timeout(KEPT_CONNECTION_TIMEOUT_S):
                return await self._is_painted(address, opened, keep_connection=keep_connection)
        except Exception:  # noqa: BLE001 -- the probe with a new connection reports the error
            return False

    async def _is_painted(self, address: str, opened: _OpenScreen, *, keep_connection: bool) -> bool:
        painted = False
        try:
            painted = await opened.screen.is_painted()
        finally:
            if painted:
                self._usable_pages[address] = opened.credential
            if painted and keep_connection and address not in self._open_connections:
                still_open = {
                    key: other for key, other in self._open_connections.items() if other.connection.state is State.OPEN
                }
                self._open_connections = {**still_open, address: opened}
            else:
                self._close_in_background(opened.connection)
        return painted

    async def _request_page(self, address: str, spec: SessionSpec) -> httpx2.Response:
        answer = await self._request_headers("HEAD", address, spec)
        # KasmVNC answers HEAD with 404, other servers with 400, 405 or 501.
        is_refused = answer.status_code >= 400 and answer.status_code != 401
        return await self._request_headers("GET", address, spec) if is_refused else answer

    async def _request_headers(self, method: str, address: str, spec: SessionSpec) -> httpx2.Response:
        """Return the answer without its body, which may be endless."""
        url = f"{spec.protocol}://{address}{spec.page_path}{spec.ready_path}"
        async with self._http.stream(method, url, headers=_authorization(spec)) as answer:
            return answer

    async def _open(self, address: str, spec: SessionSpec) -> _OpenScreen:
        secure = spec.protocol == "https"
        try:
            connection = await _Connection(
                f"{'wss' if secure else 'ws'}://{address}/websockify",
                ssl=self._tls if secure else None,
                subprotocols=[Subprotocol("binary")],
                additional_headers=_authorization(spec),
                compression=None,
                proxy=None,
                ping_interval=None,
                open_timeout=None,
                max_size=1 << 20,
                close_timeout=0.2,
            )
        except InvalidStatus as error:
            raise RfbError(f"the X server is not ready ({error.response.status_code})") from error
        screen = Screen(connection.send, lambda: _receive_bytes(connection))
        try:
            await screen.open()
        except BaseException:
            self._close_in_background(connection)
            raise
        return _OpenScreen(spec.credential, connection, screen)

    def _close_in_background(self, connection: ClientConnection) -> None:
        """Close the connection in the background, because a hand-over may wait for the result of the probe."""
        close_task = asyncio.create_task(connection.close())
        self._close_tasks.add(close_task)
        close_task.add_done_callback(self._close_tasks.discard)


@dataclass(frozen=True, slots=True)
class _OpenScreen:
    """The screen of a page that accepted this credential."""

    credential: str
    connection: ClientConnection
    screen: Screen


class _Connection(connect):
    """A websocket that follows no redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error, also for a redirect, so that the library does not connect to another address."""
        return exc


HTTPS_HINT = " over http; set the workspace's Protocol to https if it serves https"
UPGRADE_REQUIRED = 426
"""The HTTP status with which a websocket address answers a request without an upgrade."""


def _page_problem(answer: httpx2.Response) -> str | None:
    """Return the reason why the page cannot be used, as a sentence; None if it can be used."""
    if answer.status_code == 401:
        return "The session's page refused the session's credential."
    if answer.status_code < 400 or answer.status_code == UPGRADE_REQUIRED:
        return None
    is_plain = answer.status_code == 400 and answer.url.scheme == "http"
    return f"The session's page answered {answer.status_code}{HTTPS_HINT if is_plain else ''}."


def _no_answer_reason(error: Exception, spec: SessionSpec) -> str:
    """Return the reason why there was no HTTP answer, as a sentence. A frequent reason is a wrong protocol of the
    workspace."""
    if spec.protocol == "https" and "WRONG_VERSION_NUMBER" in str(error):
        return (
            f"Port {spec.port} of the container does not serve https; set the workspace's Protocol to http if it serves"
            " http."
        )
    return f"The session's page does not answer on port {spec.port} ({spec.protocol}): {_reason(error)}."


def _authorization(spec: SessionSpec) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{spec.auth_user}:{spec.credential}".encode()).decode()}


def _reason(error: Exception) -> str:
    """Return the message of the operating system if it caused the error. Otherwise, return the beginning of the error's
    text, which may quote a whole web page, or the type of an error without a text.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error)[:MAX_REASON_CHARACTERS].rstrip(".") or type(error).__name__


async def _receive_bytes(connection: ClientConnection) -> bytes:
    message = await connection.recv()
    return message if isinstance(message, bytes) else b""
