"""The signature of a message, and its repetition."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from greenroom.core.webhooks import (
    BACKOFF,
    MAX_ATTEMPTS,
    MAX_REQUESTED_PAUSE_S,
    SELECTABLE_EVENTS,
    DeliveryAttempt,
    DeliveryState,
    DeliveryVerdict,
    WebhookEvent,
    after_attempt,
    body_of,
    secret_text,
    signed_headers,
)

EVENT = "launch.done"
NO_ANSWER = DeliveryAttempt(error="the host cannot be found")


def test_a_message_is_signed_as_standard_webhooks_has_it():
    """The example of the specification."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "content-type": "application/json",
    }


def test_a_secret_is_shown_as_receivers_take_it():
    secret = secret_text(bytes(range(32)))
    assert secret.startswith("whsec_")
    assert base64.b64decode(secret.removeprefix("whsec_")) == bytes(range(32))


def test_the_body_has_type_version_id_time_and_data():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json.loads(body_of("pool.full", "d", at, {"num_sessions": 3})) == {
        "type": "pool.full",
        "version": 1,
        "id": "d",
        "timestamp": "2026-01-02T03:04:05Z",
        "data": {"num_sessions": 3},
    }
    assert WebhookEvent.TEST not in SELECTABLE_EVENTS


@pytest.mark.parametrize("status", [200, 204, 299])
def test_only_success_is_a_delivery(status: int):
    assert after_attempt(DeliveryAttempt(status=status), 1, event=EVENT, spread=1.0) == DeliveryVerdict(
        DeliveryState.DELIVERED
    )


@pytest.mark.parametrize(
    "attempt", [NO_ANSWER, *(DeliveryAttempt(status=status) for status in (199, 301, 404, 429, 500))]
)
def test_all_else_is_tried_again_later_and_later(attempt: DeliveryAttempt):
    pauses = [after_attempt(attempt, number, event=EVENT, spread=1.0).retry_s for number in range(1, MAX_ATTEMPTS)]
    assert pauses[:3] == [5.0, 10.0, 20.0]
    assert pauses[-1] == BACKOFF.max_s
    assert 20 * 3600 < sum(pause or 0 for pause in pauses) < 30 * 3600


def test_after_the_last_attempt_it_is_given_up():
    assert after_attempt(NO_ANSWER, MAX_ATTEMPTS - 1, event=EVENT, spread=0.0).state is DeliveryState.WAITING
    assert after_attempt(NO_ANSWER, MAX_ATTEMPTS, event=EVENT, spread=0.0) == DeliveryVerdict(DeliveryState.GIVEN_UP)


def test_a_receiver_that_wants_no_more_and_a_trial_have_one_attempt():
    assert after_attempt(DeliveryAttempt(status=410), 1, event=EVENT, spread=1.0) == DeliveryVerdict(
        DeliveryState.GIVEN_UP
    )
    assert after_attempt(NO_ANSWER, 1, event=WebhookEvent.TEST, spread=1.0) == DeliveryVerdict(DeliveryState.GIVEN_UP)


def test_an_event_of_the_audit_is_tried_again_forever_with_short_pauses():
    for attempt in (NO_ANSWER, DeliveryAttempt(status=410)):
        after = after_attempt(attempt, 10 * MAX_ATTEMPTS, event=WebhookEvent.AUDIT_EVENT, spread=1.0)
        assert after == DeliveryVerdict(DeliveryState.WAITING, 640.0)


def test_an_answer_may_ask_for_a_longer_pause_within_a_bound():
    def pause(requested_pause_s: float) -> float | None:
        return after_attempt(
            DeliveryAttempt(status=503, requested_pause_s=requested_pause_s), 2, event=EVENT, spread=1.0
        ).retry_s

    assert [pause(1), pause(60), pause(10**9)] == [10.0, 60.0, MAX_REQUESTED_PAUSE_S]


def test_what_came_of_an_attempt_is_said():
    assert NO_ANSWER.text == "the host cannot be found"
    assert DeliveryAttempt(status=500).text == "the answer was 500"
