"""Asks the page of a session how its stream does, as its user could: through the gateway, with the session's token."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from greenroom.api.desk.transport import Desks
from greenroom.api.session.streams import token_of
from greenroom.core.errors import Refused
from greenroom.core.session.stream_stats import BottleneckStats, FrameStats, published_frame
from greenroom.db.session.views import Session
from greenroom.kit.secrets import Secrets

T = TypeVar("T")

NOT_MEASURED: Final = "{} stats are not available: the server of this session's desktop does not measure them."
NO_VIEWER: Final = "Error retrieving {} stats with status code ({})"
"""Word for word what clients look for: no one watches the stream."""
_AWAY: Final = frozenset({502, 503})
_ELSE: Final = frozenset({400, 401, 403, 404, 405, 500, 501})


async def frame_stats(desks: Desks, secrets: Secrets, session: Session, client: str) -> dict[str, Any]:
    """One frame, measured now, in the published shape.

    Raises:
        Refused: no one watches, or nothing is measured there.
        Unavailable: the gateway does not answer.
    """
    return published_frame(await _measured(desks, secrets, session, "frame", FrameStats, client=client))


async def bottleneck_stats(desks: Desks, secrets: Secrets, session: Session) -> BottleneckStats:
    """What holds each viewer up. Raises: as above."""
    return await _measured(desks, secrets, session, "bottleneck", BottleneckStats)


async def _measured(desks: Desks, secrets: Secrets, session: Session, what: str, kind: type[T], **params: str) -> T:
    page = await desks.page_of(session.session_id, token_of(session, secrets))
    answer = await page.request("GET", f"api/get_{what}_stats", params=params, accepted=_AWAY | _ELSE)
    if answer.status_code in _AWAY:
        raise Refused(NO_VIEWER.format(what, answer.status_code))
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (ValueError, RecursionError) as error:
        raise Refused(NOT_MEASURED.format(what.capitalize())) from error
