"""The providers `command` and `webhook`, which send requests as JSON to a program or to an address.

A request is {"action": "list" | "create" | "end", …}. The answer is {"machines": […]}, {"ref": "…"} or {}. The answer
after an error is {"error": "a sentence", "retry_after_s": 30}.

`webhook` sends the secret `token` as `Authorization: Bearer`, and other secrets in the JSON. It follows no redirect,
because a redirect would send the secrets to another host. Its addresses have the same rules as webhooks of events.

`command` runs the program once for each request, with the rights of the Manager: the request is on stdin, and the
answer on stdout. Therefore the program must be in a folder of the setting `GREENROOM_MACHINE_COMMANDS`, which the API
cannot change. The environment is fixed, because variables such as BASH_ENV and LD_PRELOAD run code. Secrets are only in
the JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import stat
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import httpx2
import msgspec

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import is_usable_ref, provider_text
from greenroom.kit.outgoing import TooLongError, pinned_request, read_content, webhook_address
from greenroom.machine_providers.builtin import TOKEN_SECRET, WEBHOOK
from greenroom.machine_providers.contract import JoinData, NewMachine, ProviderError, ProviderMachine

MAX_ANSWER_BYTES: Final = 4_000_000
MAX_MACHINES: Final = 10_000


class _ListedMachine(msgspec.Struct, frozen=True):
    ref: str
    name: str


class ProviderAnswer(msgspec.Struct, frozen=True):
    """The answer to a request. Unknown fields are ignored."""

    machines: list[_ListedMachine] | None = None
    ref: str | None = None
    error: str | None = None
    retry_after_s: float = 0.0


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """The request for an action."""

    action: Literal["list", "create", "end"]
    options: Mapping[str, Any]
    secrets: Mapping[str, str]
    prefix: str | None = None
    name: str | None = None
    ref: str | None = None
    cores: float | None = None
    memory: int | None = None
    user_data: str | None = None
    join: JoinData | None = None

    @property
    def secret_texts(self) -> list[str]:
        """The values that no error message may contain."""
        return [*self.secrets.values(), *([self.join.token] if self.join else [])]


def create_request(machine: NewMachine, options: Mapping[str, Any], secrets: Mapping[str, str]) -> Request:
    """Return the request for a new machine."""
    return Request(
        action="create",
        options=options,
        secrets=secrets,
        name=machine.name,
        cores=machine.cores,
        memory=machine.memory,
        user_data=machine.user_data,
        join=machine.join,
    )


def parse_answer(content: bytes, source: str, secret_texts: Collection[str]) -> ProviderAnswer:
    """Return the answer in `content`. `source` is the address or the program, for messages. `secret_texts` are removed
    from messages. Raises ProviderError: the answer cannot be read, or contains an error."""
    try:
        answer = msgspec.json.decode(content or b"{}", type=ProviderAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderError(f"The answer of {source} cannot be read: {provider_text(str(error))}.") from error
    if answer.error is not None:
        reason = provider_text(answer.error, secret_texts).rstrip(".") or "no reason was given"
        raise ProviderError(f"{source} refused: {reason}.", retry_after_s=answer.retry_after_s, refused=True)
    return answer


def listed_machines(answer: ProviderAnswer, source: str) -> list[ProviderMachine]:
    """Return the machines in an answer. Raises ProviderError: there is no list, or the list is too long."""
    if answer.machines is None:
        raise ProviderError(f"The answer of {source} has no list of machines.")
    if len(answer.machines) > MAX_MACHINES:
        raise ProviderError(
            f"{source} returned more than {MAX_MACHINES} machines; it must return only those of this machine pool."
        )
    return [ProviderMachine(machine.ref, machine.name) for machine in answer.machines]


def created_ref(answer: ProviderAnswer, source: str) -> str:
    """Return the provider's id of the new machine. Raises ProviderError: the answer has no usable id, although the
    machine may exist."""
    if answer.ref is None or not is_usable_ref(answer.ref):
        raise ProviderError(f"{source} returned no reference (ref) of the new machine.")
    return answer.ref


CONNECT_TIMEOUT_S: Final = 10.0


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class WebhookProvider:
    """Sends requests to `options["url"]`. `trusted_hosts` are the hosts of the setting `webhook_hosts`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        secrets: Mapping[str, str],
        timeout_s: float,
        trusted_hosts: Sequence[AllowedHost] = (),
    ) -> None:
        self._url = str(options.get("url", ""))
        self._options = options
        self._all_secrets = secrets
        self._secrets = {name: secret for name, secret in secrets.items() if name != TOKEN_SECRET}
        self._timeout = httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._trusted_hosts = trusted_hosts

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        return listed_machines(await self._post(self._request(action="list", prefix=prefix)), self._url)

    async def create(self, machine: NewMachine) -> str:
        return created_ref(await self._post(create_request(machine, self._options, self._secrets)), self._url)

    async def end(self, ref: str, name: str) -> None:
        await self._post(self._request(action="end", ref=ref, name=name))

    def _request(self, **fields: Any) -> Request:
        return Request(options=self._options, secrets=self._secrets, **fields)

    async def _post(self, request: Request) -> ProviderAnswer:
        secret_texts = [*self._all_secrets.values(), *request.secret_texts]
        headers = {"Content-Type": "application/json"}
        if problem := WEBHOOK.secrets_problem(self._all_secrets):
            raise ProviderError(problem, refused=True)
        if token := self._all_secrets.get(TOKEN_SECRET):
            headers["Authorization"] = f"Bearer {token}"
        try:
            address = await webhook_address(self._url, self._trusted_hosts)
            async with httpx2.AsyncClient(trust_env=False, timeout=self._timeout, verify=_tls()) as client:
                body = msgspec.json.encode(request)
                answer = await client.send(
                    pinned_request(client, "POST", httpx2.URL(self._url), address, headers=headers, content=body),
                    stream=True,
                )
                try:
                    content = await read_content(answer, MAX_ANSWER_BYTES)
                finally:
                    await answer.aclose()
        except Invalid as error:
            raise ProviderError(error.message, refused=True) from error
        except TooLongError as error:
            raise ProviderError(f"{self._url} answered more than {MAX_ANSWER_BYTES // 1_000_000} MB.") from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            reason = provider_text(str(error), secret_texts) or type(error).__name__
            raise ProviderError(f"{self._url} cannot be reached: {reason}.", refused=True) from error
        except httpx2.HTTPError as error:
            reason = provider_text(str(error), secret_texts) or type(error).__name__
            raise ProviderError(f"{self._url} did not send a valid answer: {reason}.") from error
        if answer.is_success:
            return parse_answer(content, self._url, secret_texts)
        text = provider_text(content.decode(errors="replace"), secret_texts).rstrip(".")
        raise ProviderError(
            f"{self._url} answered {answer.status_code}{': ' + text if text else ''}.",
            retry_after_s=_retry_after_s(answer.headers.get("retry-after", "")),
            refused=answer.is_client_error or answer.is_redirect,
        )


def _retry_after_s(text: str) -> float:
    """Return the seconds that the header `Retry-After` requests, as a number or as a date; 0 = none."""
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


PROGRAM_ENV: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
MAX_STDERR_BYTES: Final = 20_000
END_TIMEOUT_S: Final = 5.0
"""The maximum wait for the end of a killed program, which may hang in an access to a disk."""


class CommandProvider:
    """Runs `options["program"]`, which must be in one of `folders`."""

    def __init__(self, options: Mapping[str, Any], secrets: Mapping[str, str], folders: Sequence[Path]) -> None:
        self._options = options
        self._secrets = secrets
        self._folders = folders
        self._program = str(options.get("program", ""))

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        request = Request(action="list", options=self._options, secrets=self._secrets, prefix=prefix)
        return listed_machines(await self._run(request), self._program)

    async def create(self, machine: NewMachine) -> str:
        return created_ref(await self._run(create_request(machine, self._options, self._secrets)), self._program)

    async def end(self, ref: str, name: str) -> None:
        await self._run(Request(action="end", options=self._options, secrets=self._secrets, ref=ref, name=name))

    async def _run(self, request: Request) -> Any:
        program = allowed_program(self._program, self._folders)
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(65536, loop), program, env=PROGRAM_ENV, cwd="/", start_new_session=True
            )
        except OSError as error:
            raise ProviderError(f"{program} cannot be run: {error.strerror}.", refused=True) from error
        process = asyncio.subprocess.Process(transport, protocol, loop)
        try:
            output, stderr_output = await _exchange(process, msgspec.json.encode(request))
        finally:
            await _kill(process, transport)
        if process.returncode != 0:
            last_line = stderr_output.decode(errors="replace").strip().rpartition("\n")[2]
            reason = provider_text(last_line, request.secret_texts).rstrip(".") or "it wrote no error message"
            raise ProviderError(f"{program} failed with status {process.returncode}: {reason}.")
        if len(output) > MAX_ANSWER_BYTES:
            raise ProviderError(f"{program} answered more than {MAX_ANSWER_BYTES // 1_000_000} MB.")
        return parse_answer(output, program, request.secret_texts)


async def _exchange(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """Send the request to the program. Return the first bytes of its output and of its error output."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise AssertionError("the streams of the program are not pipes")

    async def send_request() -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the program may ignore the request
            stdin.write(request)
            await stdin.drain()
        stdin.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(send_request())
        output_task = group.create_task(_read_limited(stdout, MAX_ANSWER_BYTES + 1))
        stderr_task = group.create_task(_read_limited(stderr, MAX_STDERR_BYTES))
        group.create_task(process.wait())
    return output_task.result(), stderr_task.result()


async def _kill(process: asyncio.subprocess.Process, transport: asyncio.SubprocessTransport) -> None:
    """Kill the program and the processes of its group. Close the streams, because processes that left the group may
    keep them open, and asyncio reports the end of the program only after the streams are closed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for descriptor in range(3):
        if pipe := transport.get_pipe_transport(descriptor):
            pipe.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()


async def _read_limited(stream: asyncio.StreamReader, max_bytes: int) -> bytes:
    """Return the first `max_bytes` bytes of the stream. Further bytes are read and dropped."""
    data = bytearray()
    while part := await stream.read(65536):
        data += part[: max_bytes - len(data)]
    return bytes(data)


def allowed_program(program: str, folders: Sequence[Path]) -> str:
    """Return the real path of the program. Raises ProviderError: the Manager may not run it, with the reason."""
    if not folders:
        raise ProviderError(
            "This Manager runs no programs of machine pools: its setting GREENROOM_MACHINE_COMMANDS is empty.",
            refused=True,
        )
    path = Path(program)
    try:
        real_path = path.resolve(strict=True)
        status = real_path.stat()
        allowed = [folder.resolve() for folder in folders]
        if not path.is_absolute() or real_path.parent not in allowed:
            listed = ", ".join(map(str, folders))
            raise ProviderError(f"{program} is not in a folder of GREENROOM_MACHINE_COMMANDS ({listed}).", refused=True)
        if not stat.S_ISREG(status.st_mode) or not os.access(real_path, os.X_OK):
            raise ProviderError(f"{program} is not a program that this Manager's account can execute.", refused=True)
        for checked_path, mode in ((program, status.st_mode), (str(real_path.parent), real_path.parent.stat().st_mode)):
            if mode & (stat.S_IWOTH | stat.S_IWGRP):
                raise ProviderError(
                    f"{checked_path} can be written by other accounts; remove their write permission.", refused=True
                )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        raise ProviderError(f"The program {provider_text(program)} cannot be found: {reason}.", refused=True) from error
    return str(real_path)
