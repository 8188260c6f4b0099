"""What an Agent reports to the api of the viewers of shared sessions; with its credential, as in `wire.messages`."""

from __future__ import annotations

from greenroom.wire.messages import VERSION, Message


class Watcher(Message, frozen=True, kw_only=True):
    """Someone with an open stream of a session that is shared with them; `client` is from where, for people."""

    viewer_id: str
    client: str


class Watched(Message, frozen=True, kw_only=True):
    """The Agent's report to `/api/internal/viewers`: everyone who is in a session besides its user."""

    v: int = VERSION
    session_id: str
    watchers: list[Watcher]
