"""Messages about the fleet: between a web gateway and the api, and how one Agent gets an image from another.

The gateway sends `Authorization: Bearer <credential>`. `greenroom.gateway.site` decides how the answer becomes nginx's
configuration.

POST /manager_api/v1/image-sources    of the Agent that lacks images: who has them, with a ticket for each
GET  https://<edge>/agent_image/<route>    at the edge gateway of the one that has it, with the ticket as bearer
POST /manager_api/v1/image-ticket     of that Agent, for every ticket: does it count, and for which image?
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

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


class MissingImages(Message, frozen=True, kw_only=True):
    """An Agent lacks these images."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    names: tuple[str, ...]


class ImageSource(Message, frozen=True, kw_only=True):
    """An Agent that may be asked for an image: `url` is that of its edge gateway. What it gives has to be the image
    with the id `digest`; `size_bytes` is about what comes."""

    hostname: str
    route: str
    url: str
    digest: str
    size_bytes: int
    ticket: str


class ImageSources(Message, frozen=True, kw_only=True):
    """Name of an image → who has it, the best one first. `authority` is the certificate (PEM) that the edge gateways'
    certificates are verified against."""

    v: int = VERSION
    authority: str = ""
    sources: Mapping[str, tuple[ImageSource, ...]] = msgspec.field(default_factory=dict[str, tuple[ImageSource, ...]])


class TicketShown(Message, frozen=True, kw_only=True):
    """An Agent was shown a ticket."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    ticket: str


class TicketCounts(Message, frozen=True, kw_only=True):
    """It counts, now and for this image; `hostname` is where it goes."""

    v: int = VERSION
    name: str
    digest: str
    hostname: str


class Ticket(Message, frozen=True, kw_only=True):
    """What a ticket says, which only Managers can read: `giver` may give `taker` this image (ids of Agents)."""

    giver: str
    taker: str
    name: str
    digest: str
