"""What `/api/v1` answers, as far as programs need it. Fields that a later version adds are left out."""

from __future__ import annotations

from datetime import datetime

import msgspec

Tags = list[str] | dict[str, str]


class LeaseUrls(msgspec.Struct, frozen=True, kw_only=True):
    """Where a leased session is; None = not offered."""

    page: str
    websocket: str | None = None
    cdp: str | None = None
    webdriver: str | None = None
    mcp: str | None = None
    live: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease; `token` and `urls` are known of one's own new lease alone."""

    lease_id: str
    session_id: str
    image_friendly_name: str
    outcome: str
    status: str
    tags: Tags
    created: datetime
    expires: datetime | None
    user_id: str | None = None
    username: str | None = None
    ended: datetime | None = None
    ended_reason: str | None = None
    token: str = ""
    urls: LeaseUrls | None = None
