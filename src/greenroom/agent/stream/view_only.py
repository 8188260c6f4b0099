"""Whether a session's page keeps those who may only watch from typing: it is asked before the first of them gets in.

Only the page of our own images says so, by the header that it is asked with. What a page does not say it does not do.
"""

from __future__ import annotations

import ssl
from typing import Final

import httpx

from greenroom.core.errors import Unavailable

HEADER: Final = "X-Greenroom-View-Only"
TIMEOUT_S: Final = 5.0


class ViewOnlyPages:
    """Asks pages, and remembers those that do."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # each container made its certificate itself, on this host's loopback
        context.verify_mode = ssl.CERT_NONE
        self._http = httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False)
        self._known: set[tuple[str, str]] = set()

    async def close(self) -> None:
        await self._http.aclose()

    async def keeps(self, url: str, authorization: str) -> bool:
        """Whether the page at `url` drops what watchers send.

        Raises:
            Unavailable: it does not answer.
        """
        if (url, authorization) in self._known:
            return True
        try:
            answer = await self._http.head(f"{url}/", headers={"Authorization": authorization, HEADER: "1"})
        except httpx.HTTPError as error:
            raise Unavailable(f"The desktop does not answer: {str(error) or type(error).__name__}") from error
        if answer.status_code != 200 or answer.headers.get(HEADER) != "1":
            return False
        self._known.add((url, authorization))
        return True
