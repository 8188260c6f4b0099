"""Provider `webhook`: an address of the administrator that accepts the same JSON as a program.

The secret `token` is sent as `Authorization: Bearer`, the others in the JSON. Redirects are not followed: they would
carry secrets to other hosts. The rules for its addresses are those of webhooks of events.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final

import httpx
import msgspec

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import provider_text
from greenroom.kit.outgoing import TooLongError, pinned, read_content, webhook_address
from greenroom.machine_providers.builtin import TOKEN, WEBHOOK
from greenroom.machine_providers.contract import NewMachine, ProviderError, ProviderMachine
from greenroom.machine_providers.exchange import (
    MAX_ANSWER_BYTES,
    ProviderAnswer,
    Request,
    answer_of,
    created_ref,
    creation,
    machines_of,
)

CONNECT_S: Final = 10.0


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class WebhookProvider:
    """Posts to `options["url"]`; `trusted` are the hosts of the setting `webhook_hosts`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        secrets: Mapping[str, str],
        timeout_s: float,
        trusted: Sequence[AllowedHost] = (),
    ) -> None:
        self._url = str(options.get("url", ""))
        self._options = options
        self._all_secrets = secrets
        self._secrets = {name: secret for name, secret in secrets.items() if name != TOKEN}
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_S)
        self._trusted = trusted

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        return machines_of(await self._post(self._request(action="list", prefix=prefix)), self._url)

    async def create(self, machine: NewMachine) -> str:
        return created_ref(await self._post(creation(machine, self._options, self._secrets)), self._url)

    async def end(self, ref: str, name: str) -> None:
        await self._post(self._request(action="end", ref=ref, name=name))

    def _request(self, **fields: Any) -> Request:
        return Request(options=self._options, secrets=self._secrets, **fields)

    async def _post(self, request: Request) -> ProviderAnswer:
        hidden = [*self._all_secrets.values(), *request.hidden]
        headers = {"Content-Type": "application/json"}
        if problem := WEBHOOK.secrets_problem(self._all_secrets):
            raise ProviderError(problem, refused=True)
        if token := self._all_secrets.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        try:
            address = await webhook_address(self._url, self._trusted)
            async with httpx.AsyncClient(trust_env=False, timeout=self._timeout, verify=_tls()) as client:
                body = msgspec.json.encode(request)
                answer = await client.send(
                    pinned(client, "POST", httpx.URL(self._url), address, headers=headers, content=body), stream=True
                )
                try:
                    content = await read_content(answer, MAX_ANSWER_BYTES)
                finally:
                    await answer.aclose()
        except Invalid as error:
            raise ProviderError(error.message, refused=True) from error
        except TooLongError as error:
            raise ProviderError(f"{self._url} answered more than {MAX_ANSWER_BYTES // 1_000_000} MB.") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            reason = provider_text(str(error), hidden) or type(error).__name__
            raise ProviderError(f"{self._url} cannot be reached: {reason}.", refused=True) from error
        except httpx.HTTPError as error:
            reason = provider_text(str(error), hidden) or type(error).__name__
            raise ProviderError(f"{self._url} did not send a valid answer: {reason}.") from error
        if answer.is_success:
            return answer_of(content, self._url, hidden)
        text = provider_text(content.decode(errors="replace"), hidden).rstrip(".")
        raise ProviderError(
            f"{self._url} answered {answer.status_code}{': ' + text if text else ''}.",
            retry_after_s=_retry_after_s(answer.headers.get("retry-after", "")),
            refused=answer.is_client_error or answer.is_redirect,
        )


def _retry_after_s(text: str) -> float:
    """Return the pause that a response requests, as seconds or as a date; 0 = none."""
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
