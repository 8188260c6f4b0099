"""The permissions to share and to join a session, and the messages without them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greenroom.core.access.group_settings import ClientSettings, GroupSettings, resolve
from greenroom.core.session.sharing import (
    MAX_VIEWERS,
    NO_VIEW_ONLY,
    UNKNOWN_LINK,
    Access,
    Audience,
    ShareFacts,
    ShareRequest,
    announcement,
    has_view_only_mode,
    needs_log_in,
    reason_against_joining,
    reason_against_new_share,
    reason_against_sharing,
    reason_against_silence,
    reason_against_viewer,
    reason_to_end,
    share_end_time,
    watermark_of,
)
from greenroom.core.session.states import SessionStatus

ALL = {"allow_kasm_sharing": True, "allow_guest_links": True, "allow_shared_control": True, "max_share_seconds": 3600}
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def settings(**changes: Any):
    return resolve([GroupSettings("g", "Team", 5, {**ALL, **changes})])


def reason_to_refuse(
    request: ShareRequest, *, status: str = "running", page: bool | None = True, **changes: Any
) -> str | None:
    return reason_against_new_share(request, settings(**changes), status=SessionStatus(status), has_view_only_mode=page)


def share_request(access: Access, audience: Audience, seconds: int | None = None) -> ShareRequest:
    return ShareRequest(access=access, audience=audience, seconds=seconds)


def test_nothing_is_shared_by_default():
    reason = reason_against_new_share(
        share_request("view", "users"), resolve([]), status=SessionStatus.RUNNING, has_view_only_mode=True
    )
    assert reason == "Sessions may not be shared: `allow_kasm_sharing` = false by default."
    assert reason_against_sharing(settings()) is None


@pytest.mark.parametrize(
    ("audience", "access"),
    [("users", "view"), ("guests", "view"), ("guests", "control"), ("user", "view"), ("user", "control")],
)
def test_what_the_settings_allow_is_shared(audience: Audience, access: Access):
    assert reason_to_refuse(share_request(access, audience)) is None
    assert reason_to_refuse(share_request("view", audience), page=None) is None, (
        "it is not known before the session runs"
    )


def test_each_setting_closes_what_it_is_about_and_says_where_it_is_set():
    assert reason_to_refuse(share_request("view", "guests"), allow_guest_links=False) == (
        "Guest links are not allowed: `allow_guest_links` = false from group Team, priority 5."
    )
    assert reason_to_refuse(share_request("control", "user"), allow_shared_control=False) == (
        "Shared control is not allowed: `allow_shared_control` = false from group Team, priority 5."
    )
    assert reason_to_refuse(share_request("view", "users", 3601)) == (
        "A share may last 3600 s at most: `max_share_seconds` = 3600 from group Team, priority 5."
    )
    assert reason_to_refuse(share_request("view", "users", 3600)) is None
    assert reason_to_refuse(share_request("view", "users", 10**6), max_share_seconds=0) is None
    assert reason_to_refuse(share_request("view", "guests"), allow_shared_control=False) is None
    assert reason_to_refuse(share_request("control", "user"), allow_guest_links=False) is None


def test_control_is_given_by_name_and_only_of_a_page_that_filters_one_may_watch():
    assert "named user" in (reason_to_refuse(share_request("control", "users")) or "")
    assert reason_to_refuse(share_request("view", "user"), page=False) == NO_VIEW_ONLY
    assert reason_to_refuse(share_request("control", "user"), page=False) is None


def test_a_session_that_ends_is_shared_no_more():
    assert reason_to_refuse(share_request("view", "users"), status="deleting") == (
        "The session is deleting; it cannot be shared any more."
    )
    assert reason_to_refuse(share_request("view", "users"), status="starting") is None


def test_a_share_ends_after_what_was_asked_or_what_is_allowed():
    assert share_end_time(share_request("view", "users", 60), settings(), NOW) == NOW + timedelta(seconds=60)
    assert share_end_time(share_request("view", "users"), settings(), NOW) == NOW + timedelta(seconds=3600)
    assert share_end_time(share_request("view", "users"), settings(max_share_seconds=0), NOW) is None


SHARE = ShareFacts(
    access="view",
    audience="users",
    user_id=None,
    is_over=False,
    status=SessionStatus.RUNNING,
    owner_id="ada",
    owner_enabled=True,
    has_view_only_mode=True,
)


@pytest.mark.parametrize(
    "over", [{"is_over": True}, {"owner_id": None}, {"owner_enabled": False}, {"user_id": "bob", "audience": "user"}]
)
def test_a_link_that_opens_nothing_says_one_thing(over: dict[str, Any]):
    assert reason_against_joining(replace(SHARE, **over), "eve") == UNKNOWN_LINK


def test_joining_is_refused_with_its_reason():
    assert reason_against_joining(SHARE, "bob") is None
    assert reason_against_joining(replace(SHARE, audience="guests"), None) is None
    assert reason_against_joining(replace(SHARE, audience="user", user_id="bob"), "bob") is None
    assert "your own session" in (reason_against_joining(SHARE, "ada") or "")
    assert str(MAX_VIEWERS) in (reason_against_joining(replace(SHARE, viewers=MAX_VIEWERS), "bob") or "")
    assert "starting" in (reason_against_joining(replace(SHARE, status=SessionStatus.STARTING), "bob") or "")
    assert reason_against_joining(replace(SHARE, has_view_only_mode=False), "bob") == NO_VIEW_ONLY
    assert reason_against_joining(replace(SHARE, has_view_only_mode=False, access="control"), "bob") is None


def test_who_joined_stays_until_the_share_the_viewer_or_the_owner_ends():
    def viewer(share: ShareFacts = SHARE, *, enabled: bool = True, ended: bool = False) -> str | None:
        return reason_against_viewer(share, user_enabled=enabled, viewer_ended=ended)

    gone = "The session is not shared with you any more."
    assert viewer() is None
    assert viewer(replace(SHARE, is_over=True)) == gone
    assert viewer(replace(SHARE, owner_id=None)) == gone
    assert viewer(replace(SHARE, owner_enabled=False)) == gone
    assert viewer(ended=True) == gone
    assert viewer(enabled=False) == "The user is disabled or locked."
    assert viewer(replace(SHARE, status=SessionStatus.PAUSED)) == "The session is paused; try again when it runs."
    assert viewer(replace(SHARE, viewers=MAX_VIEWERS)) is None, "who is in does not count against themselves"


def test_only_guests_need_no_log_in():
    assert [needs_log_in(audience) for audience in ("user", "users", "guests")] == [True, True, False]


def test_watching_in_silence_takes_the_setting():
    assert reason_against_silence(allowed=True) is None
    assert "allow_silent_assist" in (reason_against_silence(allowed=False) or "")


def test_of_our_own_page_it_is_known_that_it_keeps_watchers_from_typing():
    assert has_view_only_mode(SessionStatus.RUNNING, {"painted": 1.0}) is True
    assert has_view_only_mode(SessionStatus.RUNNING, {"created": 1.0}) is False
    assert has_view_only_mode(SessionStatus.STARTING, {}) is None


def test_the_others_read_who_does_what():
    assert announcement("Ines", "assistant", "view") == "Ines (administrator) is watching"
    assert announcement("Gus", "guests", "control") == "Gus (guest) can use keyboard and pointer"
    assert announcement("bob", "user", "control") == "bob can use keyboard and pointer"


@pytest.mark.parametrize(
    ("access", "audience", "withdrawn"),
    [
        ("view", "users", "allow_kasm_sharing"),
        ("view", "guests", "allow_guest_links"),
        ("control", "user", "allow_shared_control"),
    ],
)
def test_a_share_goes_on_as_long_as_it_would_be_allowed_again(access: Access, audience: Audience, withdrawn: str):
    def reason(**changes: Any) -> str | None:
        now = settings(**changes)
        return reason_to_end(access, audience, silent=False, settings=now, permissions=[], silence_allowed=False)

    assert reason() is None
    assert reason(max_share_seconds=1) is None, "how long it lasts was decided when it was made"
    assert f"`{withdrawn}` = false" in (reason(**{withdrawn: False}) or "")


@pytest.mark.parametrize(
    ("silent", "permissions", "allowed", "lacks"),
    [
        (False, ["sessions_assist"], False, None),
        (False, ["global_admin"], False, None),
        (False, ["sessions_view"], True, "`sessions_assist`"),
        (True, ["sessions_assist", "sessions_assist_silent"], True, None),
        (True, ["sessions_assist"], True, "`sessions_assist_silent`"),
        (True, ["global_admin"], False, "`allow_silent_assist`"),
    ],
)
def test_help_goes_on_as_long_as_who_helps_may(silent: bool, permissions: list[str], allowed: bool, lacks: str | None):
    nothing = resolve([])
    reason = reason_to_end(
        "view", "assistant", silent=silent, settings=nothing, permissions=permissions, silence_allowed=allowed
    )
    assert (lacks in (reason or "")) if lacks else reason is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, None),
        ({"watermark": False, "watermark_text": "Exam"}, None),
        ({"watermark": True, "watermark_text": ""}, "Gus (guest) · 192.0.2.7"),
        ({"watermark": True, "watermark_text": "  Exam\n1 "}, "Gus (guest) · 192.0.2.7 · Exam\\u000a1"),
        ({"watermark": True, "watermark_text": "x" * 99}, f"Gus (guest) · 192.0.2.7 · {'x' * 80}"),
    ],
)
def test_a_watermark_names_the_viewer_and_has_the_text_of_the_group(settings: ClientSettings, text: str | None):
    assert watermark_of(settings, "Gus (guest)", "192.0.2.7") == text
