"""What a web gateway knows of the fleet, which changes while it runs: `GET /api/internal/gateway`.

The gateway sends `Authorization: Bearer <credential>`. `greenroom.gateway.site` decides how the answer becomes nginx's
configuration.
"""

from __future__ import annotations

from greenroom.wire.messages import VERSION, Message


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
