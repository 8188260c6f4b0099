"""A small server of pages and websockets for the stand-ins, with nothing but Python: it runs in their containers."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import urlsplit

Answer = tuple[int, str]
"""Status and body."""

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(http.server.BaseHTTPRequestHandler):
    """Asks for the account, if there is one, then `page`; who wants a websocket below `websockets` gets an echo."""

    protocol_version = "HTTP/1.1"
    account = ""
    answers_head = True
    websockets: tuple[str, ...] = ()
    page: Callable[[str, bytes], Answer]
    """(path, what was sent) → what is answered."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name it has there
        """Nothing: the log of a session is for its program."""

    def do_GET(self) -> None:
        if self._is_refused():
            return
        path = urlsplit(self.path).path
        if self.headers.get("Upgrade", "").lower() == "websocket" and path.startswith(self.websockets):
            self._echo()
            return
        length = int(self.headers.get("Content-Length", 0))
        self._answer(*type(self).page(self.path, self.rfile.read(length)))

    def do_POST(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        if not self._is_refused():
            self._answer(*(type(self).page(self.path, b"") if self.answers_head else (404, "404")))

    def _is_refused(self) -> bool:
        wanted = "Basic " + base64.b64encode(self.account.encode()).decode()
        if not self.account or self.headers.get("Authorization") == wanted:
            return False
        self._answer(401, "")
        return True

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body.encode())))
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Set-Cookie", "theirs=1; Path=/")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def _echo(self) -> None:
        """Say where it is, then repeat each message (of less than 126 bytes) until the other side leaves."""
        key = self.headers["Sec-WebSocket-Key"] + GUID
        digest = hashlib.sha1(key.encode(), usedforsecurity=False).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        if "binary" in self.headers.get("Sec-WebSocket-Protocol", ""):
            self.send_header("Sec-WebSocket-Protocol", "binary")
        self.end_headers()
        port = self.connection.getsockname()[1]
        self._send(json.dumps({"path": self.path, "port": port}).encode(), 1)
        while (message := received(self.rfile)) is not None:
            self._send(message, 2)
        self.close_connection = True

    def _send(self, data: bytes, kind: int) -> None:
        self.wfile.write(struct.pack("BB", 0x80 | kind, len(data)) + data)


def received(stream: BufferedIOBase) -> bytes | None:
    """The payload of a client's next frame; None when it closes."""
    head = stream.read(2)
    if len(head) < 2 or head[0] & 0xF == 8:
        return None
    mask = stream.read(4)
    return bytes(byte ^ mask[n % 4] for n, byte in enumerate(stream.read(head[1] & 0x7F)))


def serve(port: int, handler: type[Handler], certificate: str = "") -> threading.Thread:
    """Serve in the background, with TLS if there is a certificate (a file that also has the key)."""
    server = http.server.ThreadingHTTPServer(("", port), handler)
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return thread


def own_certificate(path: str) -> str:
    """A certificate that no authority signed, and its key, in a new file."""
    asked = ["openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=kasm", "-out", path, "-keyout", path]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    # with one file for both, the one that is written last would be all there is
    subprocess.run([*asked[:-1], f"{path}.key", *kind], check=True, capture_output=True)
    both = Path(path)
    both.write_text(both.read_text() + Path(f"{path}.key").read_text())
    return path
