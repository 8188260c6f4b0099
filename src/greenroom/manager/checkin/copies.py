"""The Agents from which an image can be copied, and the validity of tickets for it.

A ticket names the two Agents and the image; only Managers can create and read it. It is valid for some minutes, and
only while it could still be created: it becomes invalid when an Agent is disabled or the image is not wanted any more.
"""

from __future__ import annotations

from typing import Final

import msgspec

from greenroom.core.catalogue.ways import Holder, sources
from greenroom.core.errors import Invalid, Refused
from greenroom.core.log_codes import LogCode
from greenroom.db.fleet.enrolment import read_authority
from greenroom.db.fleet.views import read_holders, read_hostname
from greenroom.manager.checkin.enrolment import known_agent
from greenroom.manager.status import ManagerContext
from greenroom.wire.fleet import ImageSource, ImageSources, MissingImages, Ticket, TicketCounts, TicketShown

TICKET_S: Final = 300
MAX_NAMES: Final = 200
MAX_TICKET_CHARACTERS: Final = 2048


class ImageCopies:
    """The Agents' two routes for images of other Agents; one per process, after registration of the Manager."""

    def __init__(self, shared: ManagerContext) -> None:
        self._db, self._me = shared.agents_db, shared.me
        self._secrets, self._logs = shared.secrets, shared.logs

    async def sources(self, message: MissingImages, credential: str) -> ImageSources:
        """The Agents that have the images that this Agent lacks, with a ticket for each.

        Raises:
            Unauthenticated, IdentityConflict: the caller is not that Agent.
            Invalid: the request is for more images than any Agent holds.
            Unavailable: the database cannot be reached.
        """
        agent = await known_agent(self._db, self._me, message.agent_id, message.incarnation, credential)
        if len(message.names) > MAX_NAMES:
            raise Invalid(f"The message requests more than {MAX_NAMES} images.")
        holders = await read_holders(self._db, agent.agent_id, message.names)
        authority = await read_authority(self._db) if holders else None
        if authority is None:
            return ImageSources()
        found = {
            name: tuple(self._source(agent.agent_id, name, one) for one in sources(having))
            for name, having in holders.items()
        }
        return ImageSources(authority=authority.certificate, sources=found)

    def _source(self, taker: str, name: str, holder: Holder) -> ImageSource:
        ticket = Ticket(giver=holder.agent_id, taker=taker, name=name, digest=holder.digest)
        return ImageSource(
            hostname=holder.hostname,
            route=holder.agent_id[:8],
            url=holder.edge_url,
            digest=holder.digest,
            size_bytes=holder.size_bytes,
            ticket=self._secrets.ticket(msgspec.json.encode(ticket)),
        )

    async def ticket(self, message: TicketShown, credential: str) -> TicketCounts:
        """Check the ticket that another Agent presented to this Agent.

        Raises:
            Unauthenticated, IdentityConflict: the caller is not that Agent.
            Refused: the ticket is not valid.
            Unavailable: the database cannot be reached.
        """
        agent = await known_agent(self._db, self._me, message.agent_id, message.incarnation, credential)
        said = None
        if len(message.ticket) <= MAX_TICKET_CHARACTERS:
            said = self._secrets.ticket_says(message.ticket, TICKET_S)
        if said is None:
            raise Refused("The ticket for the image is invalid or has expired; request another ticket from a Manager.")
        ticket = msgspec.json.decode(said, type=Ticket)
        if ticket.giver != agent.agent_id:
            raise Refused("The ticket for the image belongs to another Agent.")
        holders = await read_holders(self._db, ticket.taker, [ticket.name])
        if not any((one.agent_id, one.digest) == (ticket.giver, ticket.digest) for one in holders.get(ticket.name, [])):
            raise Refused(
                f"The image {ticket.name} can no longer be copied from this Agent; request another ticket from a"
                " Manager."
            )
        hostname = await read_hostname(self._db, ticket.taker)
        self._logs.write(
            LogCode.IMAGE_COPIED,
            f"Agent {ticket.taker} on host {hostname} copies the image {ticket.name} ({ticket.digest}) from Agent"
            f" {agent.agent_id}",
        )
        return TicketCounts(name=ticket.name, digest=ticket.digest, hostname=hostname)
