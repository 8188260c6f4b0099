"""A device is recognized by a signed cookie: for one user, one password and 90 days."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request, Response

from greenroom.api.access import failed_attempts
from greenroom.api.access.failed_attempts import DEVICE_COOKIE, DEVICE_LIFETIME_S, known_device, remember_device
from greenroom.kit.secrets import Secrets

SECRETS = Secrets(b"k" * 32)


def user(user_id: str = "ada", stored: str | None = "a hash") -> Any:
    return SimpleNamespace(user_id=user_id, password_hash=stored)


def cookie_of(someone: Any) -> str:
    response = Response()
    remember_device(response, SECRETS, someone)
    return response.headers["set-cookie"].split(";")[0].removeprefix(f"{DEVICE_COOKIE}=")


def request_with_cookie(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", f"{DEVICE_COOKIE}={cookie}".encode("latin-1"))]})


def test_each_log_in_makes_a_device_of_its_own_known():
    first, second = (known_device(request_with_cookie(cookie_of(user())), SECRETS, user()) for _ in range(2))
    assert first
    assert second
    assert first != second


def test_a_device_is_known_for_one_user_password_and_installation():
    cookie = cookie_of(user())
    for other in (user("eve"), user(stored="another hash"), user(stored=None), None):
        assert known_device(request_with_cookie(cookie), SECRETS, other) is None
    assert known_device(request_with_cookie(cookie), Secrets(b"x" * 32), user()) is None
    assert known_device(request_with_cookie(cookie_of(user(stored=None))), SECRETS, user(stored=None)) is None


def test_it_is_known_for_ninety_days(monkeypatch: pytest.MonkeyPatch):
    cookie, now = cookie_of(user()), time.time()
    for later_s, is_known in ((DEVICE_LIFETIME_S - 60, True), (DEVICE_LIFETIME_S + 60, False)):
        monkeypatch.setattr(failed_attempts.time, "time", lambda later_s=later_s: now + later_s)
        assert (known_device(request_with_cookie(cookie), SECRETS, user()) is not None) == is_known


@pytest.mark.parametrize(
    "wrong", ["", ".", "..", "a.b", "a.9999999999.", "a.²³.x", "a.9999999999.\xff", "a.-1.x", f"a.{'9' * 5000}.x"]
)
def test_what_we_did_not_sign_is_no_device(wrong: str):
    assert known_device(request_with_cookie(wrong), SECRETS, user()) is None


def test_neither_its_name_nor_its_end_can_be_changed():
    device, expires, signature = cookie_of(user()).split(".")
    for forged in (f"{device}x.{expires}.{signature}", f"{device}.{int(expires) + 1}.{signature}"):
        assert known_device(request_with_cookie(forged), SECRETS, user()) is None
