"""One nginx: its configuration (`templates/`), its start on inherited sockets, its log lines, and earlier processes.

nginx makes two decisions for each request, without a reload: whether a Manager is draining (a file test, for which
`open_file_cache` must be off), and whether a stream is allowed (`auth_request` to the Agent). The forwarded path is
always a part of `$request_uri`, the raw text of the request. A part of the decoded path could contain line breaks, with
which a client could add headers.

nginx inherits the open sockets in its environment variable `NGINX="3;4;"`. If its master ends, all ports stay open and
no waiting connection is lost, because the next master gets the same sockets, even while an old worker runs. All sockets
have SO_REUSEPORT, so that a new gateway process can listen while the nginx of a killed gateway process still listens.
All sockets are non-blocking, which nginx does not set on inherited sockets. If two workers woke up for one connection,
the second would block in `accept` on a blocking socket, with all its connections, until another client connected.

The nginx processes of one gateway are identified by their working folder. After kill -9 of nginx's master, its workers
continue to serve; after kill -9 of the gateway process, the master and its workers continue. When a new nginx serves,
these processes get QUIT: they stop listening, and exit when all desktops are closed.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import IO, Final

import structlog

from greenroom.core.errors import SetupError, TooLarge
from greenroom.core.fleet.addresses import LOCAL_HOSTS, edge_name, not_served_text, origin_host
from greenroom.core.recording.session_video import MAX_REQUEST_BYTES
from greenroom.core.session.streams import LEASE_TOKEN, RESERVED_PATHS, VIEWER_COOKIE
from greenroom.gateway.plan import GatewayPlan, addresses, allowed_in_policies, ipv6_ports_in_policies, port_of
from greenroom.kit.processes import ProcessInfo, is_running, processes, read_working_folder
from greenroom.kit.program import version
from greenroom.kit.templates import load_templates

STATUS_PATH: Final = "/gateway_status"
"""The path of the counters of nginx on the main listener. Only 127.0.0.1 and ::1 can read them."""

REQUESTS_SOCKET: Final = "requests.sock"
WAITING_SOCKET: Final = "api.sock"
"""The socket on which the gateway process receives nginx's log of requests that nginx answered instead of a Manager."""

TEMPORARY_FOLDER: Final = "tmp"
"""The folder for request and response bodies that nginx stores on disk."""

DRAINING_RETRY_S: Final = 30
"""`Retry-After` of a draining Manager (docs/reference/managers.md)."""

COMPRESSED_LISTS: Final = (
    "agents",
    "audit",
    "groups",
    "images",
    "launches",
    "logs",
    "managers",
    "me/images",
    "series",
    "stage-map",
    "today",
    "users",
)
"""The lists of `/api/v1` that nginx compresses. They contain no secret, no token and no address of a stream."""

PAGE_RELOAD_S: Final = 5
"""The reload interval of the page about an unavailable service."""

PAGE_IDLE: Final = "5m"
"""The time without data after which nginx closes the connection to a page; the viewer gets an error."""

OWN_HEADERS: Final = ("Upstream", "Authorization", "Reason", "User", "Zone")
"""The X-Greenroom-… headers that only roles of Greenroom may set."""

# Informs the console of a refusal (docs/reference/session-page.md). Otherwise the console would reload the page.
# The message is sent to any parent, because it contains no secret, and `frame-ancestors` limits the parents.
_NOTIFY_SCRIPT: Final = (
    "if(parent!==window)parent.postMessage"
    '({greenroom:1,type:"state",state:"refused",reason:document.querySelector("main").dataset.reason},"*")'
)

MOST_NAMES: Final = 10
"""The maximum number of served names on the page about a name that is not served."""

NAMES_CHARACTERS: Final = 400
"""The maximum number of their characters: nginx accepts no text of more than 4096 bytes in its configuration."""

COPY_RATE: Final = "40m"
"""The bytes per second for an image that another Agent copies: a third of a network of 1 Gbit/s."""


def _quoted(path: str) -> str:
    """Return a path in quotes. `parse_plan` refuses paths with double quotes, dollar signs and backslashes."""
    return f'"{path}"'


def _first_names(hosts: list[str]) -> list[str]:
    """Return as many host names as the page about a name that is not served can list."""
    lengths = accumulate(len(host) for host in hosts[:MOST_NAMES])
    return [host for host, length in zip(hosts, lengths, strict=False) if length <= NAMES_CHARACTERS]


_TEMPLATES: Final = load_templates("greenroom.gateway")
_PAGE_STYLE: Final = "".join(_TEMPLATES.get_template("page_style.css.j2").render().splitlines())


def _hash_of(text: str) -> str:
    """Return the hash of an inline script or style for a Content-Security-Policy."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def nginx_conf(plan: GatewayPlan, folder: str, *, max_files: int = 8192, workers: int = 0, connections: int = 0) -> str:
    """Return the whole configuration for a plan that `parse_plan` accepted. `folder` is the absolute path of nginx's
    prefix. `max_files` and `connections` (0 = as many as files) are limits per worker; the websocket of a desktop takes
    two files and two connections. `workers`: 0 = one for each core."""
    further_hosts = [host for host in plan.served_hosts if host not in (*LOCAL_HOSTS, origin_host(plan.public_url))]
    return _TEMPLATES.get_template("nginx.conf.j2").render(
        plan=plan,
        addresses=addresses,
        allowed_in_policies=allowed_in_policies,
        ipv6_ports_in_policies=ipv6_ports_in_policies,
        quoted=_quoted,
        folder=folder,
        max_files=max_files,
        workers=workers or "auto",
        connections=min(connections or max_files, max_files),
        # $host is one of served_hosts here: all other hosts reach the default server
        stream_origin=plan.stream_url or f"https://$host:{port_of(plan.stream_listen)}",
        misdirected=not_served_text(plan.origin),
        listed_hosts=_first_names(plan.served_hosts),
        further_hosts=further_hosts if further_hosts == _first_names(further_hosts) else None,
        status_path=STATUS_PATH,
        requests_socket=REQUESTS_SOCKET,
        waiting_socket=WAITING_SOCKET,
        temporary=TEMPORARY_FOLDER,
        too_large=TooLarge().message,
        draining_retry_s=DRAINING_RETRY_S,
        max_video_request_bytes=MAX_REQUEST_BYTES,
        compressed_lists=COMPRESSED_LISTS,
        retry_s=PAGE_RELOAD_S,
        page_idle=PAGE_IDLE,
        edge_name=edge_name,
        copy_rate=COPY_RATE,
        own_headers=OWN_HEADERS,
        reserved_paths=sorted(RESERVED_PATHS),
        viewer_cookie=VIEWER_COOKIE,
        lease_token=LEASE_TOKEN,
        notify=_NOTIFY_SCRIPT,
        notify_hash=_hash_of(_NOTIFY_SCRIPT),
        page_style=_PAGE_STYLE,
        page_style_hash=_hash_of(_PAGE_STYLE),
        version=version(),
    )


BACKLOG = 511


class Listeners:
    """The open listening sockets by address (host:port with a literal IP address)."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def ensure(self, addresses: Iterable[str], *, shares_ports: bool) -> bool:
        """Open the missing sockets of `addresses` and close all others. Return True if a socket was opened or closed.

        With `shares_ports`, the nginx of an earlier gateway process may still listen on the addresses. Otherwise an
        address in use is refused. Raises SetupError: this process cannot listen on an address; nothing was changed.
        """
        required = set(addresses)
        opened: dict[str, socket.socket] = {}
        try:
            for address in sorted(required - self._sockets.keys()):
                opened[address] = _listen(address, shared=shares_ports)
        except SetupError:
            for listener in opened.values():
                listener.close()
            raise
        closed = self._sockets.keys() - required
        for address in closed:
            self._sockets.pop(address).close()
        self._sockets |= opened
        return bool(opened or closed)

    @property
    def descriptors(self) -> list[int]:
        """The file descriptors of the open sockets. nginx inherits them with the same numbers."""
        return [listener.fileno() for listener in self._sockets.values()]

    @property
    def environment(self) -> dict[str, str]:
        return {"NGINX": "".join(f"{number};" for number in self.descriptors), "PATH": os.defpath}

    def close(self) -> None:
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()


def _listen(address: str, *, shared: bool) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not shared:  # raises OSError if any process listens here, even with SO_REUSEPORT
            _bind(family, host, int(port), reuse_port=False).close()
        listening = _bind(family, host, int(port), reuse_port=True)
    except OSError as error:
        other = "address" if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) else "port"
        raise SetupError(
            f"The gateway cannot listen on {address}: {error.strerror}; choose another {other}."
        ) from error
    listening.listen(BACKLOG)
    return listening


def _bind(family: socket.AddressFamily, host: str, port: int, *, reuse_port: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


log = structlog.get_logger(__name__)

PROGRAM: Final = "/usr/sbin/nginx"
START_TIMEOUT_S: Final = 10.0

_TOKEN_PATTERN: Final = re.compile(r"(token=)[^&\s\"]+|(/lease/)[^/\s\"]+")
_INFO_LEVEL_PATTERN: Final = re.compile(r"\[(notice|warn)\]")


def install_configuration(folder: Path, text: str) -> None:
    """Write `text` to `folder/nginx.conf` if nginx accepts it. A running nginx is not affected. Raises SetupError:
    nginx is not installed, or refuses the configuration (the error contains its message), or the file cannot be
    written."""
    candidate = folder / "nginx.conf.new"
    try:
        (folder / "tmp").mkdir(mode=0o700, exist_ok=True)
        candidate.write_text(text)
        candidate.chmod(0o600)
        refusal = _configuration_error(folder, candidate)
        if refusal is None:
            candidate.replace(folder / "nginx.conf")
    except OSError as error:
        raise SetupError(f"nginx's configuration in {folder} cannot be written and checked: {error}.") from error
    if refusal is not None:
        raise SetupError(f"nginx refuses its configuration: {refusal}")


def _configuration_error(folder: Path, candidate: Path) -> str | None:
    """Return nginx's error about a configuration; None = nginx accepts it. Raises SetupError: nginx is not
    installed."""
    try:
        done = subprocess.run(
            [*_command(folder, candidate, "nginx-test.pid"), "-t", "-q"],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
        )
    except FileNotFoundError as error:
        raise SetupError(
            f"{PROGRAM} is missing; run `sudo greenroom host setup`, which installs nginx-light."
        ) from error
    (folder / "nginx-test.pid").unlink(missing_ok=True)
    return None if done.returncode == 0 else " ".join(redacted(done.stderr).split())


class Nginx:
    """A master process of nginx with its workers. It serves `folder/nginx.conf` with the content at its start. `folder`
    is its prefix and working folder. `number` distinguishes the pid files of two masters that run at the same time."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._pid_file = folder / f"nginx-{number}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the master; -1 before `start`."""
        return self._process.pid if self._process else -1

    async def start(self, listeners: Listeners) -> bool:
        """Start the master and wait until it serves. Return False if it ended or `START_TIMEOUT_S` is over."""
        try:
            self._pid_file.unlink(missing_ok=True)
            self._process = subprocess.Popen(  # noqa: ASYNC220 -- it does not block; asyncio would collect ended orphans
                _command(self._folder, self._folder / "nginx.conf", self._pid_file.name),
                cwd=self._folder,
                env=listeners.environment,
                pass_fds=listeners.descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            log.error("no process can be started for nginx", reason=str(error))
            return False
        if self._process.stderr:
            threading.Thread(target=_log_lines, args=(self._process.stderr,), daemon=True).start()
        for _ in range(int(START_TIMEOUT_S / 0.02)):
            if self._is_serving():
                return True
            if not is_running(self.pid):
                return False
            await asyncio.sleep(0.02)
        self._process.kill()
        return False

    def _is_serving(self) -> bool:
        """Return True if nginx serves its sockets: it then writes its pid file."""
        return self._pid_file.exists() and self._pid_file.read_text().strip() == str(self.pid)


def _command(folder: Path, configuration: Path, pid_file: str) -> list[str]:
    return [PROGRAM, "-p", str(folder), "-c", str(configuration), "-e", "stderr", "-g", f'pid "{folder / pid_file}";']


def redacted(line: str) -> str:
    """Return a log line of nginx without the tokens of viewers and leases."""
    return _TOKEN_PATTERN.sub(r"\1\2***", line)


def _log_lines(stream: IO[bytes]) -> None:
    with stream:
        for raw in stream:
            line = redacted(raw.decode("utf-8", "replace").rstrip())
            (log.info if _INFO_LEVEL_PATTERN.search(line) else log.warning)("nginx", line=line)


def nginx_processes(folder: Path) -> list[ProcessInfo]:
    """Return all running nginx processes whose working folder is `folder`, even if their parent has ended."""
    return [
        process for process in processes() if process.name == "nginx" and read_working_folder(process.pid) == folder
    ]


def superseded(found: list[ProcessInfo], master: int | None) -> list[int]:
    """Return the pids of the processes in `found` that must end when `master` serves: all except `master`, its workers,
    and the workers of another master in `found`. The other master ends its workers, and would restart workers that end
    before it."""
    pids = {process.pid for process in found}
    others = [process for process in found if master not in (process.pid, process.parent)]
    return [process.pid for process in others if process.parent not in pids]
