"""Sends one request to a webhook: to an allowed address, without redirects, with limits of time and size."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Final, Self

import httpx2

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.webhooks import DeliveryAttempt
from greenroom.db.diagnostics.batches import storable
from greenroom.kit.outgoing import pinned_request, read_beginning, webhook_address

TIMEOUT_S: Final = 10.0
"""The time limit of an attempt. It is shorter than `db.webhooks.RETAKE_AFTER_S`, so no other process takes the same
delivery during an attempt.
"""
MAX_ANSWER_BYTES: Final = 1000


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class Sender:
    """Posts messages to one webhook, over connections that stay open until the sender is closed.

    `trusted` are the hosts of the setting `webhook_hosts`.
    """

    def __init__(self, trusted: Sequence[AllowedHost]) -> None:
        self._trusted = trusted
        self._http = httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT_S, verify=_tls(), follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> DeliveryAttempt:
        begin_s = time.perf_counter()

        def failed(error: str) -> DeliveryAttempt:
            return DeliveryAttempt(error=storable(error)[:MAX_ANSWER_BYTES], duration_ms=_since_ms(begin_s))

        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(url, headers, body, begin_s)
        except TimeoutError:
            return failed(f"there was no answer within {TIMEOUT_S:.0f} s")
        except Invalid as error:
            return failed(error.message.rstrip("."))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return failed(str(error) or type(error).__name__)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, begin_s: float) -> DeliveryAttempt:
        address = await webhook_address(url, self._trusted)
        request = pinned_request(self._http, "POST", httpx2.URL(url), address, headers=headers, content=body)
        answer = await self._http.send(request, stream=True)
        try:
            text = (await read_beginning(answer, MAX_ANSWER_BYTES)).decode(errors="replace")
        finally:
            await answer.aclose()
        return DeliveryAttempt(
            status=answer.status_code,
            answer=storable(text),
            duration_ms=_since_ms(begin_s),
            requested_pause_s=_retry_after_s(answer.headers.get("retry-after", "")),
        )


def _since_ms(begin_s: float) -> float:
    return round((time.perf_counter() - begin_s) * 1000, 1)


def _retry_after_s(text: str) -> float:
    return float(text[:9]) if text.isascii() and text.isdecimal() else 0.0
