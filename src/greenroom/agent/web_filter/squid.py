"""One Squid: the web filter of one policy on this host, with its configuration and its pages about refused requests.

Squid continues to run when the Agent ends, so that sessions stay connected while the Agent restarts. The next process
of the Agent finds Squid by its pid and start time. Squid runs with a separate account and without capabilities.
"""

from __future__ import annotations

import asyncio
import html
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.agent.web_filter.secret_files import FilterError, Owner, SecretFiles, require_tls
from greenroom.core.named_secrets import FilterSecret, quoted
from greenroom.core.web_filter import FILTER_PORT, PRIVATE_IPV4, PRIVATE_IPV6, FilterPolicy, levels, open_ports
from greenroom.kit.processes import is_listening, read_start_ticks, send_signal
from greenroom.kit.templates import load_templates

PAGES: Final = {
    "ERR_GREENROOM_LISTED": "It is in the deny list of the policy.",
    "ERR_GREENROOM_DEFAULT": "It is not in the allow list of the policy.",
    "ERR_GREENROOM_PRIVATE": "It leads to a private network or to the host, which no session may reach.",
    "ERR_GREENROOM_PORT": "The port or the kind of connection of this address is not allowed.",
}
"""Page → the reason of the refusal, for the user."""

_TEMPLATES: Final = load_templates("greenroom.agent.web_filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class SquidLocation:
    """The addresses, files and folders of one Squid. It listens only at `listen_addresses` and serves the `subnet` of
    its network. It may write into `folder`, and it writes its denials to `log`. `resolvers` are name servers; empty =
    those of its host."""

    listen_addresses: tuple[str, ...]
    subnet: str
    pages: str
    folder: str
    log: str
    resolvers: tuple[str, ...] = ()
    headers: str = ""
    """The file that adds headers; empty = Squid adds no headers and decrypts no connections."""
    certificate: str = ""
    """The file with the certificate for decrypted connections, and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """A secret in Squid's notation."""

    hosts: tuple[str, ...]
    """The host names for which the secret is added."""
    domains: tuple[str, ...]
    """Domains with a leading dot; the secret is added for all hosts of the domain."""
    header: str
    value: str


def headers(secrets: Sequence[FilterSecret]) -> str:
    """Return the text of the file that adds each secret to requests to its hosts (`core.named_secrets.applies_to`)."""
    header_lines = [
        _Header(
            hosts=tuple(host for host in secret.hosts if not host.startswith(".")),
            domains=tuple(host for host in secret.hosts if host.startswith(".")),
            header=secret.header,
            value=quoted(secret.value),
        )
        for secret in secrets
    ]
    return _TEMPLATES.get_template("secrets.conf.j2").render(secrets=header_lines)


def configuration(policy: FilterPolicy, location: SquidLocation) -> str:
    """Return the text of squid.conf."""
    return _TEMPLATES.get_template("squid.conf.j2").render(
        location=location,
        ports=open_ports(policy),
        private=(*PRIVATE_IPV4, *PRIVATE_IPV6),
        levels=levels(policy),
        allows_the_rest=policy.default_action == "allow",
    )


def pages(policy: FilterPolicy) -> dict[str, str]:
    """Return page → HTML of the pages about refused http addresses. Squid replaces `%H` with the host."""
    name = html.escape(policy.name).replace("%", "%%")
    template = _TEMPLATES.get_template("page.html.j2")
    return {page: template.render(reason=reason, policy=name) for page, reason in PAGES.items()}


log = structlog.get_logger(__name__)

ACCOUNT: Final = "greenroom-filter"
"""The system account of all filters. The firewall of the host recognizes their connections by this account."""

READY_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.02
END_TIMEOUT_S: Final = 3.0
ANSWER_TIMEOUT_S: Final = 3.0
ANSWER_TRIES: Final = 3
"""The number of requests without an answer after which Squid is started again. One is not enough: it is also without an
answer if the Agent itself was stopped for a time."""
_REQUEST: Final = b"HEAD / HTTP/1.0\r\n\r\n"
"""Names no host, so Squid answers it with 400. Such an answer is no denial."""

_SEARCH_PATH: Final = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_PASSED_VARIABLES: Final = ("PATH", "GREENROOM_INSTANCE_DATA", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""The environment variables of the Agent that Squid gets. SSL_CERT_FILE and SSL_CERT_DIR name the authorities that
Squid trusts when it connects to the hosts of secrets."""


class _Process(msgspec.Struct, frozen=True):
    """The process of Squid. `started` is its start time in clock ticks since the boot, because pids are reused."""

    pid: int
    started: int


class Squid:
    """The process and the files of one policy's Squid in `folder`, which is created. Squid may read `folder` and write
    into its subfolder `log`. `on_end` is called when the process ends, unless this object ended it."""

    def __init__(self, folder: Path, owner: Owner, on_end: Callable[[], None]) -> None:
        self._folder = folder
        self._owner = owner
        self._on_end = on_end
        self._running: _Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._ended = asyncio.Event()
        self.secret_files = SecretFiles(folder, owner)

    @property
    def denials(self) -> Path:
        return self._folder / "log" / "denials.log"

    @property
    def pid(self) -> int | None:
        return self._running.pid if self._running else None

    async def apply(
        self,
        policy: FilterPolicy,
        address: str,
        subnet: str,
        name_servers: tuple[str, ...],
        secrets: Sequence[FilterSecret] = (),
    ) -> None:
        """Apply this policy, with the secrets to add: start Squid, or make it reload a changed configuration. A Squid
        that does not answer is started again. Raises FilterError: Squid is not installed, or does not start; the error
        contains the message of Squid."""
        location = SquidLocation(
            listen_addresses=(f"{address}:{FILTER_PORT}",),
            subnet=subnet,
            pages="../pages",  # relative to the working folder, because Squid has no quotes for paths
            folder=".",
            log=self.denials.name,
            resolvers=name_servers,
            headers=str(self.secret_files.headers_file) if secrets else "",
            certificate=str(self.secret_files.certificate) if secrets else "",
        )
        if secrets:
            require_tls(_program())
        changed = self._write(policy, location, secrets)
        if self._running is None:
            self._adopt()
        if self._running is not None and not changed and not await answers(address, FILTER_PORT):
            log.warning("the web filter does not answer", policy=policy.name, pid=self._running.pid, address=address)
            await self._kill(self._running)
        if self._running is None:
            await self._start(policy, address)
        elif changed:
            send_signal(self._running.pid, signal.SIGHUP)
            log.info("the web filter reloads its policy", policy=policy.name, pid=self._running.pid)

    async def stop(self) -> None:
        """End Squid immediately, because it has no state, and remove its folder."""
        if self._running is None:
            self._adopt()
        if self._running is not None:
            await self._kill(self._running)
        self.secret_files.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop_watching(self) -> None:
        """Stop watching Squid, which continues to run."""
        self._unwatch()

    def reopen_log(self) -> None:
        """Make Squid open its log again, after the file was removed."""
        if self._running is not None:
            send_signal(self._running.pid, signal.SIGUSR1)

    # Files --------------------------------------------------------------------------------------------------------

    def _write(self, policy: FilterPolicy, location: SquidLocation, secrets: Sequence[FilterSecret]) -> bool:
        """Write the files that differ. Return True if a file was written. Squid may write only to `log`."""
        self._make_folder(self._folder, 0o750)
        self._make_folder(self._folder / "pages", 0o750)
        self._make_folder(self._folder / "log", 0o700, uid=self._owner.uid)
        texts = {f"pages/{name}": text for name, text in pages(policy).items()}
        texts["squid.conf"] = configuration(policy, location)
        secrets_differ = self.secret_files.write(secrets, headers(secrets))
        return sum(self._replace(self._folder / name, text) for name, text in texts.items()) > 0 or secrets_differ

    def _make_folder(self, folder: Path, mode: int, uid: int = 0) -> None:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        os.chown(folder, uid, self._owner.gid)
        folder.chmod(mode)

    def _replace(self, file: Path, text: str) -> bool:
        if file.exists() and file.read_text() == text:
            return False
        part = file.with_name(f".{file.name}.part")
        part.write_text(text)
        os.chown(part, 0, self._owner.gid)
        part.chmod(0o640)
        part.replace(file)
        return True

    # The process --------------------------------------------------------------------------------------------------

    async def _start(self, policy: FilterPolicy, address: str) -> None:
        errors = self._folder / "errors"
        child = self._child = self._spawn(errors)
        running = _Process(child.pid, read_start_ticks(child.pid) or 0)
        (self._folder / "process").write_bytes(msgspec.json.encode(running))
        self._watch(running)
        if not await self._wait_until_listening(running.pid, address):
            await self._kill(running)
            output_text = errors.read_text(errors="replace").strip()[-500:]
            raise FilterError(f"The web filter does not start on this host: {output_text or 'squid printed nothing'}")
        log.info("the web filter runs", policy=policy.name, pid=child.pid, address=address)

    def _spawn(self, errors: Path) -> subprocess.Popen[bytes]:
        program = _program()
        options = [f"--reuid={self._owner.uid}", f"--regid={self._owner.gid}", "--clear-groups", "--no-new-privs"]
        options += ["--inh-caps=-all", "--bounding-set=-all"]
        # Squid names its shared memory after its service (-n), so the name must differ from that of a Squid of another
        # account, such as a Squid that an administrator of this host runs.
        squid = [program, "-N", "-n", f"greenroom{self._owner.uid}", "-f", str(self._folder / "squid.conf")]
        with errors.open("wb") as output:
            return subprocess.Popen(
                ["setpriv", *options, "--", *squid],
                cwd=self.denials.parent,
                env={name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _wait_until_listening(self, pid: int, address: str) -> bool:
        """Wait until Squid listens at the address. A test connection would not prove this, because another process
        could listen there."""
        end = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < end and not self._ended.is_set():
            if is_listening(pid, address, FILTER_PORT):
                return True
            await asyncio.sleep(POLL_S)
        return False

    def _adopt(self) -> None:
        try:
            previous = msgspec.json.decode((self._folder / "process").read_bytes(), type=_Process)
        except (OSError, msgspec.MsgspecError):
            return
        if previous.started != 0 and read_start_ticks(previous.pid) == previous.started:
            self._watch(previous)
            log.info("adopted a running web filter", pid=previous.pid)

    def _watch(self, running: _Process) -> None:
        self._running = running
        self._ended.clear()
        try:
            self._pidfd = os.pidfd_open(running.pid)
        except ProcessLookupError:
            self._handle_end()
        else:
            asyncio.get_running_loop().add_reader(self._pidfd, self._handle_end)

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _handle_end(self) -> None:
        self._forget()
        self._ended.set()
        self._on_end()

    async def _kill(self, running: _Process) -> None:
        self._unwatch()
        await _kill(running)
        self._forget()

    def _forget(self) -> None:
        self._unwatch()
        self._running = None
        if self._child is not None:
            self._child.poll()


async def answers(address: str, port: int) -> bool:
    """Return True if the Squid at this address answers one of `ANSWER_TRIES` requests."""
    for _ in range(ANSWER_TRIES):
        end = time.monotonic() + ANSWER_TIMEOUT_S
        # A Squid that reloads its configuration does not listen for a moment, so a refused connection is repeated.
        while (rest_s := end - time.monotonic()) > 0:
            if await _has_answered(address, port, rest_s):
                return True
            await asyncio.sleep(POLL_S)
    return False


async def _has_answered(address: str, port: int, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(address, port)
            with closing(writer):
                writer.write(_REQUEST)
                return await reader.readline() != b""
    except OSError:  # also TimeoutError
        return False


def _program() -> str:
    """Return the path of Squid. Raises FilterError: Squid is not installed."""
    if (program := shutil.which("squid", path=_SEARCH_PATH)) is None:
        raise FilterError(
            "The session requires the web filter, but squid is not installed on this host; run"
            " `sudo greenroom host setup`, which installs squid-openssl."
        )
    return program


async def _kill(running: _Process) -> None:
    """Kill a process and wait for its end. Raises FilterError: it does not end within `END_TIMEOUT_S`."""
    end = time.monotonic() + END_TIMEOUT_S
    while read_start_ticks(running.pid) == running.started:
        send_signal(running.pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise FilterError(f"The web filter (pid {running.pid}) does not end.")
        await asyncio.sleep(POLL_S)
