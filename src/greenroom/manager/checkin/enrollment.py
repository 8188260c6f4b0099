"""Enrollment of Agents in the zone, certificates for their edge gateways, and the transfer of images between Agents
(docs/explanation/protocols.md §2, Identity).
"""

from __future__ import annotations

import hmac
import time
import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec

from greenroom.core.catalogue.fetch_methods import ImageHolder, copy_sources
from greenroom.core.errors import IdentityConflict, Invalid, Refused, SetupError, Unauthenticated
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.addresses import EDGE_DOMAIN, edge_address, edge_name
from greenroom.core.fleet.enrollment import RefusalLogLimiter, RegistrationRequest
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.fleet import checkin
from greenroom.db.fleet.agents import (
    AgentCredentials,
    AgentRegistration,
    find_agent_credentials,
    record_refusal,
    register,
)
from greenroom.db.fleet.enrollment import StoredAuthority, add_authority, read_authority
from greenroom.db.fleet.managers import ManagerRow
from greenroom.db.fleet.views import read_holders, read_hostname
from greenroom.db.installation import stored_settings
from greenroom.kit.certificates import Authority, key_in_request, new_authority
from greenroom.kit.secrets import new_secret, secret_digest
from greenroom.manager.checkin import answers
from greenroom.manager.status import ManagerContext
from greenroom.wire.fleet import ImageSource, ImageSources, MissingImages, Ticket, TicketCheck, TicketResult
from greenroom.wire.messages import VERSION, EdgeCertificate, EdgeRequest, Register, Registered

EDGE_DAYS: Final = 90
"""Lifetime of an edge gateway's certificate. The Agent renews the certificate after two thirds of this time."""
MAX_NAME_CHARACTERS: Final = 255
MAX_REQUEST_CHARACTERS: Final = 8192
TICKET_LIFETIME_S: Final = 300
MAX_IMAGES: Final = 200
MAX_TICKET_CHARACTERS: Final = 2048


class Enrollment:
    """The routes of Agents for registration and edge certificates; created once, after the Manager is registered."""

    def __init__(self, shared: ManagerContext) -> None:
        self._db, self._me = shared.agents_db, shared.me
        self._secrets, self._logs = shared.secrets, shared.logs
        self._limiter = RefusalLogLimiter()

    # Registration ---------------------------------------------------------------------------------------------------

    async def register(self, message: Register, address: str) -> Registered:
        """Admit an Agent with a join token, or a known Agent with its credential. `address` is the address of the
        client, as the gateway reports it.

        Raises: Unauthenticated, IdentityConflict, Invalid: the Agent is refused; the reason is in the logs and in the
        row of the Agent. Unavailable: the database cannot be reached.
        """
        try:
            return await self._register(_validate(message))
        except (Unauthenticated, IdentityConflict, Invalid) as error:
            await self._log_refusal(message, address, error.message)
            raise

    async def _register(self, message: Register) -> Registered:
        if not (message.join_token or message.credential):
            raise Unauthenticated("The Agent has neither a join token nor a credential; configure a join token.")
        request = self._registration_request(message)
        credential = new_secret()
        enabled = installation_of(await stored_settings(self._db)).auto_agent
        identity = await register(self._db, request, secret_digest(credential), enabled=enabled)
        method = "with a join token" if message.join_token else "again"
        waiting = "; it waits for an administrator to enable it" if identity.is_new and not identity.enabled else ""
        self._logs.write(
            LogCode.AGENT_REGISTERED,
            f"Agent {request.agent_id} on host {message.hostname} registered {method} (process {identity.incarnation})"
            f"{waiting}",
        )
        self._log_edge(request, identity)
        states = await checkin.read_states(self._db, {}, self._me.manager_id)
        await self._db.notify(ChangeEvent(Topic.AGENTS), ChangeEvent.zone(self._me.zone_key))
        return Registered(
            agent_id=request.agent_id,
            credential=credential if message.join_token else None,
            incarnation=identity.incarnation,
            installation_id=identity.installation_id,
            db_epoch=identity.db_epoch,
            zone_id=self._me.zone_id,
            enabled=identity.enabled,
            managers=answers.managers(states.zone) if states else [],
        )

    def _log_edge(self, request: RegistrationRequest, identity: AgentRegistration) -> None:
        """Log a changed address of the edge gateway of a known Agent."""
        edge, previous_edge = identity.edge, identity.edge_before
        if previous_edge is None:
            return
        subject = f"Agent {request.agent_id} on host {request.hostname}"
        previous = previous_edge.in_use or "none"
        if edge.in_use != previous_edge.in_use:
            self._logs.write(
                LogCode.EDGE_ADDRESS_CHANGED,
                f"{subject} registered again with a join token; the address of its edge gateway changed from"
                f" {previous} to {edge.in_use or 'none'}",
            )
        if edge.requested not in {None, previous_edge.requested}:
            self._logs.write(
                LogCode.EDGE_ADDRESS_REQUESTED,
                f"{subject} reports {edge.requested or 'no address'} as the address of its edge gateway;"
                f" {previous} stays in use until an administrator confirms the change. Confirm it if an administrator"
                f" changed it on the host (Infrastructure, Docker Agents, or greenroom agents confirm-edge"
                f" {request.agent_id}); otherwise decline it, disable the Agent and check its host",
            )

    def _registration_request(self, message: Register) -> RegistrationRequest:
        return RegistrationRequest(
            agent_id=_agent_id(message.agent_id),
            zone_id=self._me.zone_id,
            zone_name=self._logs.zone_name,
            machine_id=message.machine_id,
            place=message.place,
            hostname=message.hostname,
            edge_url=message.edge_url,
            version=message.version,
            token_hash=secret_digest(message.join_token) if message.join_token else None,
            credential_hash=secret_digest(message.credential or "") if not message.join_token else None,
        )

    async def _log_refusal(self, message: Register, address: str, reason: str) -> None:
        """Log the refusal at a limited rate, and store it in the row of the Agent, if there is one with this id."""
        if not self._limiter.must_log(address, time.monotonic()):
            return
        host = _printable(message.hostname) or "unknown"
        subject = "An Agent with a join token" if message.join_token else "An Agent"
        self._logs.write(
            LogCode.JOIN_REFUSED if message.join_token else LogCode.AGENT_REFUSED,
            f"{subject} on host {host} at {address} was refused: {reason}",
            details={
                "agent_id": _printable(message.agent_id or ""),
                "hostname": host,
                "address": address,
                "machine_id": _printable(message.machine_id),
            },
        )
        try:
            await record_refusal(self._db, _agent_id(message.agent_id), reason, address)
        except Invalid:
            return  # its proposed id is invalid, so no Agent has it

    # Certificates of edge gateways ----------------------------------------------------------------------------------

    async def edge_certificate(self, message: EdgeRequest, credential: str) -> EdgeCertificate:
        """Sign the certificate of the edge gateway of an Agent, only for the Agent's own name.

        Raises:
            Unauthenticated: the credential is not the Agent's.
            IdentityConflict: another process has this identity.
            Invalid: the request cannot be read, or the Agent registered without an edge address.
            Refused: the authority's key cannot be read.
            Unavailable: the database cannot be reached.
        """
        agent = await known_agent(self._db, self._me, message.agent_id, message.incarnation, credential)
        if not agent.has_edge:
            raise Invalid("The Agent registered without an edge address; set GREENROOM_EDGE_URL and start it again.")
        if len(message.csr) > MAX_REQUEST_CHARACTERS:
            raise Invalid("The certificate request is too long.")
        key = key_in_request(message.csr)
        try:
            authority = await self._authority()
            certificate = authority.sign(key, [edge_name(agent.route)], EDGE_DAYS, datetime.now(UTC))
        except SetupError as error:  # refused, not unavailable: the Agent must not back off from this Manager
            self._logs.write(LogCode.EDGE_CERTIFICATE_FAILED, error.message)
            raise Refused(f"The fleet's authority cannot be used: {error.message}") from error
        self._logs.write(
            LogCode.EDGE_CERTIFICATE_ISSUED,
            f"Agent {agent.agent_id} received a certificate for its edge gateway, valid for {EDGE_DAYS} days",
        )
        return EdgeCertificate(certificate=certificate, authority=authority.certificate)

    async def _authority(self) -> Authority:
        """Return the authority of the fleet; the first call creates it."""
        stored = await read_authority(self._db)
        if stored is None:
            new = new_authority("Greenroom fleet authority", datetime.now(UTC), domain=EDGE_DOMAIN)
            encrypted = self._secrets.encrypt(new.key)
            stored = await add_authority(self._db, StoredAuthority(new.certificate, encrypted))
        return Authority(stored.certificate, self._secrets.decrypt(stored.key_encrypted))


async def known_agent(
    db: Database, me: ManagerRow, agent_id: str, incarnation: int, credential: str
) -> AgentCredentials:
    """Return the Agent of this Manager's zone that sent a message.

    Raises:
        Unauthenticated: the credential is not the Agent's.
        IdentityConflict: another process has this identity.
        Unavailable: the database cannot be reached.
    """
    agent = await find_agent_credentials(db, _agent_id(agent_id))
    if agent is None or not hmac.compare_digest(agent.credential_hash, secret_digest(credential)):
        raise Unauthenticated("The Agent's credential is not valid; it was revoked, or the Agent was deleted.")
    if agent.zone_id != me.zone_id or agent.incarnation != incarnation:
        raise IdentityConflict(
            "A newer process has this Agent's identity, or the Agent belongs to another zone; register again."
        )
    return agent


def _validate(message: Register) -> Register:
    """Return the message. Raises Invalid: it has another version, or a text that cannot be stored and displayed."""
    if message.v != VERSION:
        raise Invalid(f"The message has version {message.v}; this Manager has version {VERSION}.")
    for name in ("hostname", "machine_id", "place", "version"):
        text = getattr(message, name)
        if len(text) > MAX_NAME_CHARACTERS or not (text.isprintable() and text.isascii()):
            raise Invalid(
                f"The {name} of the message is longer than {MAX_NAME_CHARACTERS} characters or is not printable ASCII."
            )
    if message.edge_url:
        edge_address(message.edge_url)
    return message


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and char.isascii())[:MAX_NAME_CHARACTERS]


def _agent_id(proposed: str | None) -> str:
    try:
        return str(uuid.UUID(proposed)) if proposed else str(uuid.uuid4())
    except ValueError as error:
        raise Invalid(f"The proposed agent_id {_printable(proposed or '')!r} is not a uuid.") from error


class ImageCopies:
    """The routes for the transfer of images between Agents; created once, after the Manager is registered.

    A ticket contains the sending Agent (`giver`), the receiving Agent (`taker`) and the image. Only Managers can create
    and read tickets. A ticket is valid for `TICKET_LIFETIME_S` while both Agents are enabled and the image is needed.
    """

    def __init__(self, shared: ManagerContext) -> None:
        self._db, self._me = shared.agents_db, shared.me
        self._secrets, self._logs = shared.secrets, shared.logs

    async def sources(self, message: MissingImages, credential: str) -> ImageSources:
        """Return the Agents that have the images that this Agent lacks, with a ticket for each.

        Raises:
            Unauthenticated, IdentityConflict: the caller is not the Agent of the message.
            Invalid: the message requests too many images.
            Unavailable: the database cannot be reached.
        """
        agent = await known_agent(self._db, self._me, message.agent_id, message.incarnation, credential)
        if len(message.names) > MAX_IMAGES:
            raise Invalid(f"The message requests more than {MAX_IMAGES} images.")
        holders = await read_holders(self._db, agent.agent_id, message.names)
        authority = await read_authority(self._db) if holders else None
        if authority is None:
            return ImageSources()
        found = {
            name: tuple(self._source_with_ticket(agent.agent_id, name, holder) for holder in copy_sources(candidates))
            for name, candidates in holders.items()
        }
        return ImageSources(authority=authority.certificate, sources=found)

    def _source_with_ticket(self, taker: str, name: str, holder: ImageHolder) -> ImageSource:
        ticket = Ticket(giver=holder.agent_id, taker=taker, name=name, digest=holder.digest)
        return ImageSource(
            hostname=holder.hostname,
            route=holder.agent_id[:8],
            url=holder.edge_url,
            digest=holder.digest,
            size_bytes=holder.size_bytes,
            ticket=self._secrets.ticket(msgspec.json.encode(ticket)),
        )

    async def check_ticket(self, message: TicketCheck, credential: str) -> TicketResult:
        """Check the ticket that another Agent presented to this Agent.

        Raises:
            Unauthenticated, IdentityConflict: the caller is not the Agent of the message.
            Refused: the ticket is not valid.
            Unavailable: the database cannot be reached.
        """
        agent = await known_agent(self._db, self._me, message.agent_id, message.incarnation, credential)
        content = None
        if len(message.ticket) <= MAX_TICKET_CHARACTERS:
            content = self._secrets.read_ticket(message.ticket, TICKET_LIFETIME_S)
        if content is None:
            raise Refused("The ticket for the image is invalid or has expired; request another ticket from a Manager.")
        ticket = msgspec.json.decode(content, type=Ticket)
        if ticket.giver != agent.agent_id:
            raise Refused("The ticket for the image belongs to another Agent.")
        holders = await read_holders(self._db, ticket.taker, [ticket.name])
        if not any(
            (holder.agent_id, holder.digest) == (ticket.giver, ticket.digest) for holder in holders.get(ticket.name, [])
        ):
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
        return TicketResult(name=ticket.name, digest=ticket.digest, hostname=hostname)
