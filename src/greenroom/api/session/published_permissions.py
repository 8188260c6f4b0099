"""Session permissions in the published shape: shares with named users, who watch (`r`) or control (`rw`)."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from fastapi import APIRouter

from greenroom.api.published.calls import Answer, Call, requires_key
from greenroom.api.session import share_service
from greenroom.api.session.published import session_of
from greenroom.api.session.share_service import Sharing, SharingDep
from greenroom.core.errors import Invalid
from greenroom.core.session.authorization import Act
from greenroom.core.session.sharing import ShareWish
from greenroom.core.session.streams import Access
from greenroom.db.access.users import get_user
from greenroom.db.session import shares
from greenroom.db.session.shares import Share
from greenroom.db.session.views import Session

router = APIRouter(include_in_schema=False)

TARGET: Final = "target_session_permissions"
ACCESS: Final[dict[str, Access]] = {"r": "view", "rw": "control"}
WRITTEN: Final[dict[Access, str]] = {access: written for written, access in ACCESS.items()}
SEES: Final = requires_key("sessions_view")
CHANGES: Final = requires_key("sessions_modify")


@router.post("/set_session_permissions")
async def set_session_permissions(sharing: SharingDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Let users join a session by its `share_id`, to watch or to control. `access` beside the list is for entries
    without one, and alone for every user who may join already.
    """
    target = call.part(TARGET)
    session = await session_of(sharing.db, target, Act.SHARE_BY_NAME)
    present = {share.user_id: share for share in await _named(sharing, session)}
    for user_id, access in _wanted(target, [str(user_id) for user_id in present]).items():
        share = present.get(user_id)
        if share is None or share.access != access:
            user = await get_user(sharing.db, user_id)
            await share_service.create(sharing, call.caller, session, ShareWish(access=access, audience="user"), user)
            if share is not None:
                await share_service.end(sharing, call.caller, session, share.share_id)
    return await _answer(sharing, session)


@router.post("/get_session_permissions")
async def get_session_permissions(sharing: SharingDep, call: Annotated[Call, SEES]) -> Answer:
    """The users who may join a session, and how."""
    return await _answer(sharing, await session_of(sharing.db, call.part(TARGET), Act.SEE))


@router.post("/delete_session_permissions")
async def delete_session_permissions(sharing: SharingDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Take `user_ids` the right to join; who is in by it is cut off at once."""
    target = call.part(TARGET)
    session = await session_of(sharing.db, target, Act.SHARE_BY_NAME)
    asked: object = target.body.get("user_ids")
    if not isinstance(asked, list):
        raise Invalid("user_ids must be a list of ids.")
    user_ids = {Call(call.caller, {"user_id": one}, call.headers).id("user_id") for one in cast("list[Any]", asked)}
    for share in await _named(sharing, session):
        if share.user_id in user_ids:
            await share_service.end(sharing, call.caller, session, share.share_id)
    return await _answer(sharing, session)


@router.post("/delete_all_session_permissions")
async def delete_all_session_permissions(sharing: SharingDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Take all named users the right to join; the session's link stays as it is."""
    session = await session_of(sharing.db, call.part(TARGET), Act.SHARE_BY_NAME)
    for share in await _named(sharing, session):
        await share_service.end(sharing, call.caller, session, share.share_id)
    return await _answer(sharing, session)


async def _named(sharing: Sharing, session: Session) -> list[Share]:
    """The shares with named users."""
    found = await shares.list_shares(sharing.db, session.session_id, silent=False)
    return [share for share in found if share.audience == "user"]


async def _answer(sharing: Sharing, session: Session) -> Answer:
    named = await _named(sharing, session)
    return {
        "session_permissions": [
            {
                "user_id": share.user_id,
                "access": WRITTEN[share.access],
                "username": share.username,
                "vnc_username": share.username,
            }
            for share in named
        ]
    }


def _wanted(target: Call, present: list[str]) -> dict[str, Access]:
    """user_id → access.

    Raises:
        Invalid: an entry names no user, or an access that does not exist.
    """
    usual, entries = target.text("access"), target.body.get("session_permissions")
    if entries is None:
        return {user_id: _access(usual) for user_id in present}
    if not isinstance(entries, list):
        raise Invalid("session_permissions must be a list of user_id and access.")
    wanted: dict[str, Access] = {}
    for entry in cast("list[object]", entries):
        one = Call(target.caller, {"entry": entry}, target.headers).part("entry")
        wanted[one.id("user_id")] = _access(one.text("access") or usual)
    return wanted


def _access(written: str) -> Access:
    if written not in ACCESS:
        raise Invalid(f'access {written[:20]!r} does not exist: "r" watches, "rw" controls.')
    return ACCESS[written]
