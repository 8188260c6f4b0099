"""Events: their text, their subject, and the permission to see them."""

from __future__ import annotations

import pytest

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.events import TOPICS, ChangeEvent, Topic, session_events


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ChangeEvent.session("a"), "session:a"),
        (ChangeEvent.agent("b"), "agent:b"),
        (ChangeEvent.agent("b", "s"), "agent:b:s"),
        (ChangeEvent.staging("c"), "staging:c"),
        (ChangeEvent.zone(1), "zone:1"),
        (ChangeEvent.primary(2), "primary:2"),
        (ChangeEvent.lease("d"), "lease:d"),
        (ChangeEvent(Topic.FILTER_POLICIES), "filter_policies:"),
    ],
)
def test_the_text_of_an_event_is_read_as_the_same_event(event: ChangeEvent, text: str):
    assert str(event) == text
    assert ChangeEvent.parse(text) == event


def test_a_topic_of_another_version_is_no_event():
    assert ChangeEvent.parse("weather:1") is None


def test_a_session_concerns_its_agent_pool_and_zone_where_it_has_them():
    assert session_events("s", agent_id=None, staging_config_id=None) == {ChangeEvent.session("s")}
    concerned = session_events("s", agent_id="a", staging_config_id="c", zone_key=1)
    assert {str(event) for event in concerned} == {"session:s", "agent:a:s", "staging:c", "zone:1"}


def test_the_table_has_every_topic_and_permissions_that_exist():
    assert set(TOPICS) == set(Topic)
    assert {rule.permission for rule in TOPICS.values()} <= set(PERMISSIONS)
