"""Stop, pause and resume: the statuses that permit them, and the messages in others."""

from __future__ import annotations

import pytest

from greenroom.core.session.states import (
    ALLOWED,
    COMMAND_EFFECTS,
    WANTED_IN,
    LifecycleCommand,
    SessionStatus,
    command_refusal,
    possible_commands,
)

S = SessionStatus
COMMANDS = list(COMMAND_EFFECTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_follows_an_edge_and_wants_what_its_status_means(command: LifecycleCommand):
    effect = COMMAND_EFFECTS[command]
    assert all(effect.transitional_status in ALLOWED[source] for source in effect.sources)
    assert WANTED_IN[effect.transitional_status] == {effect.want}
    assert effect.transitional_status in effect.settled
    assert not effect.sources & effect.settled


@pytest.mark.parametrize("command", COMMANDS)
def test_every_status_obeys_needs_nothing_or_refuses_with_a_sentence(command: LifecycleCommand):
    effect = COMMAND_EFFECTS[command]
    for status in S:
        said = command_refusal(command, status, has_user=True)
        assert (said is None) == (status in effect.sources | effect.settled)
        assert said is None or said.endswith(".")
        assert (command in possible_commands(status, has_user=True)) == (status in effect.sources)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_staged_session_obeys_none(command: LifecycleCommand):
    assert "staged session" in (command_refusal(command, S.RUNNING, has_user=False) or "")
    assert possible_commands(S.RUNNING, has_user=False) == ()


def test_where_sessions_run_until_they_are_deleted_none_is_stopped_or_paused():
    assert "its Agent cannot stop or pause sessions" in (
        command_refusal("pause", S.RUNNING, has_user=True, can_pause=False) or ""
    )
    assert possible_commands(S.RUNNING, has_user=True, can_pause=False) == ()
    assert possible_commands(S.STOPPED, has_user=True, can_pause=False) == ("resume",)


def test_the_sentence_says_when_it_would_be_possible():
    assert command_refusal("stop", S.STARTING, has_user=True) == (
        "The session is starting; it can be stopped while it is paused or running."
    )
    assert "does not answer" in (command_refusal("pause", S.LOST, has_user=True) or "")


def test_what_each_status_may_want_is_said_for_every_status():
    assert set(WANTED_IN) == set(ALLOWED)
