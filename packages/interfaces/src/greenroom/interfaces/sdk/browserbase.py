"""Calls of the SDK `browserbase`. A session is a lease; its `id` is the id of the lease."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel

from greenroom.api.bodies import Json
from greenroom.core.session.states import NOT_YET_RUNNING, SessionStatus
from greenroom.interfaces.sdk import common
from greenroom.interfaces.sdk.common import Browser, Call, SdkModel

router = common.adapter_router("browserbase", "x-bb-api-key")

UNSUPPORTED_FIELDS: Final = ("extensionId", "proxies", "proxySettings")
UNSUPPORTED_SETTINGS: Final = (
    "advancedStealth", "blockAds", "captchaImageSelector", "captchaInputSelector", "context", "extensionId",
    "ignoreCertificateErrors", "os", "solveCaptchas", "verified",
)  # fmt: skip


class BrowserSettings(SdkModel):
    """The supported settings of the browser."""

    allowedDomains: tuple[str, ...] = ()  # noqa: N815 -- as the SDK writes it


class BrowserbaseRequest(SdkModel):
    """The supported fields of a new session."""

    timeout: float | None = None
    userMetadata: dict[str, str] | None = None  # noqa: N815
    browserSettings: BrowserSettings = BrowserSettings()  # noqa: N815


class Release(BaseModel):
    """The body of the only supported change of a session: its end."""

    status: Literal["REQUEST_RELEASE"]


def session_json(browser: Browser) -> Json:
    """Return a session in the format of the SDK."""
    lease = browser.lease
    return {
        "id": str(lease.lease_id),
        "status": _status(lease.status),
        "createdAt": lease.created.isoformat(),
        "startedAt": lease.created.isoformat(),
        "updatedAt": (lease.ended or lease.created).isoformat(),
        "expiresAt": (lease.expires or lease.created).isoformat(),
        "endedAt": lease.ended.isoformat() if lease.ended else None,
        "keepAlive": True,
        "projectId": lease.username or "",
        "proxyBytes": 0,
        "userMetadata": browser.tags,
        "connectUrl": browser.cdp,
        "seleniumRemoteUrl": browser.webdriver,
        "signingKey": browser.token,
    }


def _status(status: str) -> str:
    if status in NOT_YET_RUNNING:
        return "PENDING"
    if status in (SessionStatus.FAILED, SessionStatus.LOST):
        return "ERROR"
    return "COMPLETED" if status in common.ENDED else "RUNNING"


@router.post("/v1/sessions")
async def create(call: Call, body: BrowserbaseRequest) -> Json:
    """Lease a browser; `timeout` is its deadline, in seconds from now."""
    common.refuse_fields(body, *UNSUPPORTED_FIELDS)
    common.refuse_fields(body.browserSettings, *UNSUPPORTED_SETTINGS)
    domains = body.browserSettings.allowedDomains
    options: Json = {"egress": {"allow": list(domains)}} if domains else {}
    return session_json(await call.create(body.timeout, tags=body.userMetadata, options=options))


@router.get("/v1/sessions")
async def list_sessions(call: Call, status: str | None = None) -> list[Json]:
    """List the newest leases that the caller may see."""
    sessions = map(session_json, await call.browsers(ended=status not in ("PENDING", "RUNNING")))
    return [session for session in sessions if status in (None, session["status"])]


@router.get("/v1/sessions/{session_id}")
async def retrieve(call: Call, session_id: str) -> Json:
    """Return one session."""
    return session_json(await call.browser(session_id))


@router.post("/v1/sessions/{session_id}")
async def update(call: Call, session_id: str, _: Release) -> Json:
    """End the lease."""
    await call.release(session_id)
    return session_json(await call.browser(session_id))


@router.get("/v1/sessions/{session_id}/debug")
async def debug(call: Call, session_id: str) -> Json:
    """Return the address at which a person watches the session. The list of browser tabs (`pages`) is empty; DevTools
    provide it."""
    browser = await call.browser(session_id)
    return {"debuggerUrl": browser.live, "debuggerFullscreenUrl": browser.live, "pages": [], "wsUrl": browser.cdp}


@router.get("/v1/sessions/{session_id}/logs")
async def logs(call: Call, session_id: str) -> list[Json]:
    """Return an empty list, after a check that the lease exists."""
    await call.browser(session_id)
    return []


@router.get("/v1/sessions/{session_id}/recording")
async def recording(call: Call, session_id: str) -> list[Json]:
    """Return an empty list, after a check that the lease exists."""
    await call.browser(session_id)
    return []


common.refuse_other_calls(router)
