"""The rules by which hosts join the fleet: join tokens, credentials and copied identities
(docs/explanation/protocols.md §2).

A join token admits new hosts of one role to one zone. It does not admit a known Agent, with two exceptions: the token
was created for this Agent; or the Agent sends its token again before its first check-in, because the answer with its
credential was lost. A credential is valid only in the zone for which it was issued. If two live processes have the same
identity, the first process keeps it.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from greenroom.core.errors import GreenroomError, IdentityConflict, Unauthenticated
from greenroom.core.fleet.addresses import NO_EDGE, EdgeRegistration

Role = Literal["agent", "gateway"]

CREATE_ANOTHER: Final = "Create another one (Infrastructure, Docker Agents, Add Agent)."

MAX_LOGGED: Final = 20
"""The maximum number of logged refusals of one address within `LOG_WINDOW_S`."""
LOG_WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 1000
"""The maximum number of addresses whose refusals are counted; the addresses with the latest refusals are kept."""


class RefusalLogLimiter:
    """Limits the number of logged refusals, because any host in the network can cause refusals."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def must_log(self, address: str, now: float) -> bool:
        """Count a refusal of `address` at the time `now` (`time.monotonic()`); return True if it must be logged."""
        window_begin, count = self._windows.get(address, (now, 0))
        if now - window_begin >= LOG_WINDOW_S:
            window_begin, count = now, 0
        self._windows[address] = window_begin, count + 1
        self._windows.move_to_end(address)
        if len(self._windows) > MAX_ADDRESSES:
            self._windows.popitem(last=False)
        return count < MAX_LOGGED


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJoinToken:
    """A stored join token. It admits `uses` hosts in total. `agent_id` is the only Agent that it admits; None = any new
    Agent. `expired` is computed with the clock of the database. `enable_agent`: Agents that it admits are enabled."""

    role: str
    zone_id: str
    zone_name: str
    agent_id: str | None
    uses: int
    uses_left: int
    expires: datetime
    expired: bool
    revoked: bool
    enable_agent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgent:
    """The stored Agent with the id of a request. `joined_with` is the hash of the join token with which it was last
    admitted. `place` is that of its last request (`RegistrationRequest`). `alive` is True if it checked in within the
    last seconds. `never_checked_in` is True if it has not checked in since it was last admitted.
    """

    credential_hash: bytes
    place: str
    zone_id: str
    zone_name: str
    joined_with: bytes | None
    never_checked_in: bool
    alive: bool
    edge: EdgeRegistration = NO_EDGE


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """The request of an Agent to join a zone, or to register there again.

    Exactly one of `token_hash` and `credential_hash` is set: the SHA-256 of a join token, or of the credential of a
    known Agent. `place` is a digest of the Agent's folder, its machine and the last start of the machine, so a copy of
    an identity has another `place`.
    """

    agent_id: str
    zone_id: str
    zone_name: str
    machine_id: str
    hostname: str
    place: str
    edge_url: str = ""
    version: str = ""
    token_hash: bytes | None = None
    credential_hash: bytes | None = None


def refusal_of_token(
    token: StoredJoinToken | None, role: Role, *, admitted_before: bool = False
) -> GreenroomError | None:
    """Return the error with which a host of this role is refused in every zone; None if the token admits it.

    `token` is None if the token does not exist. `admitted_before` is True if the token admitted this host before. A
    token without uses left admits such a host again.
    """
    if token is None:
        return Unauthenticated(
            "The join token is unknown: it was mistyped, belongs to another installation, or expired long ago. "
            + CREATE_ANOTHER
        )
    if token.revoked:
        return Unauthenticated(f"The join token was revoked by an administrator. {CREATE_ANOTHER}")
    if token.expired:
        return Unauthenticated(f"The join token expired at {token.expires:%Y-%m-%d %H:%M} UTC. {CREATE_ANOTHER}")
    if token.role != role:
        return Unauthenticated(f"The join token is for the role {token.role}, not for {role}. {CREATE_ANOTHER}")
    if token.uses_left == 0 and not admitted_before:
        times = "once" if token.uses == 1 else f"{token.uses} times"
        return Unauthenticated(f"The join token is used up: it admitted a host {times}. {CREATE_ANOTHER}")
    return None


def refusal_of_agent_token(
    token: StoredJoinToken | None, agent_id: str | None, *, admitted_before: bool = False
) -> GreenroomError | None:
    """Return the error with which an Agent with this id is refused in every zone; None if the token admits it.

    `agent_id` is None if the Agent has no id yet. `token` and `admitted_before` are those of `refusal_of_token`.
    """
    if problem := refusal_of_token(token, "agent", admitted_before=admitted_before):
        return problem
    if token is not None and token.agent_id is not None and token.agent_id != agent_id:
        hint = f"this Agent is {agent_id}" if agent_id else "pass this id with --agent-id"
        return Unauthenticated(f"The join token is for Agent {token.agent_id} only; {hint}. {CREATE_ANOTHER}")
    return None


def registration_refusal(
    request: RegistrationRequest, known: KnownAgent | None, token: StoredJoinToken | None
) -> GreenroomError | None:
    """Return the error with which an Agent is refused; None if it is admitted.

    `known` is the stored Agent with its id, and `token` is the stored token that it sent; None = there is none.
    """
    if request.token_hash is not None:
        problem = _refusal_with_token(request, known, token)
    else:
        problem = _refusal_with_credential(request, known)
    if problem is None and known is not None and known.alive and request.place != known.place:
        return IdentityConflict(
            "A live Agent in another place has this identity; a copied identity is refused. If this Agent is "
            "the copy, give it a separate Agent folder and a join token. If the other Agent has just "
            "stopped, this Agent is admitted in a few seconds."
        )
    return problem


def is_repeated_join(request: RegistrationRequest, known: KnownAgent | None) -> bool:
    """True if the same token admitted this Agent before, and the Agent has not checked in since: the answer with its
    credential was lost, so the Agent sends its token again.
    """
    return (
        known is not None
        and known.never_checked_in
        and known.joined_with is not None
        and known.joined_with == request.token_hash
        and known.zone_id == request.zone_id
        and request.place == known.place
    )


def _refusal_with_token(
    request: RegistrationRequest, known: KnownAgent | None, token: StoredJoinToken | None
) -> GreenroomError | None:
    admitted_before = is_repeated_join(request, known)
    if problem := refusal_of_agent_token(token, request.agent_id, admitted_before=admitted_before):
        return problem
    assert token is not None, "refusal_of_agent_token refuses a missing token"  # noqa: S101
    if token.zone_id != request.zone_id:
        return Unauthenticated(
            f"The join token is for zone {token.zone_name}, and this Manager coordinates zone {request.zone_name}."
            " Join through a gateway of that zone."
        )
    if known is not None and not admitted_before and token.agent_id is None:
        return IdentityConflict(
            f"Agent {request.agent_id} already exists, and a join token admits only new Agents. Delete the "
            "Agent, give this machine a separate Agent folder, or create a token with which this Agent joins "
            "again."
        )
    return None


def _refusal_with_credential(request: RegistrationRequest, known: KnownAgent | None) -> GreenroomError | None:
    if known is None or not hmac.compare_digest(known.credential_hash, request.credential_hash or b""):
        return Unauthenticated(
            "The Agent's credential is not valid; it was revoked, or the Agent was deleted. To let it join "
            "again, create a join token for this Agent."
        )
    if known.zone_id != request.zone_id:
        return Unauthenticated(
            f"The Agent's credential is for zone {known.zone_name}, and this Manager coordinates zone "
            f"{request.zone_name}. To move the Agent, create a join token for it in that zone."
        )
    return None
