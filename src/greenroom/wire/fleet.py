"""Messages about the fleet: between a web gateway and the api, and for the transfer of images between Agents.

The gateway sends `Authorization: Bearer <credential>`. `greenroom.gateway.plan_builder` creates the configuration of
nginx from the answer (`Fleet`). The requests for an image:

POST /manager_api/v1/image-sources        by an Agent that lacks images; returns the Agents that have them, with tickets
GET  https://<edge>/agent_image/<route>   by this Agent, to the edge gateway of a source, with the ticket as bearer
POST /manager_api/v1/image-ticket         by the source, for each ticket; returns the image for which it is valid
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from greenroom.wire.fields import Moment
from greenroom.wire.messages import VERSION, Message


class EdgeGateway(Message, frozen=True, kw_only=True):
    """The edge gateway on the host of an Agent. `route` names the Agent in addresses of streams; `url` is
    `https://host:port`. `direct` is True if browsers connect to it directly (in a zone without Proxy Connections and
    without a host in Proxy Hostname)."""

    route: str
    url: str
    direct: bool = False


class DirectZone(Message, frozen=True, kw_only=True):
    """The Proxy Hostname and the Proxy Port of a zone without Proxy Connections."""

    hostname: str
    port: int


class Fleet(Message, frozen=True, kw_only=True):
    """All Agents with an edge gateway (`edges`), and the zones whose streams browsers reach without the web gateway
    (`direct`). `authority` is the certificate (PEM) with which the certificates of the edge gateways are verified;
    empty if there is none yet."""

    v: int = VERSION
    authority: str = ""
    edges: tuple[EdgeGateway, ...] = ()
    direct: tuple[DirectZone, ...] = ()


class ManagerRequest(Message, frozen=True, kw_only=True):
    """A request to a Manager that nginx answered itself, because the Manager did not answer. `at` is in seconds since
    the epoch."""

    at: Moment
    manager: str
    agent_id: str | None = None
    method: str
    path: str
    status: int
    duration_ms: float


class ManagerRequests(Message, frozen=True, kw_only=True):
    """The report of the gateway to `/api/internal/manager-requests`. `dropped` is the number of requests that the
    gateway dropped because its queue was full. `warnings` are sentences about its certificates."""

    v: int = VERSION
    requests: list[ManagerRequest]
    dropped: int = 0
    warnings: tuple[str, ...] = ()


class MissingImages(Message, frozen=True, kw_only=True):
    """The images that an Agent lacks."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    names: tuple[str, ...]


class ImageSource(Message, frozen=True, kw_only=True):
    """An Agent from which an image may be requested. `url` is the address of its edge gateway. The received image must
    have the id `digest`; `size_bytes` is its approximate size."""

    hostname: str
    route: str
    url: str
    digest: str
    size_bytes: int
    ticket: str


class ImageSources(Message, frozen=True, kw_only=True):
    """The sources of each image by its name, the best source first. `authority` is the certificate (PEM) with which the
    certificates of the edge gateways are verified."""

    v: int = VERSION
    authority: str = ""
    sources: Mapping[str, tuple[ImageSource, ...]] = msgspec.field(default_factory=dict[str, tuple[ImageSource, ...]])


class TicketCheck(Message, frozen=True, kw_only=True):
    """A ticket that an Agent received with a request for an image."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    ticket: str


class TicketResult(Message, frozen=True, kw_only=True):
    """The answer for a valid ticket: the image for which it is valid now. `hostname` is the host name of the receiving
    Agent."""

    v: int = VERSION
    name: str
    digest: str
    hostname: str


class Ticket(Message, frozen=True, kw_only=True):
    """The content of a ticket, which only Managers can read: the Agent with the id `giver` may send this image to the
    Agent with the id `taker`."""

    giver: str
    taker: str
    name: str
    digest: str
