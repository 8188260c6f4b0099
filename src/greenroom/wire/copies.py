"""How one Agent gets an image from another: it asks a Manager who may give it, and asks that Agent with a ticket.

POST /manager_api/v1/image-sources    of the Agent that lacks images: who has them, with a ticket for each
GET  https://<edge>/agent_image/<route>    at the edge gateway of the one that has it, with the ticket as bearer
POST /manager_api/v1/image-ticket     of that Agent, for every ticket: does it count, and for which image?
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from greenroom.wire.messages import VERSION, Message


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
