"""The causes for which users may do less than before, and their effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.core.access.lifecycle import Cause, Effect, UserAccess, causes, effects

ADA = UserAccess(user_id="a", username="ada", may_log_in=True, password_hash="h", permissions=["user", "users_view"])
KEEPER = replace(ADA, permissions=["user", "users_auth_session", "leases_create_for_others"])


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        (ADA, {}, set[Cause]()),
        (ADA, {"permissions": ["user"]}, set[Cause]()),
        (ADA, {"permissions": ["global_admin"]}, set[Cause]()),
        (ADA, {"may_log_in": False}, {Cause.BARRED}),
        (replace(ADA, may_log_in=False), {"may_log_in": True}, set[Cause]()),
        (ADA, {"password_hash": "other"}, {Cause.PASSWORD}),
        (ADA, {"permissions": ["users_view"]}, {Cause.LOST_USER}),
        (replace(ADA, permissions=["global_admin"]), {"permissions": []}, {Cause.LOST_USER, Cause.LOST_OTHERS}),
        (KEEPER, {"permissions": ["user", "users_auth_session"]}, set[Cause]()),
        (KEEPER, {"permissions": ["user"]}, {Cause.LOST_OTHERS}),
        (ADA, {"may_log_in": False, "password_hash": "other"}, {Cause.BARRED, Cause.PASSWORD}),
    ],
)
def test_the_causes_are_what_the_user_can_no_longer_do(before: UserAccess, changes: dict[str, Any], expected: Any):
    assert causes(before, replace(before, **changes)) == expected


def test_a_deletion_ends_everything_and_a_bar_everything_but_sessions():
    assert effects([Cause.DELETED]) == set(Effect)
    assert effects([Cause.BARRED]) == set(Effect) - {Effect.SESSIONS}


def test_several_causes_have_the_effects_of_each():
    expected = {Effect.STREAMS, Effect.TOKENS_FOR_OTHERS, Effect.LEASES_FOR_OTHERS}
    assert effects([Cause.LOGGED_OUT, Cause.LOST_OTHERS]) == expected
    assert effects([]) == set()


def test_only_an_administrator_who_can_log_in_counts():
    administrator = replace(ADA, permissions=["global_admin"])
    assert administrator.is_administrator
    assert not replace(administrator, may_log_in=False).is_administrator
    assert not ADA.is_administrator
