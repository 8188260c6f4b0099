"""What a refusal tells a user, and what it tells an administrator."""

from __future__ import annotations

from greenroom.core.errors import NO_RESOURCES, NoResources


def test_a_user_is_told_of_no_machines():
    error = NoResources("Agent host-1 is full.", for_user="All machines are full.", zone="eu")
    told = error.without_machines()
    assert (told.message, told.details) == ("All machines are full.", error.details)
    assert NoResources("Agent host-1 is full.").without_machines().message == NO_RESOURCES
