"""An internet of one machine, for tests of what sessions reach: a network namespace with web servers and a name server.

Its addresses are from the range for benchmarks (198.18.0.0/15), which no rule of ours counts as private. Names ending
in `.test` lead to the machine, which shows at `/headers` what it was sent; `private.test` and all below it to an
address of a private network, `me.test` to this host's own address on the way there; the name server remembers what it
was asked.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from greenroom.kit.certificates import key_to_pem, new_authority, new_key

SERVER = r"""
import http.server, socket, socketserver, ssl, struct, sys, threading
address, host_address, certificate, asked = sys.argv[1:]

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        headers = str(self.headers) if self.path == "/headers" else ""
        body = f"hello from {self.headers['Host']} {self.path}\n{headers}".encode()
        self.send_response(403 if self.path == "/forbidden" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

def serve(port, secure=False):
    server = http.server.ThreadingHTTPServer((address, port), Page)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

for port in (25, 80, 8080):
    serve(port)
serve(443, secure=True)

names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind((address, 53))
print("ready", flush=True)
while True:
    question, client = names.recvfrom(4096)
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += question[at] + 1
    kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
    name = ".".join(labels).lower()
    with open(asked, "a") as file:
        file.write(name + "\n")
    answer = address
    if name == "private.test" or name.endswith(".private.test"):
        answer = "10.11.12.13"
    elif name == "me.test":
        answer = host_address
    found = kind == 1 and name.endswith(".test")
    flags = 0x8180 if name.endswith(".test") else 0x8183
    reply = question[:2] + struct.pack(">HHHHH", flags, 1, int(found), 0, 0) + question[12 : at + 5]
    if found:
        reply += struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(answer)
    names.sendto(reply, client)
"""


CERTIFIED = ("api.open.test", "*.below.test")
"""The names in the servers' certificate."""


@dataclass(frozen=True)
class SmallInternet:
    """`address` is the machine with the servers, `host` this host's address on the way there."""

    address: str
    host: str
    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate of who signed that of the servers."""
        return self.folder / "authority.pem"

    @property
    def asked(self) -> list[str]:
        """The names that were asked for, oldest first."""
        file = self.folder / "asked"
        return file.read_text().split() if file.exists() else []


@contextmanager
def small_internet() -> Iterator[SmallInternet]:
    """Make it, and take it away."""
    unused = [number for number in range(1, 250) if not Path(f"/run/netns/gr-net-{number}").exists()]
    number = random.choice(unused)  # noqa: S311 -- separates runs at the same time
    prefix, name = f"198.18.{number}", f"gr-net-{number}"
    inside, outside = f"gri{number}", f"gro{number}"
    with tempfile.TemporaryDirectory(prefix="gr-net-") as folder:
        internet = SmallInternet(f"{prefix}.2", f"{prefix}.1", Path(folder))
        certificate = internet.folder / "certificate.pem"
        authority, key = new_authority("test", datetime.now(UTC)), new_key()
        internet.authority.write_text(authority.certificate)
        certificate.write_text(key_to_pem(key) + authority.sign(key.public_key(), CERTIFIED, 2, datetime.now(UTC)))
        _run("ip", "netns", "add", name)
        server: subprocess.Popen[str] | None = None
        try:
            _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
            _run("ip", "address", "add", f"{prefix}.1/24", "dev", outside)
            _run("ip", "link", "set", outside, "up")
            for line in (f"address add {prefix}.2/24 dev {inside}", f"link set {inside} up", "link set lo up"):
                _run("ip", "-n", name, *line.split())
            _run("ip", "-n", name, "route", "add", "default", "via", f"{prefix}.1")
            arguments = [internet.address, internet.host, str(certificate), str(internet.folder / "asked")]
            server = subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, "-c", SERVER, *arguments],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield internet
        finally:
            if server is not None:
                server.kill()
                server.wait()
                if server.stdout is not None:
                    server.stdout.close()
            _run("ip", "netns", "delete", name)
            _gone(outside)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _gone(interface: str) -> None:
    """The kernel takes the interfaces of a namespace away in its own time."""
    for _ in range(100):
        if not Path(f"/sys/class/net/{interface}").exists():
            return
        time.sleep(0.05)
