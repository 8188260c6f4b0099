"""docs/reference/webhooks.md lists what webhooks are sent, and the fields of each message."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from greenroom.core.webhooks import (
    AuditData,
    LaunchData,
    LeaseData,
    PoolData,
    SessionData,
    WebhookEvent,
    WebhookSubject,
)

PAGE = (Path(__file__).parents[2] / "docs/reference/webhooks.md").read_text()


def test_the_page_lists_every_event_with_its_meaning_in_order():
    listed = re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.+) \| .+ \|$", PAGE, re.MULTILINE)
    assert listed == [(str(event), event.meaning) for event in WebhookEvent]


@pytest.mark.parametrize(
    ("title", "data"),
    [
        ("a session", SessionData),
        ("a launch", LaunchData),
        ("a lease", LeaseData),
        ("a pool", PoolData),
        ("an event of the audit", AuditData),
    ],
)
def test_the_page_names_every_field_of_a_message(title: str, data: type):
    paragraph = PAGE.partition(f"- **{title}**")[2].partition("\n- **")[0]
    common = {field.name for field in fields(WebhookSubject)}
    own = {field.name for field in fields(data)} - common
    assert own - set(re.findall(r"`(\w+)`", paragraph)) == set()
    assert common <= set(re.findall(r"`(\w+)`", PAGE.partition("- all of them")[2]))
