"""Provider `webhook`: an address of the administrator's that takes the same JSON as a program does.

The secret `token` goes along as `Authorization: Bearer`, the others in the JSON. Redirects are not followed: they would
carry secrets elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import msgspec

from greenroom.core.fleet.machines.names import said
from greenroom.manager.machines.providers.contract import NewMachine, ProviderError, Shown
from greenroom.manager.machines.providers.exchange import (
    MAX_ANSWER_BYTES,
    Answer,
    Request,
    answer_of,
    created_ref,
    creation,
    shown,
)

CONNECT_S: Final = 10.0
TOKEN: Final = "token"  # noqa: S105 -- its name


class WebhookProvider:
    """Posts to `options["url"]`."""

    def __init__(self, options: Mapping[str, Any], secrets: Mapping[str, str], timeout_s: float) -> None:
        self._url = str(options.get("url", ""))
        self._options = options
        self._all_secrets = secrets
        self._secrets = {name: secret for name, secret in secrets.items() if name != TOKEN}
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_S)

    async def list(self, prefix: str) -> Sequence[Shown]:
        return shown(await self._ask(self._request(action="list", prefix=prefix)), self._url)

    async def create(self, machine: NewMachine) -> str:
        return created_ref(await self._ask(creation(machine, self._options, self._secrets)), self._url)

    async def end(self, ref: str, name: str) -> None:
        await self._ask(self._request(action="end", ref=ref, name=name))

    def _request(self, **fields: Any) -> Request:
        return Request(options=self._options, secrets=self._secrets, **fields)

    async def _ask(self, request: Request) -> Answer:
        headers = {"Content-Type": "application/json"}
        if token := self._all_secrets.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=self._timeout) as client,
                client.stream("POST", self._url, content=msgspec.json.encode(request), headers=headers) as answer,
            ):
                content = await _body(answer, self._url)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            why = said(str(error), self._all_secrets.values()) or type(error).__name__
            raise ProviderError(f"{self._url} cannot be reached: {why}.", refused=True) from error
        except httpx.HTTPError as error:
            why = said(str(error), self._all_secrets.values()) or type(error).__name__
            raise ProviderError(f"{self._url} did not answer as it should: {why}.") from error
        if answer.is_success:
            return answer_of(content, self._url, self._all_secrets)
        words = said(content.decode(errors="replace"), self._all_secrets.values()).rstrip(".")
        raise ProviderError(
            f"{self._url} answered {answer.status_code}{': ' + words if words else ''}.",
            retry_after_s=_retry_after_s(answer.headers.get("retry-after", "")),
            refused=answer.is_client_error or answer.is_redirect,
        )


async def _body(answer: httpx.Response, url: str) -> bytes:
    """Raises ProviderError: it is too long."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise ProviderError(f"{url} answered more than {MAX_ANSWER_BYTES // 1_000_000} MB.")
    return bytes(body)


def _retry_after_s(text: str) -> float:
    """The pause that an answer asks for, as seconds or as a date; 0 = none."""
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
