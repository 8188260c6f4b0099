"""What an Agent says of viewers: to gateways on other hosts, and to the api of those who are in shared sessions.

Gateways get it by POST `/listen` and `/check` of the Agent's stream address, with the stream secret; the api with the
Agent's credential, as in `wire.messages`.

An admission is sent to the gateway before nginx passes the viewer on, and the gateway keeps it until the Agent says
that the session is gone. So each revocation can be found by comparing what a gateway has with who may view now, at any
time later, by any Agent process with this identity.
"""

from __future__ import annotations

from typing import Final

from greenroom.core.session.streams import Access
from greenroom.core.session.viewing import Connection
from greenroom.wire.messages import VERSION, Message

SECRET_HEADER: Final = "X-Greenroom-Stream-Secret"  # noqa: S105 -- a name
GATEWAY_HEADER: Final = "X-Greenroom-Gateway"
"""Which gateway asks; nginx sends both with every question about a stream."""
LISTEN_PATH: Final = "/listen"
CHECK_PATH: Final = "/check"
READY_PATH: Final = "/__ready"


class Admission(Message, frozen=True, kw_only=True):
    """A viewer who is let in at this gateway. `addresses` are host:port of the session's page and of what is
    beside it; `client` is the viewer's connection, of a guest always, of the session's user for websockets. `database`
    as in `core.session.streams.Grant`."""

    session_id: str
    user_id: str
    epoch: int
    database: str = ""
    viewer_id: str = ""
    access: Access = "control"
    program: bool = False
    """It came with the token of the session's lease."""
    addresses: tuple[str, ...] = ()
    client: Connection | None = None


class Listen(Message, frozen=True, kw_only=True):
    """The gateway has kept everything up to number `noted` of the Agent's process `process`; the answer is held for
    `hold_s` while there is no news."""

    v: int = VERSION
    gateway_id: str
    process: str = ""
    noted: int = 0
    hold_s: float = 0.0


class News(Message, frozen=True, kw_only=True):
    """`acting`: this process does the Agent's work, and its word on who may view counts; others stand by. `replicas`
    are the stream addresses of all processes. `changed`: sessions whose permitted viewers changed, to be checked now.
    """

    v: int = VERSION
    agent_id: str
    process: str
    acting: bool
    replicas: tuple[str, ...] = ()
    number: int = 0
    """Of the last of these news."""
    admitted: tuple[Admission, ...] = ()
    changed: tuple[str, ...] = ()


class Check(Message, frozen=True, kw_only=True):
    """What the gateway has; `present` are the positions of admissions whose connection exists."""

    v: int = VERSION
    gateway_id: str
    admissions: tuple[Admission, ...] = ()
    present: tuple[int, ...] = ()
    whole: bool = True
    """These are all it has of this Agent."""


class Checked(Message, frozen=True, kw_only=True):
    """Positions of the admissions that do not hold any more; of those in `gone` the session itself is gone. While the
    Agent's process does not act (yet), it says nothing of any."""

    v: int = VERSION
    acting: bool = False
    revoked: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


class Watcher(Message, frozen=True, kw_only=True):
    """Someone with an open stream of a session that is shared with them; `client` is from where, for people."""

    viewer_id: str
    client: str


class Watched(Message, frozen=True, kw_only=True):
    """The Agent's report to `/api/internal/viewers`: everyone who is in a session besides its user."""

    v: int = VERSION
    session_id: str
    watchers: list[Watcher]
