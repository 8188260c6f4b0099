"""The log-in program of a kubeconfig (`exec`). It runs when there is no token or the server refuses the token.

An error of the program is reported as one sentence, and a program that hangs is killed. No error is permanent: an
administrator may install the program, or log in with it, while the Agent runs.
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
from greenroom.runtimes.kubernetes.errors import MAX_REASON_CHARACTERS, UNAUTHORIZED

API_GROUP: Final = "client.authentication.k8s.io"
API_VERSIONS: Final = frozenset(f"{API_GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
ANSWER_TIMEOUT_S: Final = 30.0


class LogInProgram(httpx2.Auth):
    """Authenticates requests with the token that the program returns. Concurrent requests share one run of it."""

    def __init__(self, program: UserExec) -> None:
        self._program = program
        self._subject = f"The log-in program {program.command} of the kubeconfig"
        self._token = ""
        self._run_lock = asyncio.Lock()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if token := self._token:
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != UNAUTHORIZED:
                return
        request.headers["Authorization"] = f"Bearer {await self._token_after_refusal(token)}"
        yield request

    async def _token_after_refusal(self, refused: str) -> str:
        """Return the current token. If it is the refused one, run the program first.

        Raises:
            RuntimeUnavailable: the program returns no token in time.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S), self._run_lock:
                if self._token == refused:
                    self._token = self._parse_token(await self._run_program())
                return self._token
        except TimeoutError as error:
            raise RuntimeUnavailable(f"{self._subject} did not answer within {ANSWER_TIMEOUT_S:g} s.") from error

    async def _run_program(self) -> bytes:
        info: dict[str, Any] = {"apiVersion": self._program.apiVersion, "kind": "ExecCredential"}
        info["spec"] = {"interactive": False}
        variables = {variable.name: variable.value for variable in self._program.env or []}
        environment = {**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        command = [self._program.command, *(self._program.args or [])]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            raise RuntimeUnavailable(f"{self._subject} cannot be run: {error.strerror or error}.") from error
        try:
            answer, error_output = await process.communicate()
        finally:
            await _kill(process)
        if process.returncode:
            reason = " ".join(error_output.decode(errors="replace").split())[-MAX_REASON_CHARACTERS:].rstrip(".")
            raise RuntimeUnavailable(f"{self._subject} failed: {reason or f'exit code {process.returncode}'}.")
        return answer

    def _parse_token(self, answer: bytes) -> str:
        try:
            status = msgspec.json.decode(answer, type=_Credential).status or _Status()
        except msgspec.DecodeError as error:
            raise RuntimeUnavailable(f"{self._subject} did not answer with an ExecCredential: {error}.") from error
        if token := (status.token or "").strip():
            if is_token(token):
                return token
            raise RuntimeUnavailable(f"{self._subject} returned a token with invalid characters.")
        if status.clientCertificateData:
            raise RuntimeUnavailable(
                f"{self._subject} returns a client certificate, which is not supported; configure a token, or use a"
                " user that has a token."
            )
        raise RuntimeUnavailable(f"{self._subject} returned no token.")


def is_token(text: str) -> bool:
    """Return True if the text can be sent as a token. The error of the HTTP client would contain an invalid token."""
    return text.isascii() and text.isprintable() and " " not in text


async def _kill(process: Process) -> None:
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
