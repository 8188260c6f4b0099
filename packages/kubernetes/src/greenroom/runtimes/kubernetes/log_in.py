"""The log-in program of a kubeconfig (`exec`): it is run for a token if there is none, or if the server refuses it.

An error of the program is reported as one sentence, and a program that hangs is killed. All errors may be temporary:
the program may be installed, or a person may log in with it, while the Agent runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from typing import Any, Final

import httpx2
import msgspec
from lightkube.config.models import UserExec

from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes.errors import MAX_REASON, UNAUTHORIZED

GROUP: Final = "client.authentication.k8s.io"
VERSIONS: Final = frozenset(f"{GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
ANSWERS_WITHIN_S: Final = 30.0


class LogInProgram(httpx2.Auth):
    """Authenticates requests with the token of this program; concurrent requests share one run."""

    def __init__(self, program: UserExec) -> None:
        self._program = program
        self._named = f"The log-in program {program.command} of the kubeconfig"
        self._token = ""
        self._asking = asyncio.Lock()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if used := self._token:
            request.headers["Authorization"] = f"Bearer {used}"
            response = yield request
            if response.status_code != UNAUTHORIZED:
                return
        request.headers["Authorization"] = f"Bearer {await self._other_than(used)}"
        yield request

    async def _other_than(self, refused: str) -> str:
        """Return a token other than the refused one.

        Raises RuntimeUnavailable: the program returns no token in time.
        """
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S), self._asking:
                if self._token == refused:
                    self._token = self._token_in(await self._answer())
                return self._token
        except TimeoutError as error:
            raise RuntimeUnavailable(f"{self._named} did not answer within {ANSWERS_WITHIN_S:g} s.") from error

    async def _answer(self) -> bytes:
        info: dict[str, Any] = {"apiVersion": self._program.apiVersion, "kind": "ExecCredential"}
        info["spec"] = {"interactive": False}
        given = {one.name: one.value for one in self._program.env or []}
        environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        command = [self._program.command, *(self._program.args or [])]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            raise RuntimeUnavailable(f"{self._named} cannot be run: {error.strerror or error}.") from error
        try:
            answer, complaint = await process.communicate()
        finally:
            await _end(process)
        if process.returncode:
            why = " ".join(complaint.decode(errors="replace").split())[-MAX_REASON:].rstrip(".")
            raise RuntimeUnavailable(f"{self._named} failed: {why or f'exit code {process.returncode}'}.")
        return answer

    def _token_in(self, answer: bytes) -> str:
        try:
            given = msgspec.json.decode(answer, type=_Credential).status or _Status()
        except msgspec.DecodeError as error:
            raise RuntimeUnavailable(f"{self._named} did not answer with an ExecCredential: {error}.") from error
        if token := (given.token or "").strip():
            if is_token(token):
                return token
            raise RuntimeUnavailable(f"{self._named} returned a token with invalid characters.")
        if given.clientCertificateData:
            raise RuntimeUnavailable(
                f"{self._named} returns a client certificate, which is not supported; configure a token, or use a"
                " user that has a token."
            )
        raise RuntimeUnavailable(f"{self._named} returned no token.")


def is_token(text: str) -> bool:
    """Return True if the text can be sent as a token. Otherwise the error of the HTTP client would contain it."""
    return text.isascii() and text.isprintable() and " " not in text


async def _end(process: Process) -> None:
    """Kill the program and its child processes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class _Status(msgspec.Struct):
    token: str | None = None
    clientCertificateData: str | None = None  # noqa: N815 -- the name in JSON


class _Credential(msgspec.Struct):
    status: _Status | None = None
