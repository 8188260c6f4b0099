"""Messages of an Agent about viewers: to gateways on other hosts, and to the api for shared sessions.

Gateways send POST `/listen` (Listen → News) and `/check` (Check → Checked) to the stream address of the Agent, with the
stream secret. The Agent sends POST `/api/internal/stream` (StreamRequest → StreamVerdict) and `/api/internal/viewers`
(ViewerReport) to the api, with its credential as in `wire.messages`; also `/api/internal/session-video`
(VideoSegment) with a segment of the video of a session.

The Agent sends an admission to the gateway before nginx connects the viewer, and the gateway keeps it until the Agent
reports that the session is gone. Any process of the Agent can therefore compare the admissions of the gateway with the
present permissions, and revoke admissions that are not permitted any more.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from greenroom.core.session.streams import Access, AnyAccess
from greenroom.core.session.viewing import Connection
from greenroom.wire.messages import VERSION, Message

SECRET_HEADER: Final = "X-Greenroom-Stream-Secret"  # noqa: S105 -- a name
GATEWAY_HEADER: Final = "X-Greenroom-Gateway"
"""The header with the id of the gateway. nginx sends both headers with every request about a stream."""
LISTEN_PATH: Final = "/listen"
CHECK_PATH: Final = "/check"
SESSION_VIDEO_PATH: Final = "/api/internal/session-video"
"""The path of the api for segments of session videos."""


class StreamRequest(Message, frozen=True, kw_only=True):
    """A request for the permission of a viewer to open the stream of a session."""

    session_id: str
    token: str
    username: str = ""
    origin: str = ""


class StreamVerdict(Message, frozen=True, kw_only=True):
    """The answer of the api. `reason` is the reason of a refusal, as a sentence for the log and the viewer."""

    allow: bool
    user_id: str = ""
    epoch: int = 0
    viewer_ttl_s: float = 600.0
    reason: str = ""
    session_id: str = ""
    """The id of the replacement of the session (docs/explanation/a-launch.md), if it was replaced."""
    path: str = ""
    """The path of the stream of the replacement, ending with a slash, if another Agent behind the same gateway runs the
    replacement; else empty."""
    viewer_id: str = ""
    """The id of a viewer with a share (core.session.sharing); empty for the user of the session."""
    access: AnyAccess = "view"
    """`program` or `api` for a token of the lease, `control` for the user of the session, else that of the share."""
    leased: bool = False
    """True if the session is leased, so that only one party has control at a time (core.lease)."""


class Admission(Message, frozen=True, kw_only=True):
    """The admission of a viewer at this gateway. `addresses` are host:port of the page of the session and of its other
    services. `client` is the connection of the viewer: always for a guest, and for the user of the session only for
    websockets. `database` has the meaning of `core.session.streams.Grant.database`."""

    session_id: str
    user_id: str
    epoch: int
    database: str = ""
    viewer_id: str = ""
    access: Access = "control"
    program: bool = False
    """True if the viewer is a program with the token of the lease of the session."""
    addresses: tuple[str, ...] = ()
    client: Connection | None = None


class Listen(Message, frozen=True, kw_only=True):
    """A request for the changes since the last `News`. `process` is the Agent process that sent it, and `noted` is the
    last `News.number` that the gateway has stored. Without changes, the Agent answers after `hold_s`.
    """

    v: int = VERSION
    gateway_id: str
    process: str = ""
    noted: int = 0
    hold_s: float = 0.0


class News(Message, frozen=True, kw_only=True):
    """The changes that an Agent process reports to a gateway. `acting` is True if the process acts for the Agent; the
    other processes are on standby, and only the acting process can check viewers. `replicas` are the stream addresses
    of all processes. The gateway must now check the viewers of `changed`, the sessions whose permitted viewers changed.
    """

    v: int = VERSION
    agent_id: str
    process: str
    acting: bool
    replicas: tuple[str, ...] = ()
    number: int = 0
    """The number of the last change in this message."""
    admitted: tuple[Admission, ...] = ()
    changed: tuple[str, ...] = ()


class Check(Message, frozen=True, kw_only=True):
    """The admissions that a gateway has. `present` are the positions of admissions whose connection exists."""

    v: int = VERSION
    gateway_id: str
    admissions: tuple[Admission, ...] = ()
    present: tuple[int, ...] = ()
    whole: bool = True
    """True if these are all admissions that the gateway has of this Agent."""


class Checked(Message, frozen=True, kw_only=True):
    """The positions of the admissions that are no longer permitted (`revoked`), and of those whose session is gone
    (`gone`). Both are empty while the process does not act for the Agent."""

    v: int = VERSION
    acting: bool = False
    revoked: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


class Watcher(Message, frozen=True, kw_only=True):
    """A viewer with an open stream of a session that is shared with them. `client` is the address of the viewer, for
    display."""

    viewer_id: str
    client: str


class VideoSegment(Message, frozen=True, kw_only=True):
    """A segment of the video of a session (`core.recording.session_video`), an MP4 file. `segment_id` is the same if
    the Agent repeats the request. `began` is in seconds since 1970. A segment without data is lost: the api refused its
    data."""

    v: int = VERSION
    session_id: str
    segment_id: str
    began: float
    duration_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 0
    data: bytes = b""
    is_last: bool = False
    """True if the session is over; `data` may then be empty."""


class ViewerReport(Message, frozen=True, kw_only=True):
    """The report of the Agent to `/api/internal/viewers`: all viewers of a session other than its user."""

    v: int = VERSION
    session_id: str
    watchers: list[Watcher]
