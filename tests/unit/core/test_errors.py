"""The text of a refusal for a user, and for an administrator."""

from __future__ import annotations

import pytest

from greenroom.core.errors import NO_RESOURCES, NoResources, NotFound, require_row


def test_a_user_sees_no_machines():
    error = NoResources("Agent host-1 is full.", for_user="All machines are full.", zone="eu")
    shown = error.without_machines()
    assert (shown.message, shown.details) == ("All machines are full.", error.details)
    assert NoResources("Agent host-1 is full.").without_machines().message == NO_RESOURCES


def test_what_is_not_found_is_named():
    assert require_row("row", "zone", "berlin") == "row"
    with pytest.raises(NotFound, match=r"^There is no zone berlin; it may have been deleted\.$"):
        require_row(None, "zone", "berlin")
