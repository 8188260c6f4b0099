"""Messages between a web gateway and the api: the fleet as the gateway knows it, which changes while it runs
(`GET /api/internal/gateway`), and the requests for Managers that it answered (`/api/internal/manager-requests`).

The gateway sends `Authorization: Bearer <credential>`. `greenroom.gateway.site` decides how the answer becomes nginx's
configuration.
"""

from __future__ import annotations

from greenroom.wire.messages import VERSION, Message
from greenroom.wire.parts import Moment


class EdgeGateway(Message, frozen=True, kw_only=True):
    """The edge gateway beside an Agent: `route` names the Agent in addresses of streams, `url` is `https://host:port`.
    `direct`: browsers go there themselves (a zone without Proxy Connections and without a host in Proxy Hostname).
    """

    route: str
    url: str
    direct: bool = False


class DirectZone(Message, frozen=True, kw_only=True):
    """Proxy Hostname and Proxy Port of a zone without Proxy Connections."""

    hostname: str
    port: int


class Fleet(Message, frozen=True, kw_only=True):
    """Every Agent with an edge gateway, and where browsers reach streams without the web gateway. `authority` is the
    certificate (PEM) that the edge gateways' certificates are verified against; empty while there is none.
    """

    v: int = VERSION
    authority: str = ""
    edges: tuple[EdgeGateway, ...] = ()
    direct: tuple[DirectZone, ...] = ()


class ManagerRequest(Message, frozen=True, kw_only=True):
    """A request for a Manager that the gateway's nginx answered itself; `at` is seconds since the epoch."""

    at: Moment
    manager: str
    agent_id: str | None = None
    method: str
    path: str
    status: int
    duration_ms: float


class ManagerRequests(Message, frozen=True, kw_only=True):
    """The gateway's report to `/api/internal/manager-requests`; `dropped` did not fit."""

    v: int = VERSION
    requests: list[ManagerRequest]
    dropped: int = 0
