"""Requests to an LDAP directory, through the program `ldapsearch` of OpenLDAP (package `ldap-utils`).

No maintained Python library for LDAP can be installed without a compiler, and the programs of OpenLDAP receive the
security updates of the distribution. A program gets the password through a pipe, has an empty environment, reads no
configuration, follows no references to other servers, and is killed after its time. Its output is limited.

The servers of a directory are tried in their order, and the server that answered last is tried first. If a directory
fails repeatedly, it is skipped for `SKIP_S`, so that a directory that hangs does not delay the users of the others.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from select import PIPE_BUF
from tempfile import NamedTemporaryFile
from typing import Final, Literal

from greenroom.core.text import one_line
from greenroom.identity.directory.ldif import DirectoryEntry, LdifInvalid, parse_entries

PROGRAM: Final = "ldapsearch"
PACKAGE: Final = "ldap-utils"
SYSTEM_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
TIMEOUT_S: Final = 5.0
"""The maximum time of a log-in at a directory, for all its requests."""
MAX_ANSWER_BYTES: Final = 16 << 20
MAX_PROGRAMS: Final = 4
"""Maximum number of programs that run for one directory at the same time in this process."""
MAX_WAITING: Final = 500
"""Maximum number of requests to one directory that wait for a program."""
MAX_FAILURES: Final = 3
"""The number of failures in a row after which a directory is skipped."""
SKIP_S: Final = 30.0

Tls = Literal["ldaps", "starttls", "none"]
Scope = Literal["base", "sub"]
Step = Literal["program", "connection", "tls", "bind", "base", "filter", "answer"]

_SUCCESS: Final = 0
_SIZE_LIMIT: Final = 4
_BUSY: Final = frozenset({51, 52})
"""The results of a server that cannot answer at present: busy, unavailable."""
_BASE_ERRORS: Final = frozenset({10, 32, 34})
"""The results of a search whose base is no entry of this server: referral, no such object, not a DN."""
_BAD_FILTER: Final = 249
_FIRST_LOCAL: Final = 128
"""The first result code of errors of the program itself, such as 255: the server cannot be reached."""


class DirectoryFailed(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """A directory does not answer, or its answer cannot be used. The message is the cause, as a sentence. `step` is the
    step that failed."""

    def __init__(self, step: Step, message: str) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True, slots=True)
class DirectoryTarget:
    """The servers of a directory and the account of Greenroom there. `servers` are addresses such as
    `ldaps://ldap.example.org`. `ca_pem` empty = the certificates of the system. `bind_dn` empty = anonymous."""

    title: str
    servers: tuple[str, ...]
    tls: Tls
    ca_pem: str
    bind_dn: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """A search. `size_limit` 0 = all entries, in pages."""

    base: str
    filter: str
    attributes: tuple[str, ...]
    scope: Scope = "sub"
    size_limit: int = 0


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The entries of a search. `is_complete` False = the size limit was reached."""

    entries: list[DirectoryEntry]
    is_complete: bool


ROOT: Final = Query("", "(objectClass=*)", ("1.1",), scope="base")
"""The search that every server answers, to see whether a bind succeeds."""


@dataclass(slots=True)
class DirectoryHealth:
    """The state of a directory in this process."""

    log_skip: Callable[[str], object]
    """Logs the sentence that a directory is skipped."""
    programs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PROGRAMS))
    waiting: int = 0
    failures: int = 0
    skipped_until_s: float = 0.0
    """Monotonic time."""
    last_server: str = ""

    def check(self, title: str) -> None:
        """Raises DirectoryFailed: the directory failed repeatedly and is skipped, or too many requests wait."""
        if time.monotonic() < self.skipped_until_s:
            raise DirectoryFailed("connection", f"{title} failed repeatedly and is skipped for up to {SKIP_S:g} s.")
        if self.waiting >= MAX_WAITING:
            raise DirectoryFailed("connection", f"{MAX_WAITING} requests to {title} have no answer yet.")

    def succeeded(self) -> None:
        self.failures = 0

    def failed(self, title: str, reason: str) -> None:
        """Count a failure; after `MAX_FAILURES` in a row, the directory is skipped."""
        self.failures += 1
        if self.failures >= MAX_FAILURES and time.monotonic() >= self.skipped_until_s:
            self.skipped_until_s = time.monotonic() + SKIP_S
            self.log_skip(f"{title} failed {self.failures} times in a row and is skipped for {SKIP_S:g} s: {reason}")


@dataclass(frozen=True, slots=True)
class _Account:
    """The account of a request; `dn` empty = anonymous."""

    dn: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Result:
    code: int
    output: bytes
    error: str
    """The lines of the program's error output, as one line."""


class DirectoryClient:
    """Sends requests to one directory until `deadline_s`, a monotonic time."""

    def __init__(self, target: DirectoryTarget, health: DirectoryHealth, *, deadline_s: float | None = None) -> None:
        self._target = target
        self._health = health
        self._deadline_s = time.monotonic() + TIMEOUT_S if deadline_s is None else deadline_s

    async def search(self, query: Query) -> SearchAnswer:
        """Search as the account of Greenroom. Raises DirectoryFailed: no server answers, or its answer is an error."""
        result = await self._run(query, _Account(self._target.bind_dn, self._target.password))
        if result.code not in (_SUCCESS, _SIZE_LIMIT):
            raise self._failure(result, query)
        try:
            return SearchAnswer(parse_entries(result.output), result.code == _SUCCESS)
        except LdifInvalid as error:
            raise DirectoryFailed(
                "answer", f"{self._target.title} sent an answer that cannot be used: {error}"
            ) from error

    async def confirms(self, dn: str, password: str) -> str | None:
        """Check a password by a bind as `dn`. Return None if the directory accepts the password, else its reason.
        An empty password is never sent, because a directory accepts it without a check (RFC 4513, 5.1.2). Raises
        DirectoryFailed: no server answers.
        """
        if not password or not dn or "\0" in dn:
            return "The password is empty."
        if len(password.encode()) > PIPE_BUF:
            return f"The password has more than {PIPE_BUF} bytes."
        result = await self._run(ROOT, _Account(dn, password))
        if result.code == _SUCCESS:
            return None
        if result.error.startswith("ldap_bind"):
            return result.error
        raise self._failure(result, ROOT)

    async def _run(self, query: Query, account: _Account) -> _Result:
        """Return the result of the first server that answers."""
        title, health = self._target.title, self._health
        health.check(title)
        health.waiting += 1
        try:
            async with asyncio.timeout_at(self._loop_deadline()), health.programs:
                health.check(title)
                result = await self._first_result(query, account)
        except TimeoutError as error:
            health.failed(title, "time limit")
            raise DirectoryFailed("connection", f"{title} did not answer in time.") from error
        except DirectoryFailed as error:
            if error.step in ("connection", "tls"):
                health.failed(title, str(error))
            raise
        finally:
            health.waiting -= 1
        health.succeeded()
        return result

    def _loop_deadline(self) -> float:
        return asyncio.get_running_loop().time() + max(self._deadline_s - time.monotonic(), 0.0)

    async def _first_result(self, query: Query, account: _Account) -> _Result:
        servers = sorted(self._target.servers, key=lambda server: server != self._health.last_server)
        failure: DirectoryFailed | None = None
        for number, server in enumerate(servers):
            share_s = max(self._deadline_s - time.monotonic(), 0.1) / (len(servers) - number)
            try:
                async with asyncio.timeout(share_s):
                    result = await _run_program(self._target, server, query, account, share_s)
            except TimeoutError as error:
                failure = DirectoryFailed("connection", f"{server} did not answer within {share_s:.1f} s.")
                failure.__cause__ = error
                continue
            if (failure := _connection_failure(server, result, self._target.tls)) is None:
                self._health.last_server = server
                return result
        raise failure or DirectoryFailed("connection", f"{self._target.title} has no server.")

    def _failure(self, result: _Result, query: Query) -> DirectoryFailed:
        title, reason = self._target.title, result.error or f"code {result.code}"
        if result.error.startswith("ldap_bind"):
            return DirectoryFailed("bind", f"{title} refuses {self._target.bind_dn or 'anonymous requests'}: {reason}")
        if result.code in _BASE_ERRORS:
            return DirectoryFailed("base", f"{title} has no entry {query.base}: {reason}")
        if result.code == _BAD_FILTER:
            return DirectoryFailed("filter", f"{title} cannot use the filter {query.filter}: {reason}")
        return DirectoryFailed("answer", f"{title} could not complete the search: {reason}")


def _connection_failure(server: str, result: _Result, tls: Tls) -> DirectoryFailed | None:
    """Return the failure to reach a server; None if the server answered the request."""
    if result.error.startswith("ldap_start_tls"):
        return DirectoryFailed("tls", f"{server} starts no TLS connection that can be trusted: {result.error}")
    if result.code in _BUSY:
        return DirectoryFailed("connection", f"{server} cannot answer at present: {result.error}")
    if result.code < _FIRST_LOCAL or result.code == _BAD_FILTER:
        return None
    step: Step = "tls" if tls == "ldaps" and "certificate" in result.error.lower() else "connection"
    return DirectoryFailed(step, f"{server} cannot be reached, or its certificate is not valid: {result.error}")


def program_path() -> str:
    """Return the path of `ldapsearch`. Raises DirectoryFailed: it is not installed."""
    path = shutil.which(PROGRAM, path=PATH)
    if path is None:
        raise DirectoryFailed("program", f"The program {PROGRAM} is missing; install the package {PACKAGE}.")
    return path


async def _run_program(
    target: DirectoryTarget, server: str, query: Query, account: _Account, limit_s: float
) -> _Result:
    """Run `ldapsearch` once. If this coroutine is canceled, the program is killed."""
    seconds = max(round(limit_s), 1)
    arguments = [
        *("-LLL", "-x", "-o", "ldif-wrap=no", "-o", f"nettimeout={seconds}", "-l", str(seconds), "-z"),
        *(str(query.size_limit), "-o", "referrals=off", "-o", "tls_reqcert=demand", "-o", "tls_protocol_min=3.3"),
        *("-H", server, "-b", query.base, "-s", query.scope),
    ]
    if target.tls == "starttls":
        arguments.append("-ZZ")
    if account.dn:
        arguments += ["-D", account.dn]
    if query.size_limit == 0 and query.scope == "sub":
        arguments += ["-E", "pr=500/noprompt"]
    async with AsyncExitStack() as stack:
        if target.tls != "none":
            arguments += ["-o", f"tls_cacert={stack.enter_context(_ca_file(target.ca_pem))}"]
        pipe = stack.enter_context(_password_pipe(account.password)) if account.dn else None
        if pipe is not None:
            arguments += ["-y", f"/dev/fd/{pipe}"]
        process = await asyncio.create_subprocess_exec(
            program_path(),
            *arguments,
            "--",  # otherwise a filter or an attribute that begins with - is an option, which can read and write files
            query.filter,
            *query.attributes,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=() if pipe is None else (pipe,),
            cwd="/",
            env={"LDAPNOINIT": "1", "LC_ALL": "C.UTF-8"},
        )
        stack.push_async_callback(_end, process)
        return await _communicate(process)


@contextmanager
def _ca_file(ca_pem: str) -> Generator[Path]:
    """Yield the file with the certificates that are trusted. Certificates are public, so a file may contain them."""
    if not ca_pem:
        yield SYSTEM_CERTIFICATES
        return
    with NamedTemporaryFile("w", prefix="greenroom-ca-", suffix=".pem") as file:
        file.write(ca_pem)
        file.flush()
        yield Path(file.name)


@contextmanager
def _password_pipe(password: str) -> Generator[int]:
    """Yield a pipe from which the program reads the password. The standard input of a program is a socket with uvloop,
    and a program cannot open a socket as a file. Raises DirectoryFailed: the password does not fit into a pipe."""
    secret = password.encode()
    if len(secret) > PIPE_BUF:
        raise DirectoryFailed("bind", f"The password has more than {PIPE_BUF} bytes.")
    reading, writing = os.pipe()
    try:
        os.write(writing, secret)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


async def _communicate(process: Process) -> _Result:
    if not process.stdout or not process.stderr:
        raise AssertionError("both are pipes")
    output, error = await asyncio.gather(_read(process.stdout, MAX_ANSWER_BYTES), _read(process.stderr, 64 << 10))
    code = await process.wait()
    lines = (line.strip() for line in error.decode("utf-8", "replace").splitlines())
    return _Result(code, output, one_line("; ".join(filter(None, lines)))[:500])


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(1 << 16):
        size += len(part)
        if size > limit:
            raise DirectoryFailed("answer", f"The answer of the directory has more than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
