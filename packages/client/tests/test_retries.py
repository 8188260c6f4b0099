"""The retries of the client."""

from __future__ import annotations

import httpx
import pytest

from greenroom.client.requests import Retries

RETRIES = Retries(attempts=4, limit_s=10.0, first_wait_s=0.5)


def answer(status: int, method: str = "GET", *, key: str = "", after: str | None = None) -> httpx.Response:
    request = httpx.Request(method, "https://desk.example", headers={"Idempotency-Key": key} if key else {})
    return httpx.Response(status, request=request, headers={} if after is None else {"Retry-After": after})


def wait_s(outcome: httpx.Response | httpx.HTTPError, attempt: int = 1, waited_s: float = 0.0) -> float | None:
    return RETRIES.wait_s(attempt, waited_s, outcome)


def test_waits_grow_and_end():
    waits = [wait_s(answer(502), attempt) for attempt in (1, 2, 3, 4)]
    assert waits == [0.5, 1.0, 2.0, None]
    assert wait_s(answer(502), 3, waited_s=8.5) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_refusal_is_final(status: int):
    assert wait_s(answer(status)) is None


@pytest.mark.parametrize(("method", "key", "again"), [("POST", "", False), ("PATCH", "", False), ("POST", "k", True)])
def test_what_would_be_done_twice_is_sent_once(method: str, key: str, again: bool):
    assert (wait_s(answer(502, method, key=key)) is not None) == again
    lost = httpx.ReadTimeout("lost", request=answer(502, method, key=key).request)
    assert (wait_s(lost) is not None) == again


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_how_long_to_wait(status: int):
    assert wait_s(answer(status, "POST", after="3")) == 3.0
    assert wait_s(answer(status, "POST", after="11")) is None
    assert wait_s(answer(status, after="no time")) == 0.5
    assert wait_s(answer(status, after="Mon, 01 Jan 2024 00:00:00 GMT")) == 0.0


def test_a_request_that_was_not_begun_is_sent_again_but_not_to_a_stranger():
    request = answer(200, "POST").request
    assert wait_s(httpx.ConnectError("refused", request=request)) == 0.5
    stranger = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]", request=request)
    assert wait_s(stranger) is None
