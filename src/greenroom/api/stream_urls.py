"""Where the stream of a session is, for somebody who came to a host of the deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from greenroom.core.origins import stream_origin
from greenroom.core.streams import ProxyFacts
from greenroom.kit.config import ApiConfig


@dataclass(frozen=True, slots=True)
class StreamUrls:
    """Addresses of streams as seen by one request.

    Args:
        config: public addresses of the deployment.
        request_host: `host[:port]` of the request, which is one that is served.
    """

    config: ApiConfig
    request_host: str

    def of(self, proxy: ProxyFacts, agent_id: str | None, session_id: str) -> str | None:
        """The stream's address, with a slash at its end; None while the session has no Agent.

        Through the web gateway that is its stream origin, without Proxy Connections the zone's Proxy Hostname and Port.
        """
        if agent_id is None:
            return None
        origin = proxy.direct_origin(self.request_host) or stream_origin(
            self.config.stream_url, self.config.public_url, self.request_host
        )
        return f"{origin}{proxy.path_of(agent_id, session_id)}/"

    def host_and_port(self, proxy: ProxyFacts) -> tuple[str | None, int]:
        """Where programs find the stream's path: the deployment itself, or without Proxy Connections the zone's own."""
        url = urlsplit(proxy.direct_origin(self.request_host) or self.config.public_url)
        return url.hostname, url.port or 443


async def _stream_urls(request: Request) -> StreamUrls:
    return StreamUrls(request.app.state.config, request.headers.get("host", ""))


Streams = Annotated[StreamUrls, Depends(_stream_urls)]
