"""A small gateway for tests of only the session's page: a path prefix, the credential, and an enclosing page."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from greenroom.core.workspace.session_spec import SessionSpec

OWN_CODES = 4000
"""Close codes from here on are defined by the page."""
PREFIX = "/desktop/1a2b3c4d/some-session"
PARENT = """<!doctype html><html lang="en"><title>Parent</title><link rel="icon" href="data:,">
<style>body{margin:0}iframe{border:0;width:100vw;height:100vh}</style>
<iframe id="frame" title="session" src="%s" allow="clipboard-read; clipboard-write; microphone; autoplay"></iframe>
<script>
window.received = [];
const frame = document.getElementById('frame');
window.say = (message) => frame.contentWindow.postMessage({greenroom: 1, ...message}, new URL(frame.src).origin);
addEventListener('message', (event) => {
  window.received.push({...event.data, origin: event.origin});
  if (event.data.type === 'ready') window.say({type: 'hello'});
});
</script></html>"""


@dataclass
class SmallGateway:
    """Addresses, and switches: the `status` that every request gets while it is not None, the idle limit of the
    viewer of a new stream, the size limit of an upload, and the number of bytes after which an upload is cut, once,
    with the `status` from then on."""

    frame_url: str = ""
    session_url: str = ""
    """The container's page, for which a client needs `headers`: it bypasses this gateway and the page's scripts."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    parent_url: str = ""
    status: int | None = None
    idle_disconnect_s: float = 0.0
    max_upload_mb: int = 0
    cut_after_bytes: int | None = None
    before_cut: Callable[[], Awaitable[None]] | None = None
    """Awaited before an upload is cut: a cut loses data that the session has not read."""
    status_after_cut: int | None = None
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, streams stay open and carry nothing."""

    def body_of(self, request: web.Request) -> AsyncIterator[bytes] | None:
        return self.uploaded(request) if request.can_read_body else None

    async def uploaded(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body of a request, until it is cut."""
        async for data in request.content.iter_any():
            yield data
            if self.cut_after_bytes is not None:
                self.cut_after_bytes -= len(data)
                if self.cut_after_bytes <= 0:
                    if self.before_cut is not None:
                        await self.before_cut()
                    self.cut_after_bytes, self.status = None, self.status_after_cut
                    assert request.transport is not None
                    request.transport.abort()
                    raise ConnectionResetError

    async def cut(self) -> None:
        """Cut all streams, like a network."""
        for socket in list(self.sockets):
            await socket.close(code=1011)


async def given_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """The answer of the session's page, whole or as it arrives."""
    if answer.content_type != "text/event-stream":
        names = ("Content-Type", "Content-Security-Policy", "Content-Disposition")
        kept = {name: answer.headers[name] for name in names if name in answer.headers}
        return web.Response(status=answer.status, body=await answer.read(), headers=kept)
    browser = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await browser.prepare(request)
    async for data in answer.content.iter_any():
        await browser.write(data)
    return browser


@asynccontextmanager
async def small_gateway(address: str, spec: SessionSpec) -> AsyncIterator[SmallGateway]:
    """Serve the page at `address` under PREFIX, and a page of another origin around it."""
    gateway = SmallGateway()
    gateway.flows.set()
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    word = base64.b64encode(f"{spec.auth_user}:{spec.credential}".encode()).decode()
    headers = {"Authorization": f"Basic {word}"}
    gateway.session_url, gateway.headers = f"https://{address}/", headers

    async def forward(request: web.Request) -> web.StreamResponse:
        if gateway.status is not None:
            return web.Response(status=gateway.status)
        rest = request.match_info["rest"]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await stream(request, f"wss://{address}/{rest}")
        url = URL(f"https://{address}/{request.rel_url.raw_path_qs.removeprefix(PREFIX + '/')}", encoded=True)
        names = ("Content-Length", "Content-Range")
        sent = headers | {name: request.headers[name] for name in names if name in request.headers}
        sent["X-Greenroom-Max-Upload-Mb"] = str(gateway.max_upload_mb)
        async with client.request(request.method, url, headers=sent, data=gateway.body_of(request)) as answer:
            return await given_back(request, answer)

    async def stream(request: web.Request, url: str) -> web.WebSocketResponse:
        # A large frame that is compressed would be sent after the close of the stream.
        browser = web.WebSocketResponse(protocols=["binary"], max_msg_size=0, compress=False)
        sent = {**headers, "X-Greenroom-Idle-Disconnect-S": f"{gateway.idle_disconnect_s:g}"}
        async with client.ws_connect(url, headers=sent, protocols=["binary"], max_msg_size=0) as session:
            await browser.prepare(request)
            gateway.sockets.add(browser)
            ways = {
                asyncio.create_task(pump(session, browser, gateway.flows)),
                asyncio.create_task(pump(browser, session, gateway.flows)),
            }
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            gateway.sockets.discard(browser)
            if session.close_code is not None and session.close_code >= OWN_CODES:
                await browser.close(code=session.close_code)
        return browser

    async def parent(_request: web.Request) -> web.Response:
        return web.Response(text=PARENT % gateway.frame_url, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", PREFIX + "/{rest:.*}", forward)
    around = web.Application()
    around.router.add_get("/", parent)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as client:
        runners = [web.AppRunner(each, handler_cancellation=True) for each in (app, around)]
        ports: list[int] = []
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
        gateway.frame_url = f"http://127.0.0.1:{ports[0]}{PREFIX}/"
        gateway.parent_url = f"http://127.0.0.1:{ports[1]}/"
        yield gateway
        for runner in runners:
            await runner.cleanup()


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def pump(source: Socket, target: Socket, flows: asyncio.Event) -> None:
    async for message in source:
        await flows.wait()
        if message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
