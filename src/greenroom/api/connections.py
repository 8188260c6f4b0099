"""How far a session is, and the address of its stream, for those who may open it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from psycopg.rows import DictRow

from greenroom.api import session_actions as actions
from greenroom.api.schemas.sessions import ConnectionView, StepView
from greenroom.api.stream_urls import StreamUrls
from greenroom.core.states import SessionStatus
from greenroom.db import facts
from greenroom.db.streams import StreamSession
from greenroom.kit.secrets import Secrets


def stream_url_of(session: DictRow, streams: StreamUrls) -> str | None:
    """Where the stream of a row of `db.session_views` is; None while it has no Agent."""
    agent_id = str(session["agent_id"]) if session["agent_id"] else None
    return streams.of(facts.proxy_facts(session), agent_id, str(session["session_id"]))


def opens(secrets: Secrets, token: str, session: StreamSession) -> bool:
    """Whether it is the connect token of this session, or of one whose place it took."""
    user_id = session.user_id
    return user_id is not None and any(
        secrets.is_connect_token(token, member, user_id, session.auth_epoch) for member in session.family
    )


def connection_of(
    session: DictRow, streams: StreamUrls, secrets: Secrets, *, may_open: bool, causes: bool = False
) -> ConnectionView:
    """The state of a row of `db.session_views`; with the stream's address once it runs, for those who `may_open` it.

    `causes` as `session_actions.progress_of` has it.
    """
    shown = actions.progress_of(session, causes=causes)
    url = stream_url_of(session, streams)
    is_open = session["status"] == SessionStatus.RUNNING and session["user_id"] is not None and may_open
    found_id, user_id = str(session["session_id"]), str(session["user_id"])
    token = secrets.connect_token(found_id, user_id, session["auth_epoch"])
    return ConnectionView(
        session_id=session["session_id"],
        status=session["status"],
        operational_status=shown.operational_status,
        operational_progress=shown.percent,
        operational_message=shown.message,
        steps=[
            StepView(name=s.name, title=s.title, at=datetime.fromtimestamp(s.at, UTC) if s.at is not None else None)
            for s in shown.steps
        ],
        frame_url=f"{url}?token={token}" if is_open and url else None,
        last_screenshot_at=session["last_screenshot_at"],
        websocket_path=f"{urlsplit(url).path}websockify" if is_open and url else None,
    )
